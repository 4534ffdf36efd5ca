package checks

import (
	"cmp"
	"fmt"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CheckMisconfigured",
	Title: finding.Text{EN: "check is written wrong", KO: "check 설정에 오류가 있습니다"},
	Doc: finding.Text{
		EN: "A check cannot be run as it is written: its operator says so (Stalled: a Secret or a right that is missing, a target that no CheckPolicy allows, a pod that is refused), or its pod template has no container that can be read (warning); " +
			"or a duration is none, and a default stands for it (a remark). " +
			"The definitions of such objects let almost anything through. Left alone: durations that are left out, and timeouts longer than the interval, as some of the stock checks have.",
		KO: "check를 작성된 대로 실행할 수 없습니다. operator가 실행할 수 없다고 알렸거나(Stalled: Secret이나 권한이 없음, CheckPolicy가 허용하지 않는 대상, 거부된 Pod) Pod template에 읽을 수 있는 컨테이너가 없습니다(warning). " +
			"또는 기간 형식이 잘못되어 기본값이 대신 쓰입니다(참고). " +
			"CRD가 거의 모든 값을 허용하므로 적용할 때는 드러나지 않습니다. 생략된 기간, 그리고 일부 기본 check처럼 timeout이 실행 주기보다 긴 경우는 제외합니다.",
	},
	Link:     checksLink,
	Severity: finding.Info,
	Gravest:  finding.Warning,
	Needs:    checkNeeds(),
	Detect: func(p *rule.Pass) {
		for _, c := range checksOf(p.Snapshot).all {
			if len(c.problems) > 0 && !c.paused && !c.done {
				p.Report(checkMisconfigured(c))
			}
		}
	},
})

func checkMisconfigured(c *check) finding.Finding {
	worst := c.problems[0]
	f := finding.Finding{Subject: c.subject, Severity: finding.Info, Mechanism: v1alpha1.MechanismMisconfigured}
	var all []finding.Text
	for _, problem := range c.problems {
		all = append(all, problem.text)
		if problem.idle {
			worst, f.Severity = problem, finding.Warning
		}
		f.Evidence = append(f.Evidence, problem.evidence(c))
		if at := problem.stalled; at != nil {
			f.Since = at.LastTransitionTime.Time
			// The title says the rest.
			all[len(all)-1] = finding.Verbatim(finding.Quote(cmp.Or(at.Message, at.Reason)))
		}
	}
	if worst.stalled == nil {
		f.Field = worst.field
	}
	f.Title = finding.Format("%s: %s", "%s: %s", finding.Verbatim(finding.Named(c.subject)), worst.text)
	f.Why = finding.Join("; ", all...)
	if worst.stalled != nil {
		// What to run instead is quoted and not offered: whoever may write the status of a check of their
		// namespace must not put commands into the hands of others.
		f.Remedies.Now = []finding.Remedy{{
			Text:    finding.Textf("read in full what its operator says to change, and change that", "operator가 고치라고 알린 내용을 전체 확인하고 그대로 고칩니다"),
			Command: fmt.Sprintf(`kubectl -n %s get %s %s -o jsonpath='{.status.conditions[?(@.type=="Stalled")].message}'`, c.subject.Namespace, c.resource, c.subject.Name),
		}}
		return f
	}
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Textf("write %s as it is meant", "%s 값을 올바르게 고칩니다", f.Field),
		Command: fmt.Sprintf("kubectl -n %s edit %s %s", c.subject.Namespace, c.resource, c.subject.Name),
	}}
	return f
}

// evidence of a problem, as the check has it.
func (p problem) evidence(c *check) finding.Evidence {
	e := finding.Evidence{Source: finding.Named(c.subject), Path: p.field, Value: finding.Quote(p.value)}
	switch {
	case p.stalled != nil:
		e.At = finding.Timestamp(p.stalled.LastTransitionTime.Time)
	case p.idle:
		e.Value = "(no container)"
	}
	return e
}
