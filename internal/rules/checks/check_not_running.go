package checks

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CheckNotRunning",
	Title: finding.Text{EN: "check has no new result", KO: "check의 새 결과가 없습니다"},
	Doc: finding.Text{
		EN: "A check has had no result for longer than two of its intervals and a timeout, or has never run though it is there for longer than ten minutes and a timeout. Its last verdict, good or bad, says nothing any more: " +
			"a status page may have been green for days. Whoever runs checks is dead or does not run this one (CheckOperatorMissing), its namespace is being deleted, or its pod template is none. " +
			"Many checks of a namespace are one finding. A check that runs and cannot ask its target, so that its verdict is Unknown, is told as a remark: it may be so on purpose, as where what it asks is scaled to zero. Left alone: suspended checks, those being deleted, jobs that are done, and a single run that was missed.",
		KO: "check의 결과가 실행 주기의 두 배에 timeout을 더한 시간보다 오래 갱신되지 않았거나, 생성된 지 10분과 timeout이 지났는데 한 번도 실행되지 않았습니다. 마지막 판정은 좋든 나쁘든 더 이상 의미가 없으며, " +
			"status page가 며칠째 정상으로만 보일 수 있습니다. check를 실행하는 주체가 멈췄거나 이 check를 실행하지 않거나(CheckOperatorMissing), namespace가 삭제 중이거나, Pod template이 잘못된 경우입니다. " +
			"한 namespace의 check 여러 개는 하나로 알립니다. 실행되지만 대상에 물을 수 없어 판정이 Unknown인 check는 대상을 0으로 줄인 경우처럼 의도일 수 있으므로 참고로 알립니다. 일시 중지되거나 삭제 중인 check, 끝난 job, 한 번만 건너뛴 실행은 제외합니다.",
	},
	Link:     checksLink,
	Severity: finding.Warning,
	Needs:    checkNeeds(append(runnerNeeds(), rule.Optional[*corev1.Namespace]())...),
	Symptom:  true,
	Causes: slices.Concat(
		reachedBy(isOverloaded, "CheckOperatorOverloaded"),
		[]rule.Cause{{Code: "CheckMisconfigured", Via: rule.Itself}, {Code: "NamespaceStuckTerminating", Via: rule.Itself}, {Code: "CheckOperatorMissing", Via: rule.Cluster}},
		reachedBy(anyCheck, creating...),
	),
	Detect: detectCheckNotRunning,
})

// toldEach is how many idle checks of a namespace have findings of their own; more are one about the
// namespace.
const toldEach = 3

// idle is a check without a new result, and since when that is longer than it may be.
type idle struct {
	*check
	since time.Time
}

func detectCheckNotRunning(p *rule.Pass) {
	var order []string
	in := map[string][]idle{}
	for _, c := range checksOf(p.Snapshot).all {
		since, overdue := c.overdue(p.Now())
		if c.undecided(p.Now()) && !overdue {
			p.Report(checkUndecided(p, c))
			continue
		}
		if !overdue {
			continue
		}
		if in[c.subject.Namespace] == nil {
			order = append(order, c.subject.Namespace)
		}
		in[c.subject.Namespace] = append(in[c.subject.Namespace], idle{c, since})
	}
	for _, ns := range order {
		if len(in[ns]) > toldEach {
			p.Report(completed(p, ns, idleTogether(p, ns, in[ns])))
			continue
		}
		for _, c := range in[ns] {
			p.Report(completed(p, ns, checkIdle(p, c)))
		}
	}
	unread(p)
}

func checkIdle(p *rule.Pass, c idle) finding.Finding {
	f := finding.Finding{Subject: c.subject, Mechanism: v1alpha1.MechanismStopped, Since: c.since}
	if !c.future.IsZero() {
		f.Title = finding.Textf("%s: its newest result is of the future", "%s: 최근 결과의 시각이 미래입니다", finding.Named(c.subject))
		f.Why = finding.Textf("Its newest run is said to have ended at %s, so that it cannot be told when it ran; the clock of who wrote that was wrong, or it was written by hand.",
			"최근 실행이 %s에 끝난 것으로 기록되어 있어 실제로 언제 실행되었는지 알 수 없습니다. 기록한 쪽의 시계가 잘못되었거나 수동으로 기록된 값입니다.", finding.Clock(p.Now(), c.future))
		f.Evidence = []finding.Evidence{{Source: c.source, Path: "newest result", Value: c.future.UTC().Format(time.RFC3339)}}
		return f
	}
	if !c.ended {
		f.Title = finding.Format("%s: it has never run", "%s: 한 번도 실행되지 않았습니다", finding.Verbatim(finding.Named(c.subject)))
		f.Why = finding.Textf("It is there since %s, and no run of it has ended.", "%s에 생성되었으나 끝난 실행이 없습니다.", finding.Clock(p.Now(), c.created))
		f.Evidence = []finding.Evidence{{Source: finding.Named(c.subject), Path: ".metadata.creationTimestamp", Value: c.created.UTC().Format(time.RFC3339), At: finding.Timestamp(c.created)}}
		return f
	}
	f.Title = finding.Textf("%s: no result since %s", "%s: %s 이후 새 결과가 없습니다", finding.Named(c.subject), finding.Clock(p.Now(), c.endedAt))
	if c.staleAfter > 0 {
		f.Why = finding.Textf("By its own word a result of it says nothing any more after %s: its last verdict (%s) is the past's.",
			"이 check의 결과는 %s이 지나면 의미가 없다고 기록되어 있습니다. 마지막 판정(%s)은 과거의 상태입니다.", finding.Duration(c.staleAfter), verdict(c.check))
		f.Evidence = []finding.Evidence{{Source: c.source, Path: c.path + ".observedAt", Value: c.endedAt.UTC().Format(time.RFC3339), At: finding.Timestamp(c.endedAt)}}
		return f
	}
	f.Why = finding.Textf("It should run every %s and have its result within %s; its last verdict (%s) says nothing any more.",
		"%s마다 실행되어 %s 안에 결과가 나와야 합니다. 마지막 판정(%s)은 더 이상 의미가 없습니다.", finding.Duration(c.interval), finding.Duration(c.timeout), verdict(c.check))
	f.Evidence = []finding.Evidence{{Source: c.source, Path: c.path + okField(c.kind), Value: boolean(c.ok), At: finding.Timestamp(c.endedAt)}}
	return f
}

// undecidedFor is how long a check may be without a verdict before it is told: a rollout has nobody to ask.
const undecidedFor = 10 * time.Minute

// undecided tells whether a check runs, and has not known for a while how its target is.
func (c *check) undecided(now time.Time) bool {
	return c.unknown != nil && !c.paused && c.unknown.Reason != v1alpha1.ReasonStalled && c.unknown.Reason != v1alpha1.ReasonStale && now.Sub(c.unknown.LastTransitionTime.Time) > undecidedFor
}

func checkUndecided(p *rule.Pass, c *check) finding.Finding {
	since := c.unknown.LastTransitionTime.Time
	return finding.Finding{
		Subject: c.subject, Severity: finding.Info, Mechanism: v1alpha1.MechanismStopped, Since: since,
		Title:    finding.Textf("%s: it runs, and cannot tell how its target is since %s", "%s: 실행되고 있으나 %s부터 대상의 상태를 알 수 없습니다", finding.Named(c.subject), finding.Clock(p.Now(), since)),
		Why:      finding.Format("%s: %s", "%s: %s", finding.Verbatim(finding.Quote(c.unknown.Reason)), finding.Verbatim(finding.Quote(legible(c.unknown.Message)))),
		Evidence: []finding.Evidence{{Source: c.source, Path: c.path + ".conditions[Healthy].reason", Value: finding.Quote(c.unknown.Reason), At: finding.Timestamp(since)}},
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Textf("see whom it asks, and suspend it if there is to be nobody", "누구에게 묻는지 확인하고, 대상이 없는 것이 의도라면 일시 중지합니다"),
			Command: fmt.Sprintf("kubectl -n %s get %s %s -o yaml", c.subject.Namespace, c.resource, c.subject.Name),
		}}},
	}
}

// isOverloaded tells of a check of which its operator says that it runs late.
func isOverloaded(_ *snapshot.Snapshot, c *check) bool { return c.overloaded != nil }

func verdict(c *check) string {
	switch {
	case c.ok:
		return "OK"
	case c.unknown != nil:
		return "unknown"
	}
	return "failed"
}

// idleTogether tells of many checks at once: who runs them is more likely to be the matter than each.
func idleTogether(p *rule.Pass, ns string, all []idle) finding.Finding {
	var names []string
	var last time.Time
	f := finding.Finding{Subject: finding.Subject{Kind: "Namespace", Name: ns}, Mechanism: v1alpha1.MechanismStopped}
	for _, c := range all {
		names = append(names, c.subject.Name)
		last = finding.Later(last, c.endedAt)
		f.Since = finding.Earlier(f.Since, c.since)
		f.Explains = append(f.Explains, c.subject)
	}
	f.Title = finding.Textf("namespace %s: %d checks have no new result", "namespace %s: check %d개의 새 결과가 없습니다", ns, len(all))
	f.Why = finding.Format("%s.", "%s.", finding.List(names))
	if !last.IsZero() {
		f.Why = finding.Join(" ", f.Why, finding.Textf("The newest of their results is of %s; what they last said says nothing any more.",
			"가장 최근 결과가 %s이며, 마지막 판정은 더 이상 의미가 없습니다.", finding.Clock(p.Now(), last)))
	}
	return f
}

// completed adds to a finding about idle checks who should run them.
func completed(p *rule.Pass, ns string, f finding.Finding) finding.Finding {
	r := runnersOf(p.Snapshot)
	f.WaitsFor = r.workloads()
	f.Evidence = append(f.Evidence, r.evidence(p.Snapshot)...)
	if f.Subject.Kind != "Namespace" {
		f.WaitsFor = append(f.WaitsFor, finding.Subject{Kind: "Namespace", Name: ns})
	}
	if n, ok := snapshot.Get[*corev1.Namespace](p.Snapshot, "", ns); ok && n.DeletionTimestamp != nil {
		f.Why = finding.Join(" ", f.Why, finding.Textf("Its namespace is being deleted since %s, and takes no new pods.", "namespace가 %s부터 삭제되고 있어 새 Pod를 만들 수 없습니다.", finding.Clock(p.Now(), n.DeletionTimestamp.Time)))
		f.Evidence = append(f.Evidence, finding.Evidence{Source: "Namespace " + ns, Path: ".metadata.deletionTimestamp", Value: n.DeletionTimestamp.UTC().Format(time.RFC3339), At: finding.Timestamp(n.DeletionTimestamp.Time)})
	}
	for _, d := range r.deployments {
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Textf("see what %s says, which runs checks", "check를 실행하는 %s의 로그를 확인합니다", finding.Named(snapshot.SubjectOf(d))),
			Command: fmt.Sprintf("kubectl -n %s logs deployment/%s --tail=50", d.Namespace, d.Name),
		})
	}
	if len(r.deployments) == 0 {
		f.Remedies.Now = []finding.Remedy{{
			Text:    finding.Textf("find out who runs checks in this cluster", "이 클러스터에서 check를 실행하는 operator를 찾습니다"),
			Command: "kubectl get deployments -A | grep -E 'kuberhealthy|maek'",
		}}
	}
	return f
}

func decimal(n int) string { return strconv.Itoa(n) }
