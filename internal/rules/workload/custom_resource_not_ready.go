package workload

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CustomResourceNotReady",
	Title: finding.Text{EN: "custom resource says that it is not well", KO: "custom resource가 정상 상태가 아닙니다"},
	Doc: finding.Text{
		EN: "The status of a custom resource says that something is wrong, in the conditions that controllers share by convention: Ready, Available, " +
			"Healthy, Synced or Reconciled is False, or Stalled, Degraded or Failed is True; of kinds without such conditions, a phase such as Failed. " +
			"Where many objects of a kind complain, they are one finding about the kind. Left alone: what changed in the last fifteen minutes (an hour, " +
			"where the controller says that it works on it), what is suspended, paused or being deleted, objects that another custom resource controls, and " +
			"kinds whose objects are single runs (backups, pipeline runs, certificate requests), where a failed one is history.",
		KO: "custom resource의 status가 이상을 나타냅니다. 관례에 따른 condition 중 Ready, Available, Healthy, Synced, Reconciled가 False이거나 Stalled, Degraded, Failed가 True인 경우, " +
			"이런 condition이 없는 종류는 phase가 Failed 등인 경우입니다. 같은 종류의 객체 여러 개가 해당하면 그 종류에 대한 하나의 항목으로 알립니다. " +
			"최근 15분(controller가 작업 중이라고 하면 1시간) 안의 변화, 일시 중지되었거나 삭제 중인 객체, 다른 custom resource가 관리하는 객체, " +
			"개별 실행을 나타내는 종류(backup, pipeline run, certificate request 등)는 제외합니다.",
	},
	Link:            "https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties",
	Severity:        finding.Warning,
	Needs:           []rule.Need{rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.StatefulSet]()},
	CustomResources: true,
	For:             customPatience,
	Symptom:         true,
	Detect:          customResourceNotReady,
})

const (
	// customPatience is how long a custom resource may be unwell: controllers make things outside of the
	// cluster, such as databases and certificates, and retry with a back-off of minutes.
	customPatience = 15 * time.Minute
	// customWorking is the same where its controller says that it works on it.
	customWorking = time.Hour
	// customTold is how many objects of a kind have findings of their own; more are one finding about the kind.
	customTold = 3
)

func customResourceNotReady(p *rule.Pass) {
	resources := p.CustomResources()
	speaks := make(map[finding.Subject]bool, len(resources))
	for _, r := range resources {
		if judged(r) && (len(r.Conditions) > 0 || r.Phase != "") {
			speaks[r.Subject()] = true
		}
	}
	byKind := map[snapshot.Kind][]complaint{}
	var kinds []snapshot.Kind
	for _, r := range resources {
		if !judged(r) || ofAnother(r, speaks) {
			continue
		}
		if c, ok := complaintOf(r); ok {
			if byKind[r.Kind] == nil {
				kinds = append(kinds, r.Kind)
			}
			byKind[r.Kind] = append(byKind[r.Kind], c)
		}
	}
	controllers := controllersByName(p)
	told := map[finding.Subject]bool{} // Kinds of different groups may have one name.
	for _, k := range kinds {
		complaints := lasting(p, byKind[k])
		if len(complaints) > customTold || slices.ContainsFunc(complaints, func(c complaint) bool { return told[c.resource.Subject()] }) {
			p.Report(waitingFor(controllers, kindNotReady(p, complaints), complaints[0].resource))
			continue
		}
		for _, c := range complaints {
			told[c.resource.Subject()] = true
			p.Report(waitingFor(controllers, c.finding(p), c.resource))
		}
	}
	tellUnread(p)
}

// waitingFor completes a finding about custom resources with the workload that is their controller.
func waitingFor(controllers map[string]finding.Subject, f finding.Finding, r *snapshot.CustomResource) finding.Finding {
	manager, _ := statusWritten(r)
	if workload, ok := controllerOfKind(controllers, manager); ok {
		f.WaitsFor = append(f.WaitsFor, workload)
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Textf("see what %s logs, which writes its status", "status를 기록하는 %s의 로그를 확인합니다", finding.Named(workload)),
			Command: fmt.Sprintf("kubectl -n %s logs %s --tail=50", workload.Namespace, argument(workload)),
		})
	}
	return f
}

// lasting leaves out, of many complaints, those that may pass, so that a few that last are told each;
// where none lasts, all are kept and settle.
func lasting(p *rule.Pass, complaints []complaint) []complaint {
	last := slices.Clone(complaints)
	last = slices.DeleteFunc(last, func(c complaint) bool { return c.settles(p) })
	if len(last) == 0 {
		return complaints
	}
	return last
}

// settles tells whether what an object complains of may yet pass.
func (c complaint) settles(p *rule.Pass) bool {
	since := c.began(p)
	return !since.IsZero() && p.Now().Sub(since) < c.patience()
}

func (c complaint) patience() time.Duration {
	if c.underWay {
		return customWorking
	}
	return customPatience
}

// began is when the object began to be unwell, or its spec was changed last, which starts all anew.
func (c complaint) began(p *rule.Pass) time.Time {
	since := c.since
	if since.IsZero() {
		since = c.resource.CreationTimestamp.Time
	}
	if written := snapshot.SpecWritten(c.resource); written.Before(p.Now()) && c.underWay {
		since = finding.Later(since, written)
	}
	return since
}

func (c complaint) evidence() finding.Evidence {
	value := c.value
	if c.message != "" {
		value += ": " + finding.Quote(c.message)
	}
	return finding.Evidence{Source: finding.Named(c.resource.Subject()), Path: c.path, Value: value, At: finding.Timestamp(c.since)}
}

func (c complaint) says() finding.Text {
	if c.message == "" {
		return finding.Verbatim(c.word)
	}
	return finding.Join(": ", finding.Verbatim(c.word), quoted(c.message))
}

func (c complaint) finding(p *rule.Pass) finding.Finding {
	subject := c.resource.Subject()
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismDegraded, Since: c.began(p), Settling: c.settles(p),
		Title:    finding.Textf("%s: its controller says %s", "%s: controller가 보고한 상태는 %s입니다", finding.Named(subject), c.word),
		Why:      c.says(),
		Evidence: []finding.Evidence{c.evidence()},
	}
	f.Remedies = customRemedies(c.resource, false)
	if manager, at := statusWritten(c.resource); manager != "" {
		f.Why = finding.Join("; ", f.Why, finding.Textf("written by %q at %s", "%q, %s에 기록", manager, finding.Clock(p.Now(), at)))
	}
	return f
}

// kindNotReady tells of many objects of one kind at once: their controller, or what it works with, is
// more likely to be the matter than each of them.
func kindNotReady(p *rule.Pass, complaints []complaint) finding.Finding {
	kind := complaints[0].resource.Kind
	words := groupBy(complaints, func(c complaint) finding.Subject { return finding.Subject{Kind: c.word} })
	slices.SortStableFunc(words, func(a, b group[complaint]) int { return len(b.Items) - len(a.Items) })
	f := finding.Finding{
		Subject: definitionOf(kind), Mechanism: v1alpha1.MechanismDegraded,
		Title: finding.Textf("%s: %d objects are not well", "%s: 객체 %d개가 정상 상태가 아닙니다", kind.GroupResource(), len(complaints)),
	}
	var texts []finding.Text
	for _, w := range words[:min(len(words), changesTold)] {
		names := make([]string, 0, len(w.Items))
		for _, c := range w.Items {
			names = append(names, finding.Qualified(c.resource.Subject()))
		}
		texts = append(texts, finding.Format("%s: %s", "%s: %s", w.Items[0].says(), finding.List(names)))
		f.Evidence = append(f.Evidence, w.Items[0].evidence())
	}
	if more := len(words) - changesTold; more > 0 {
		texts = append(texts, finding.Textf("and %d other complaints", "그 밖에 %d가지", more))
	}
	f.Settling = true
	for _, c := range complaints {
		f.Since = finding.Earlier(f.Since, c.began(p))
		f.Settling = f.Settling && c.settles(p)
	}
	f.Why = finding.Join("; ", texts...)
	f.Remedies = customRemedies(complaints[0].resource, true)
	return f
}

func customRemedies(r *snapshot.CustomResource, all bool) finding.Remedies {
	out := finding.Remedies{Now: []finding.Remedy{{
		Text:    finding.Text{EN: "see what its controller says of it", KO: "controller가 남긴 상태와 이벤트를 확인합니다"},
		Command: resourceCommand(r, all),
	}}}
	manager, _ := statusWritten(r)
	text := finding.Text{EN: "find the pods of the kind's controller and see what they log; the objects do not tell its name", KO: "이 종류를 담당하는 controller의 Pod를 찾아 로그를 확인합니다. 객체에는 controller 이름이 남아 있지 않습니다"}
	if manager != "" {
		text = finding.Textf("find the pods of the controller that writes as %q and see what they log", "status를 기록하는 controller %q의 Pod를 찾아 로그를 확인합니다", manager)
	}
	out.Now = append(out.Now, finding.Remedy{Text: text, Command: "kubectl get pods -A -o wide | grep -i " + controllerWord(r, manager)})
	return out
}
