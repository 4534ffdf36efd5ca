package checks

import (
	"fmt"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CheckOperatorOverloaded",
	Title: finding.Text{EN: "checks run late", KO: "check 실행이 늦어지고 있습니다"},
	Doc: finding.Text{
		EN: "Checks say (Ready is False, Overloaded) that their runs begin late, or are left out, since their operator has more to do than it can. That is no word about what they ask: their verdicts stand, only older than their periods say. " +
			"More replicas share the checks among them; longer periods and shorter timeouts make for less work. One finding for all such checks. Left alone: the first five minutes, as after a start or a fail-over, and suspended checks.",
		KO: "operator가 처리할 수 있는 것보다 할 일이 많아 실행이 늦게 시작되거나 건너뛴다고 check가 알리고 있습니다(Ready가 False, Overloaded). 점검 대상에 대한 말이 아닙니다. 판정은 유효하되 주기보다 오래된 것입니다. " +
			"replica를 늘리면 check를 나누어 맡고, 주기를 늘리거나 timeout을 줄이면 할 일이 줄어듭니다. 그런 check 전체를 하나로 알립니다. 시작이나 fail-over 직후의 5분, 일시 중지된 check는 제외합니다.",
	},
	Link:     "https://github.com/maek-dev/maek/blob/main/docs/operator.md",
	Severity: finding.Warning,
	Needs:    checkNeeds(runnerNeeds()...),
	For:      5 * time.Minute,
	Detect:   detectCheckOperatorOverloaded,
})

// checksTold is how many checks are named where there may be thousands.
const checksTold = 5

func detectCheckOperatorOverloaded(p *rule.Pass) {
	var names []string
	var since time.Time
	var evidence []finding.Evidence
	all := 0
	for _, c := range checksOf(p.Snapshot).all {
		if c.spec == nil || c.paused {
			continue
		}
		all++
		if c.overloaded == nil {
			continue
		}
		names = append(names, finding.Qualified(c.subject))
		at := c.overloaded.LastTransitionTime.Time
		since = finding.Earlier(since, at)
		if len(evidence) < checksTold {
			evidence = append(evidence, finding.Evidence{Source: finding.Named(c.subject), Path: ".status.conditions[Ready].reason", Value: v1alpha1.ReasonOverloaded, At: finding.Timestamp(at)})
		}
	}
	if len(names) == 0 {
		return
	}
	subject := finding.Subject{Kind: "CustomResourceDefinition", Name: snapshot.KindOf[*v1alpha1.Check]().GroupResource()}
	remedy := finding.Remedy{
		Text:    finding.Textf("add replicas to Maek's operator: they share the checks", "Maek operator의 replica를 늘립니다. 여러 replica가 check를 나누어 맡습니다"),
		Command: "kubectl get deployments -A | grep maek-operator",
	}
	r := runnersOf(p.Snapshot)
	for _, d := range r.deployments {
		if runnerImage(&d.Spec.Template.Spec) != maekImage {
			continue
		}
		subject = snapshot.SubjectOf(d)
		replicas := int32(1)
		if d.Spec.Replicas != nil {
			replicas = *d.Spec.Replicas
		}
		remedy.Command = fmt.Sprintf("kubectl -n %s scale deployment/%s --replicas=%d", d.Namespace, d.Name, replicas+1)
		break
	}
	p.Report(finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismExhausted, Since: since, Evidence: evidence,
		Title: finding.Textf("%s: %d of %d Checks run late: their operator has more to do than it can", "%s: Check %[3]d개 가운데 %[2]d개가 늦게 실행됩니다. operator가 처리할 수 있는 것보다 할 일이 많습니다", finding.Named(subject), len(names), all),
		Why:   finding.Format("%s; that says nothing about what they ask", "%s; 점검 대상의 상태와는 관계없습니다", finding.List(names)),
		Remedies: finding.Remedies{Now: []finding.Remedy{remedy}, Later: []finding.Remedy{{
			Text: finding.Textf("give checks longer periods, and shorter timeouts to those whose targets hang", "check의 주기를 늘리고, 응답이 멈추는 대상에는 더 짧은 timeout을 둡니다"),
		}}},
	})
}
