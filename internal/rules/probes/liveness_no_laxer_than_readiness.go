package probes

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "LivenessNoLaxerThanReadiness",
	Title: finding.Textf("liveness probe kills before readiness can take the pod out", "readiness가 Pod를 빼기 전에 liveness probe가 종료시킵니다"),
	Doc: finding.Textf(
		"A container's liveness and readiness probes ask the same question, and liveness gives up no later than readiness. So a container that is overloaded or waits for something is killed, with its connections and its warm caches, when it "+
			"should only have been left alone for a while: its share of the load falls on the other replicas, which are next. The remedy lets liveness bear twice as long as readiness, and no less than a minute. Left alone: liveness that bears "+
			"at least twice as long, probes that ask different questions, Jobs, and static pods.",
		"컨테이너의 liveness probe와 readiness probe가 같은 것을 묻고, liveness가 readiness보다 늦지 않게 포기합니다. 과부하이거나 무언가를 기다리는 컨테이너는 잠시 트래픽에서 빼면 되는데 연결과 캐시를 잃은 채 종료되고, 그 몫의 부하가 다른 replica로 넘어가 차례로 "+
			"같은 일을 겪습니다. 해결책은 liveness가 readiness의 두 배, 최소 1분을 견디게 하는 것입니다. 이미 두 배 이상 견디는 liveness, 서로 다른 것을 묻는 probe, Job, static Pod는 제외합니다."),
	Link:     probeConcepts,
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(),
	Detect: func(p *rule.Pass) {
		for f := range familiesOf(p.Snapshot).serving() {
			for at := range f.places(f.pods[0]) {
				if live, ok := tooStrict(at); ok {
					p.Report(strictFinding(p.Snapshot, live))
					break
				}
			}
		}
	},
})

// tooStrict finds a liveness probe that gives up no later than the readiness probe that asks the same.
func tooStrict(at place) (probe, bool) {
	live := probe{at, liveness, at.container.LivenessProbe}
	if live.spec == nil || at.container.ReadinessProbe == nil || !live.same(at.container.ReadinessProbe) {
		return probe{}, false
	}
	return live, notices(live.timing()) <= notices(probe{at, readiness, at.container.ReadinessProbe}.timing())
}

func strictFinding(s *snapshot.Snapshot, live probe) finding.Finding {
	f, l, r := live.of, live.timing(), probe{live.place, readiness, live.container.ReadinessProbe}.timing()
	better := bearing(l, max(patientLiveness, 2*notices(r)))
	return finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: live.field(".failureThreshold"), Explains: []finding.Subject{f.workload},
		Title: finding.Textf("%s: liveness kills container %s after %d s, and readiness, which asks the same, takes it out after %d s",
			"%s: liveness가 %s 컨테이너를 %d초 만에 종료시키며, 같은 것을 묻는 readiness는 %d초에 Pod를 서비스에서 뺍니다", finding.Named(f.workload), live.container.Name, seconds(notices(l)), seconds(notices(r))),
		Why: finding.Textf("both ask %s; liveness gives up after %s s, readiness after %s s: a container that is only busy is killed instead of being left alone",
			"둘 다 %s을 확인합니다; liveness는 %s초, readiness는 %s초 뒤에 포기하므로 바쁘기만 한 컨테이너도 트래픽에서 빠지는 대신 종료됩니다",
			live.asks(), noticing(l), noticing(r)),
		Evidence: []finding.Evidence{{Source: finding.Named(f.workload), Path: live.field(""), Value: live.asks()}},
		Remedies: finding.Remedies{Later: []finding.Remedy{live.mend(s, fields{live.name(): fields{"failureThreshold": better.FailureThreshold}},
			finding.Textf("let liveness bear %s s, or ask only what a restart mends", "liveness가 %s초까지 견디게 하거나 재시작으로 해결되는 것만 확인하게 합니다",
				noticing(better)))}},
	}
}
