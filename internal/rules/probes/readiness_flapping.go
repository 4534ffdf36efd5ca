package probes

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ReadinessFlapping",
	Title: finding.Textf("pods leave their Services and come back", "Pod가 Service에서 빠졌다가 돌아오기를 반복합니다"),
	Doc: finding.Textf(
		"Pods that had long been running lost their readiness and regained it within the last hour without a restart, at least two of them, or one whose readiness probe goes on failing: clients' connections move about, and with every change the endpoints are "+
			"written and programmed anew on all nodes. Where no event is left of it, a pod that came back within a day is told if the kubelet has counted (get on nodes/proxy) that at least one in twenty attempts of hours failed. A remark: the pods serve at this moment. What the probe said tells whether the program is slow (then see its timeout) or says that it is ill. Left alone: pods that began or restarted lately, "+
			"a single change of a single pod, and probes that failed less often than it takes to lose readiness.",
		"오래 실행 중이던 Pod가 최근 한 시간 안에 재시작 없이 Ready에서 벗어났다가 돌아왔습니다. 그런 Pod가 둘 이상이거나, 하나이지만 readiness probe가 계속 실패하는 경우입니다. 클라이언트의 연결이 옮겨 다니고 바뀔 때마다 모든 노드에서 endpoint를 다시 설정합니다. 남은 Event가 없으면, 하루 안에 돌아온 Pod 가운데 kubelet의 집계(nodes/proxy의 get 권한)에서 여러 시간 동안 시도의 20분의 1 이상이 실패한 것을 알립니다. "+
			"지금은 서비스하고 있으므로 참고로 알립니다. probe 메시지로 프로그램이 느린지(timeout 확인), 스스로 비정상이라고 하는지 알 수 있습니다. 최근에 시작했거나 재시작한 Pod, 한 Pod가 한 번 바뀐 경우, Ready에서 벗어날 만큼 실패하지 않은 probe는 제외합니다."),
	Link:     probeConcepts + "#readiness-probe",
	Severity: finding.Info,
	Needs:    baseNeeds(rule.Any[*corev1.Event]()),
	Causes:   []rule.Cause{{Code: "ProbeTooTight", Via: rule.Itself}},
	Detect: func(p *rule.Pass) {
		told := map[*family]bool{}
		for f := range familiesOf(p.Snapshot).newest() {
			if one, fl, ok := flaps(p.Snapshot, f); ok {
				p.Report(flappingFinding(p, one, fl))
				told[f] = true
			}
		}
		asked := 0
		for f := range familiesOf(p.Snapshot).newest() {
			if !told[f] && asked < countsAsked {
				asked += flappedBefore(p, f)
			}
		}
	},
})

// flapping is what is seen of pods that lost and regained their readiness.
type flapping struct {
	back []*corev1.Pod
	seen observation
	// again tells that the probe failed after the last return.
	again bool
}

// flaps finds the readiness probe by which pods of a family left and came back.
func flaps(s *snapshot.Snapshot, f *family) (probe, flapping, bool) {
	var back []*corev1.Pod
	for _, pod := range f.pods {
		if returned(s, pod, window) {
			back = append(back, pod)
		}
	}
	if len(back) == 0 {
		return probe{}, flapping{}, false
	}
	for at := range f.places(f.pods[0]) {
		if at.container.ReadinessProbe == nil {
			continue
		}
		one := probe{at, readiness, at.container.ReadinessProbe}
		seen := one.observe(s, back, "Unhealthy", func(e *corev1.Event) bool { return one.failed(e) && s.Now().Sub(snapshot.EventTime(e)) < window })
		fl := flapping{back: seen.pods, seen: seen}
		for _, pod := range seen.pods {
			since := snapshot.PodCondition(pod, corev1.PodReady).LastTransitionTime.Add(slack)
			own := one.observe(s, []*corev1.Pod{pod}, "Unhealthy", one.failed)
			fl.again = fl.again || own.last.After(since)
		}
		needed := one.timing().FailureThreshold * len(seen.pods)
		if len(seen.pods) > 1 && seen.count >= needed || len(seen.pods) == 1 && fl.again && seen.count > needed {
			return one, fl, true
		}
	}
	return probe{}, flapping{}, false
}

// returned tells whether a pod that had long been running became ready again within a time, without a restart.
func returned(s *snapshot.Snapshot, pod *corev1.Pod, within time.Duration) bool {
	c := snapshot.PodCondition(pod, corev1.PodReady)
	if c == nil || c.Status != corev1.ConditionTrue || s.Now().Sub(c.LastTransitionTime.Time) > within || c.LastTransitionTime.Sub(pod.CreationTimestamp.Time) < window {
		return false
	}
	for i := range pod.Status.ContainerStatuses {
		r := pod.Status.ContainerStatuses[i].State.Running
		if r == nil || c.LastTransitionTime.Sub(r.StartedAt.Time) < begun {
			return false
		}
	}
	return true
}

func flappingFinding(p *rule.Pass, one probe, fl flapping) finding.Finding {
	f, t := one.of, one.timing()
	better := bearing(t, max(2*time.Duration(t.FailureThreshold)*t.Period, patientReadiness))
	var last time.Time
	for _, pod := range fl.back {
		last = finding.Later(last, snapshot.PodCondition(pod, corev1.PodReady).LastTransitionTime.Time)
	}
	again := finding.Text{}
	if fl.again {
		again = finding.Textf("the probe has failed again since", "그 뒤에도 probe가 다시 실패했습니다")
	}
	return finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismDegraded, Since: fl.seen.first, Field: one.field(""), Explains: subjectsOf(fl.back),
		Title: finding.Format("%s: %s left the Services and came back within the last hour, without a restart", "%s: 최근 한 시간에 %s가 재시작 없이 Service에서 빠졌다가 돌아왔습니다",
			finding.Verbatim(finding.Named(f.workload)), finding.Pods(len(fl.back))),
		Why: finding.Join("; ",
			finding.Format("the readiness probe of container %s failed %s times between %s and %s, and %s in a row take a pod out; the last came back at %s",
				"%[3]s부터 %[4]s까지 %[1]s 컨테이너의 readiness probe가 %[2]s번 실패했고 연속 %[5]s번이면 Pod가 빠집니다; 마지막으로 돌아온 시각은 %[6]s",
				finding.Verbatim(one.container.Name), number(fl.seen.count), finding.Verbatim(finding.Clock(p.Now(), fl.seen.first)), finding.Verbatim(finding.Clock(p.Now(), fl.seen.last)), number(t.FailureThreshold), finding.Verbatim(finding.Clock(p.Now(), last))),
			again, finding.Textf("not seen: changes before the last one, which pods do not keep", "Pod는 마지막 변화만 기록하므로 그 전의 변화는 확인하지 못했습니다"), unread(p.Snapshot)),
		Evidence: fl.seen.evidence(),
		Remedies: finding.Remedies{Later: []finding.Remedy{one.mend(p.Snapshot, fields{one.name(): fields{"failureThreshold": better.FailureThreshold}},
			finding.Textf("let readiness bear %d x %d s, if the pauses are short; else find out what the program waits for", "정지가 짧으면 readiness가 %d x %d초를 견디게 하고, 아니면 프로그램이 무엇을 기다리는지 찾습니다",
				better.FailureThreshold, seconds(t.Period)))}},
	}
}
