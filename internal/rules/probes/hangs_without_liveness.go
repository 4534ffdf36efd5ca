package probes

import (
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	kubelet "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "HangsWithoutLivenessProbe",
	Title: finding.Textf("container hangs, and nothing restarts it", "컨테이너가 멈췄으나 재시작하는 것이 없습니다"),
	Doc: finding.Textf(
		"A container has been out of service for half an hour after it had long served, its process runs, its readiness probe gets no answer in time, and it has no liveness probe: nobody will restart it, and one restart may be all that it lacks. A sibling that "+
			"is ready shows that what they share is well. It is a remark beside the finding about the readiness probe. Left alone: workloads of which no pod is ready, for what they share may be the matter; answers of any kind, for a program that says what it lacks does not hang; "+
			"pods that were never ready, and pods on nodes that do not report.",
		"오래 서비스하던 컨테이너가 30분 넘게 서비스에서 빠져 있고, 프로세스는 실행 중이지만 readiness probe에 제때 응답하지 않으며, liveness probe가 없습니다. 재시작하는 것이 없는데 재시작 한 번으로 해결될 수 있습니다. Ready인 다른 replica가 있으므로 함께 쓰는 것에는 문제가 없습니다. "+
			"readiness probe 실패를 다루는 규칙 옆에 참고로 알립니다. Ready인 Pod가 하나도 없는 워크로드(함께 쓰는 것의 문제일 수 있음), 무엇이 부족한지 응답하는 프로그램, Ready였던 적이 없는 Pod, 노드의 보고가 끊긴 Pod는 제외합니다."),
	Link:     probeConcepts + "#liveness-probe",
	Severity: finding.Info,
	Needs:    baseNeeds(rule.Any[*corev1.Event](), rule.Optional[*coordinationv1.Lease]()),
	Detect: func(p *rule.Pass) {
		for f := range familiesOf(p.Snapshot).newest() {
			if one, seen, ok := hangs(p.Snapshot, f); ok {
				p.Report(hangsFinding(p, one, seen))
			}
		}
	},
})

// hangsFor is how long a container that hangs is given to come back by itself.
const hangsFor = 30 * time.Minute

// hangs finds a container of a family that served, does not answer any more, and that nothing restarts.
func hangs(s *snapshot.Snapshot, f *family) (probe, observation, bool) {
	healthy := 0
	for _, pod := range f.pods {
		if snapshot.PodReady(pod) {
			healthy++
		}
	}
	if healthy == 0 {
		return probe{}, observation{}, false
	}
	for _, pod := range f.pods {
		if snapshot.PodReady(pod) || !snapshot.WasReady(pod) || s.Now().Sub(snapshot.NotReadySince(pod)) < hangsFor || !reports(s, []*corev1.Pod{pod}) {
			continue
		}
		for at := range f.places(pod) {
			st := at.status()
			if at.container.LivenessProbe != nil || at.container.ReadinessProbe == nil || st == nil || st.Ready || st.State.Running == nil || st.State.Running.StartedAt.After(snapshot.NotReadySince(pod)) {
				continue
			}
			one := probe{at, readiness, at.container.ReadinessProbe}
			seen := one.observe(s, []*corev1.Pod{pod}, "Unhealthy", one.failed)
			if seen.count >= failuresSeen && s.Now().Sub(seen.last) <= eventsSpeak && kubelet.MeaningOf(one.spec, output(seen.latest)) == kubelet.MeansSlow {
				return one, seen, true
			}
		}
	}
	return probe{}, observation{}, false
}

func hangsFinding(p *rule.Pass, one probe, seen observation) finding.Finding {
	name, since := finding.Named(one.of.workload), snapshot.NotReadySince(one.pod)
	t := one.timing()
	t.Kind = kubelet.Liveness
	better := bearing(t, max(patientLiveness, 2*notices(t)))
	better.Timeout = max(better.Timeout, min(patientTimeout, better.Period))
	handler := one.handler()
	handler["periodSeconds"], handler["timeoutSeconds"], handler["failureThreshold"] = seconds(better.Period), seconds(better.Timeout), better.FailureThreshold
	change := fields{"livenessProbe": handler}
	text := finding.Textf("have it restarted after %s s without an answer, if what it asks lies within the replica", "확인하는 것이 replica 안에 있다면 %s초 동안 응답이 없을 때 재시작하게 합니다", noticing(better))
	if one.container.StartupProbe == nil {
		// A liveness probe alone would kill starts that nothing kills today.
		spares := forStart(t, max(generous, 2*t.InitialDelay), 0)
		begins := one.handler()
		begins["periodSeconds"], begins["timeoutSeconds"], begins["failureThreshold"] = seconds(spares.Period), seconds(better.Timeout), spares.FailureThreshold
		change["startupProbe"] = begins
		text = finding.Format("%s; the startup probe spares starts of up to %s s", "%s. startup probe가 %s초까지의 시작을 기다립니다", text, finding.Verbatim(sparing(spares)))
	}
	return finding.Finding{
		Subject: one.of.workload, Mechanism: v1alpha1.MechanismHung, Since: since, Field: one.place.field(".livenessProbe"),
		Title: finding.Textf("%s: container %s of pod %s hangs since %s, and nothing restarts it", "%s: Pod %[3]s의 %[2]s 컨테이너가 %[4]s부터 멈춰 있으나 재시작하는 것이 없습니다",
			name, one.container.Name, one.pod.Name, finding.Clock(p.Now(), since)),
		Why: finding.Join("; ", finding.Textf("its process runs and its readiness probe gets no answer within %d s; it served before, other pods of the workload do now, and it has no liveness probe",
			"프로세스는 실행 중이나 readiness probe에 %d초 안에 응답하지 않습니다; 전에는 서비스했고 같은 워크로드의 다른 Pod는 지금도 서비스하며 liveness probe가 없습니다", seconds(t.Timeout)), unread(p.Snapshot)),
		Evidence: append([]finding.Evidence{{Source: name, Path: one.place.field(".livenessProbe"), Value: "(none)"}}, seen.evidence()...),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text:    finding.Textf("keep what it is doing for those who want to know, then let it be made anew", "원인 분석에 필요한 것을 남긴 뒤 Pod를 새로 만들게 합니다"),
				Command: fmt.Sprintf("kubectl -n %s delete pod %s", one.pod.Namespace, one.pod.Name),
			}},
			Later: []finding.Remedy{one.mend(p.Snapshot, change, text)},
		},
	}
}
