package checks

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CheckOperatorMissing",
	Title: finding.Text{EN: "nobody runs the checks", KO: "check를 실행하는 operator가 없습니다"},
	Doc: finding.Text{
		EN: "There are checks, none of them has a new result, and no pod of a Kuberhealthy or of Maek's operator serves: the cluster is blind, and whoever looks at the checks' last verdicts sees the past. " +
			"Silent where any check has a result that is not overdue (then somebody runs them, from wherever), where pods could not be read, and for ten minutes after the first check was made.",
		KO: "check가 있으나 새 결과가 하나도 없고, Kuberhealthy나 Maek operator의 Pod도 실행되고 있지 않습니다. 클러스터를 점검하는 주체가 없으며, 마지막 판정은 과거의 상태입니다. " +
			"아직 유효한 결과가 있는 check가 하나라도 있는 경우(다른 곳에서라도 실행되고 있다는 뜻입니다), Pod를 읽지 못한 경우, 첫 check가 생성된 뒤 10분 동안은 보고하지 않습니다.",
	},
	Link:     checksLink,
	Severity: finding.Warning,
	Needs:    checkNeeds(runnerNeeds()...),
	Causes:   reachedBy(anyCheck, creating...),
	Detect:   detectCheckOperatorMissing,
})

func detectCheckOperatorMissing(p *rule.Pass) {
	if !p.Coverage(snapshot.KindOf[*corev1.Pod]()).Known() {
		return
	}
	var first *check
	var last, since time.Time
	waiting := 0
	for _, c := range checksOf(p.Snapshot).all {
		if c.paused || c.once {
			continue
		}
		from, missed := c.missed(p.Now())
		if !missed {
			return
		}
		if first == nil {
			first = c
		}
		waiting++
		since, last = finding.Later(since, from), finding.Later(last, c.endedAt)
	}
	r := runnersOf(p.Snapshot)
	if first == nil || r.alive(p.Snapshot) {
		return
	}
	definition := finding.Subject{Kind: "CustomResourceDefinition", Name: first.kind.GroupResource()}
	f := finding.Finding{
		Subject: definition, Mechanism: v1alpha1.MechanismMissing, Since: since, WaitsFor: r.workloads(),
		Title:    finding.Textf("%s: nobody runs the checks that there are (%d)", "%s: check %d개를 실행하는 operator가 없습니다", definition.Name, waiting),
		Why:      finding.Textf("No pod of a Kuberhealthy or of Maek's operator is ready, and none of the checks has a new result.", "Ready 상태인 Kuberhealthy 또는 Maek operator Pod가 없고, 새 결과가 있는 check도 없습니다."),
		Evidence: r.evidence(p.Snapshot),
	}
	if !last.IsZero() {
		f.Why = finding.Join(" ", f.Why, finding.Textf("The newest result is of %s.", "가장 최근 결과는 %s의 것입니다.", finding.Clock(p.Now(), last)))
		f.Evidence = append(f.Evidence, finding.Evidence{Source: "checks", Path: "newest result", Value: last.UTC().Format(time.RFC3339), At: finding.Timestamp(last)})
	}
	f.Remedies.Now = []finding.Remedy{
		{Text: finding.Textf("see what is left of their operator", "operator가 남아 있는지 확인합니다"), Command: "kubectl get deployments,pods -A | grep -E 'kuberhealthy|maek'"},
		{Text: finding.Textf("install Maek's operator, which runs checks of both versions of Kuberhealthy", "두 버전의 Kuberhealthy check를 모두 실행하는 Maek operator를 설치합니다"), Command: "kubectl maek install"},
	}
	f.Remedies.Later = []finding.Remedy{{
		Text:    finding.Textf("remove the checks that nobody needs", "필요 없는 check는 삭제합니다"),
		Command: "kubectl get khchecks,khjobs,healthchecks -A --ignore-not-found",
	}}
	p.Report(f)
}

// missed tells whether a check lacks a result that it should have by now, and since when: it is sooner than
// overdue, which allows for one run that was missed.
func (c *check) missed(now time.Time) (since time.Time, missed bool) {
	if !c.ended {
		return c.overdue(now)
	}
	if c.staleAfter > 0 {
		// The status of such a check is written as a slow heartbeat, and not for each run.
		return c.overdue(now)
	}
	since = c.endedAt.Add(c.interval + c.timeout)
	return since, now.After(since)
}
