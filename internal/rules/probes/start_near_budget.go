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
	Code:  "StartNearBudget",
	Title: finding.Textf("starts take nearly as long as their probe bears", "시작에 걸리는 시간이 probe의 허용 시간에 가깝습니다"),
	Doc: finding.Textf(
		"Pods that are ready took, from their start to the last attempt that failed before Ready, more than seven tenths of the time that their startup probe spares (initialDelaySeconds + (failureThreshold - 1) x periodSeconds), or, where there is none, their liveness probe that asks the same as readiness: a "+
			"busier node, and the start is killed, again and again. It is measured at pods that are ready and whose containers never restarted; who was ready, left and came back is told by a longer time than the probe could have borne, and left out. Left alone: budgets with room, "+
			"workloads with fewer than two such pods, Jobs, and static pods.",
		"Ready인 Pod가 시작부터 Ready 직전의 마지막 실패까지 걸린 시간이 startup probe가 기다리는 시간(initialDelaySeconds + (failureThreshold - 1) x periodSeconds)의 7할을 넘습니다. startup probe가 없으면 readiness와 같은 것을 확인하는 liveness probe를 기준으로 합니다. 노드가 조금만 바빠져도 시작 중에 종료되기를 반복하게 됩니다. "+
			"Ready이고 컨테이너가 한 번도 재시작하지 않은 Pod에서 측정하며, probe가 견딜 수 있는 시간보다 길면 Ready였다가 돌아온 것이므로 제외합니다. 여유가 있는 설정, 그런 Pod가 둘 미만인 워크로드, Job과 static Pod는 제외합니다."),
	Link:     probeTasks + "#define-startup-probes",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(),
	Detect: func(p *rule.Pass) {
		for f := range familiesOf(p.Snapshot).serving() {
			for at := range f.places(f.pods[0]) {
				if one, longest, pods := at.nearBudget(); pods > 1 {
					p.Report(nearBudgetFinding(p.Snapshot, one, longest, pods))
					break
				}
			}
		}
	},
})

// nearly is the share of its budget, in tenths, beyond which a start is near it.
const nearly = 7

// gate is the probe that ends a start which takes too long, where the pod's readiness tells how long it took.
func (at place) gate() (probe, bool) {
	c := at.container
	switch {
	case c.StartupProbe != nil:
		one := probe{at, startup, c.StartupProbe}
		return one, c.ReadinessProbe == nil || one.same(c.ReadinessProbe)
	case c.LivenessProbe != nil && c.ReadinessProbe != nil:
		one := probe{at, liveness, c.LivenessProbe}
		return one, one.same(c.ReadinessProbe)
	default:
		return probe{}, false
	}
}

// nearBudget is how long the longest start of a container took at least, where that is near to what its probe
// spares, and of how many pods starts were measured; none where there is room. The attempt before the one that
// succeeded had failed, a period earlier.
func (at place) nearBudget() (gate probe, longest time.Duration, pods int) {
	gate, ok := at.gate()
	if !ok {
		return probe{}, 0, 0
	}
	t := gate.timing()
	asked := t
	if c := at.container.ReadinessProbe; c != nil {
		asked = probe{at, readiness, c}.timing()
	}
	for _, pod := range at.of.pods {
		ready := snapshot.PodCondition(pod, corev1.PodReady)
		own, ok := at.in(pod)
		if !ok || ready == nil || ready.Status != corev1.ConditionTrue || own.status() == nil || own.status().State.Running == nil || own.status().RestartCount > 0 {
			continue
		}
		took := ready.LastTransitionTime.Sub(own.status().State.Running.StartedAt.Time)
		switch {
		case took <= 0 || took > budget(t):
		case took <= asked.FirstAttempt().Most:
			// The first attempt may have succeeded: the delay was waited for, and not the program.
			pods++
		default:
			longest, pods = max(longest, took-asked.Period), pods+1
		}
	}
	if 10*longest <= nearly*spare(t) {
		return probe{}, 0, 0
	}
	return gate, longest, pods
}

func nearBudgetFinding(s *snapshot.Snapshot, one probe, longest time.Duration, pods int) finding.Finding {
	t, name := one.timing(), finding.Named(one.of.workload)
	better := forStart(t, 2*longest, t.InitialDelay)
	change := fields{"startupProbe": fields{"failureThreshold": better.FailureThreshold}}
	if one.kind == liveness {
		better = forStart(t, 2*longest, 0)
		handler := one.handler()
		handler["periodSeconds"], handler["timeoutSeconds"], handler["failureThreshold"] = seconds(better.Period), seconds(better.Timeout), better.FailureThreshold
		change = fields{"startupProbe": handler}
	}
	return finding.Finding{
		Subject: one.of.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: one.place.field(".startupProbe"), Explains: []finding.Subject{one.of.workload},
		Title: finding.Textf("%s: container %s takes %d s and more to start, and its %s probe spares %d s", "%s: %s 컨테이너의 시작에 %d초 이상 걸리는데 %s probe가 기다리는 시간은 %d초입니다",
			name, one.container.Name, seconds(longest), one.kind, seconds(spare(t))),
		Why: finding.Format("measured at %s, from the start to the last attempt that failed; the probe spares %s s, and kills after %s s at the latest", "%s에서 시작부터 마지막으로 실패한 시도까지 측정했습니다; probe는 %s초를 기다리고 늦어도 %s초에는 종료시킵니다",
			finding.Pods(pods), finding.Verbatim(sparing(t)), number(seconds(budget(t)))),
		Evidence: []finding.Evidence{{Source: name, Path: one.field(""), Value: one.asks()}},
		Remedies: finding.Remedies{Later: []finding.Remedy{one.mend(s, change, finding.Textf(
			"spare twice the longest start of %d s: %s s", "가장 길었던 시작 %d초의 두 배를 기다리게 합니다: %s초", seconds(longest), sparing(better)))}},
	}
}
