package probes

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	kubelet "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "LivenessProbeBlind",
	Title: finding.Textf("kubelet throws the answers of a liveness probe away", "kubelet이 liveness probe의 결과를 버리고 있습니다"),
	Doc: finding.Textf(
		"A liveness probe ends in an error of the asking itself, attempt after attempt: the body of the answer does not end or is cut off, or the container runtime cannot run the command. The kubelet tries three times at once and then "+
			"throws the attempt away, which counts neither as a success nor as a failure: the container is never restarted for it, however long it hangs. Told for containers that run, with at least three such events, the last within ten "+
			"minutes, and no kill by the probe since the first. Left alone: ports that do not exist (ProbePortNotFound), errors that ended, and probes that also fail in a way that counts.",
		"liveness probe가 응답 여부가 아니라 요청 자체의 오류로 끝나기를 반복합니다. 응답 본문이 끝나지 않거나 잘리거나 container runtime이 명령을 실행하지 못하는 경우입니다. kubelet은 곧바로 세 번 시도한 뒤 그 결과를 버리며 성공으로도 실패로도 "+
			"세지 않으므로, 컨테이너가 아무리 오래 멈춰 있어도 재시작하지 않습니다. 실행 중인 컨테이너에서 이런 이벤트가 세 번 이상이고 마지막이 10분 안이며 그 뒤로 probe에 의한 종료가 없을 때 알립니다. "+
			"없는 port(ProbePortNotFound), 이미 끝난 오류, 실패로 세어지는 결과도 함께 나오는 probe는 제외합니다."),
	Link:     probeConcepts + "#liveness-probe",
	Severity: finding.Warning,
	Needs:    baseNeeds(rule.Any[*corev1.Event]()),
	For:      time.Minute,
	Detect: func(p *rule.Pass) {
		for f := range familiesOf(p.Snapshot).newest() {
			if one, seen, ok := blind(p.Snapshot, f); ok {
				p.Report(blindFinding(p, one, seen))
			}
		}
	},
})

// blind finds the liveness probe of a family whose attempts the kubelets throw away.
func blind(s *snapshot.Snapshot, f *family) (probe, observation, bool) {
	for at := range f.places(f.pods[0]) {
		if at.container.LivenessProbe == nil {
			continue
		}
		one := probe{at, liveness, at.container.LivenessProbe}
		seen := one.observe(s, f.pods, "Unhealthy", one.errored)
		if seen.count < failuresSeen || s.Now().Sub(seen.last) > eventsSpeak || kubelet.MeaningOf(one.spec, output(seen.latest)) == kubelet.MeansNoPort || !runs(one, seen.pods) {
			continue
		}
		counted := one.observe(s, seen.pods, "Unhealthy", func(e *corev1.Event) bool { return one.failed(e) && !snapshot.EventTime(e).Before(seen.first) })
		killed := one.observe(s, seen.pods, "Killing", func(e *corev1.Event) bool {
			return strings.Contains(e.Message, "failed liveness probe") && !snapshot.EventTime(e).Before(seen.first)
		})
		if counted.count == 0 && killed.count == 0 {
			return one, seen, true
		}
	}
	return probe{}, observation{}, false
}

// runs tells whether the container runs in one of the pods.
func runs(one probe, pods []*corev1.Pod) bool {
	for _, pod := range pods {
		if at, ok := one.in(pod); ok {
			if st := at.status(); st != nil && st.State.Running != nil {
				return true
			}
		}
	}
	return false
}

func blindFinding(p *rule.Pass, one probe, seen observation) finding.Finding {
	f, name := one.of, finding.Named(one.of.workload)
	out := finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismDegraded, Since: seen.first, Field: one.field(""),
		Title: finding.Textf("%s: the liveness probe of container %s counts for nothing: the kubelet throws its attempts away",
			"%s: %s 컨테이너의 liveness probe가 아무 효과가 없습니다. kubelet이 시도한 결과를 버리고 있습니다", name, one.container.Name),
		Evidence: append([]finding.Evidence{{Source: name, Path: one.field(""), Value: one.asks()}}, seen.evidence()...),
	}
	because := finding.Textf("the attempt itself ends in an error", "시도 자체가 오류로 끝납니다")
	if kubelet.MeaningOf(one.spec, output(seen.latest)) == kubelet.MeansBody {
		because = finding.Textf("the answer begins and its body does not end within %d s, or is cut off", "응답이 시작되지만 본문이 %d초 안에 끝나지 않거나 잘립니다", seconds(one.timing().Timeout))
		out.Remedies.Now = []finding.Remedy{one.edit(".httpGet.path", finding.Textf("ask a path with a short answer; a stream or a page of metrics is none", "짧게 답하는 경로를 확인하게 합니다. stream이나 metric 페이지는 맞지 않습니다"))}
	} else {
		out.Remedies.Now = []finding.Remedy{{
			Text:    finding.Textf("see what the kubelet says of it in full", "kubelet의 메시지 전체를 확인합니다"),
			Command: fmt.Sprintf("kubectl -n %s describe pod %s", seen.pods[0].Namespace, seen.pods[0].Name),
		}}
	}
	out.Why = finding.Join("; ",
		finding.Format("%s such attempts on %s since %s, and none that counts: %s", "%[3]s부터 %[2]s에서 그런 시도가 %[1]s번, 세어진 결과는 없음: %[4]s",
			number(seen.count), finding.Pods(len(seen.pods)), finding.Verbatim(finding.Clock(p.Now(), seen.first)), finding.Verbatim(finding.Quote(output(seen.latest)))),
		because, finding.Textf("a container that hangs will not be restarted", "컨테이너가 멈춰도 재시작되지 않습니다"),
		finding.Textf("not seen: whether successes stand between them, for kubelets tell only of errors", "kubelet은 오류만 알리므로 그 사이에 성공이 있었는지는 알 수 없습니다"), unread(p.Snapshot))
	return out
}
