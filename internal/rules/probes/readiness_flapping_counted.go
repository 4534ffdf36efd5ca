package probes

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// countedWithin is how long ago a pod may have come back of which no event is left.
	countedWithin = 24 * time.Hour
	// countedFor is how long a kubelet must have counted: what failed while the container came up is then a small
	// part of it.
	countedFor = 6 * time.Hour
	// failsOften is the share of attempts that a readiness that flaps fails at the least, and failedOften their number:
	// more than a start has, in which attempts follow one another sooner than the period says
	// (k8s.io/kubernetes/pkg/kubelet/prober/prober_manager.go, UpdatePodStatus).
	failsOften, failedOften = 0.05, 100
)

// flappedBefore asks the kubelet about a pod of a family that came back and of whose absence no event is left, and
// tells of it where its readiness goes on failing. It returns how many kubelets were asked.
func flappedBefore(p *rule.Pass, f *family) int {
	var back *corev1.Pod
	for _, pod := range f.pods {
		if returned(p.Snapshot, pod, countedWithin) && (back == nil || cameBack(pod).After(cameBack(back))) {
			back = pod
		}
	}
	if back == nil {
		return 0
	}
	asked := 0
	for at := range f.places(back) {
		if at.container.ReadinessProbe == nil {
			continue
		}
		one := probe{at, readiness, at.container.ReadinessProbe}
		asked++
		if c, ok := countedOf(p, one, back); ok && c.flaps(one, p.Now().Sub(cameBack(back))) {
			p.Report(countedFlapping(p, one, back, c))
			return asked
		}
	}
	return asked
}

// cameBack is when a pod became ready last.
func cameBack(pod *corev1.Pod) time.Time {
	return snapshot.PodCondition(pod, corev1.PodReady).LastTransitionTime.Time
}

// flaps tells whether the failures that were counted are more than those of a start, and whether a pod that has been
// ready for so long was so before: one that waited for hours, as those that stand by for a leader do, came up and did
// not come back.
func (c counted) flaps(one probe, ready time.Duration) bool {
	succeeded := time.Duration(c.Succeeded) * one.timing().Period
	return c.Failed >= failedOften && succeeded >= max(countedFor, ready+window) && float64(c.Failed) >= failsOften*float64(c.Succeeded+c.Failed)
}

func countedFlapping(p *rule.Pass, one probe, pod *corev1.Pod, c counted) finding.Finding {
	f, t := one.of, one.timing()
	better := bearing(t, max(2*time.Duration(t.FailureThreshold)*t.Period, patientReadiness))
	out := finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismDegraded, Since: cameBack(pod), Field: one.field(""), Explains: []finding.Subject{snapshot.SubjectOf(pod)},
		Confidence: v1alpha1.ConfidenceMedium,
		Title: finding.Format("%s: readiness of container %s failed %s times of %s, and Pod %s left the Services and came back", "%s: %s 컨테이너의 readiness가 %[4]s번 가운데 %[3]s번 실패했고 Pod %[5]s가 Service에서 빠졌다가 돌아왔습니다",
			finding.Verbatim(finding.Named(f.workload)), finding.Verbatim(one.container.Name), number(c.Failed), number(c.Succeeded+c.Failed), finding.Verbatim(pod.Name)),
		Evidence: append([]finding.Evidence{{
			Source: finding.Named(snapshot.SubjectOf(pod)), Path: ".status.conditions[Ready].lastTransitionTime", Value: cameBack(pod).UTC().Format(time.RFC3339),
		}}, c.evidence(one)...),
		Remedies: finding.Remedies{Later: []finding.Remedy{one.mend(p.Snapshot, fields{one.name(): fields{"failureThreshold": better.FailureThreshold}},
			finding.Textf("let readiness bear %d x %d s, if the pauses are short; else find out what the program waits for", "정지가 짧으면 readiness가 %d x %d초를 견디게 하고, 아니면 프로그램이 무엇을 기다리는지 찾습니다",
				better.FailureThreshold, seconds(t.Period)))}},
	}
	var starved finding.Text
	if limit := one.container.Resources.Limits.Cpu(); c.starved() && !limit.IsZero() {
		starved = c.saysStarved(limit)
		out.Field = one.place.field(".resources.limits.cpu")
		out.Remedies.Later = append([]finding.Remedy{one.moreCPU(p.Snapshot)}, out.Remedies.Later...)
	}
	out.Why = finding.Join("; ",
		finding.Format("the pod became ready again at %s without a restart, and %s in a row take it out", "Pod가 재시작 없이 %s에 다시 Ready가 되었고 연속 %s번 실패하면 빠집니다",
			finding.Verbatim(finding.Clock(p.Now(), cameBack(pod))), number(t.FailureThreshold)),
		c.saysSlow(), starved,
		finding.Textf("not seen: when the attempts failed, for no event of them is left", "남은 Event가 없어 언제 실패했는지는 확인하지 못했습니다"))
	return out
}
