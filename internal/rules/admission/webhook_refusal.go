package admission

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// refusal is a write that was refused because a webhook could not be called.
type refusal struct {
	// subjects that lack what was to be written: the owner of pods, and the workload above it.
	subjects []finding.Subject
	message  string
	since    time.Time
	// lasting tells that what was refused is still lacking; an event alone tells of its moment.
	lasting  bool
	evidence finding.Evidence
}

// failedCall finds the name of the webhook in the API server's words
// (k8s.io/apiserver/pkg/util/webhook/error.go, ErrCallingWebhook).
var failedCall = regexp.MustCompile(`failed calling webhook "([^"]+)"`)

// refusals leaves out refusals that name another Service than the webhook's: configurations of several
// revisions of one program have webhooks of one name (the API server's words hold the URL that it called,
// k8s.io/apiserver/pkg/util/webhook/webhook.go, HookClient, and k8s.io/apiserver/pkg/util/proxy).
func (w webhook) refusals(all map[string][]refusal) []refusal {
	service := w.backend.service
	if service.Name == "" {
		return all[w.name]
	}
	return slices.DeleteFunc(slices.Clone(all[w.name]), func(r refusal) bool {
		m := calledService.FindStringSubmatch(r.message)
		return m != nil && (m[1] != service.Name || m[2] != service.Namespace)
	})
}

// calledService finds the Service that was called, in the URL.
var calledService = regexp.MustCompile(`https://([a-z0-9-]+)\.([a-z0-9-]+)\.svc[:/]`)

// recent is how old the last event about a refused write may be to tell of the present: controllers
// try again after at most 1000 s (k8s.io/client-go/util/workqueue, DefaultTypedControllerRateLimiter).
const recent = 1000 * time.Second

// refusals returns the refused writes by the name of the webhook that could not be called.
func refusals(p *rule.Pass) map[string][]refusal {
	out := map[string][]refusal{}
	seen := map[finding.Subject]bool{}
	for _, c := range p.CreateFailures() {
		m := failedCall.FindStringSubmatch(c.Message)
		if m == nil {
			continue
		}
		r := refusal{subjects: []finding.Subject{c.Owner}, message: c.Message, since: c.Since, lasting: true, evidence: c.Evidence}
		if c.Workload != c.Owner {
			r.subjects = append(r.subjects, c.Workload)
		}
		r.evidence.Value = finding.Quote(r.evidence.Value)
		seen[c.Owner] = true
		out[m[1]] = append(out[m[1]], r)
	}
	for _, e := range snapshot.List[*corev1.Event](p.Snapshot) {
		if e.Type != corev1.EventTypeWarning || !strings.Contains(e.Message, "failed calling webhook") || p.Now().Sub(snapshot.EventTime(e)) > recent {
			continue
		}
		o := e.InvolvedObject
		subject := finding.Subject{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
		m := failedCall.FindStringSubmatch(e.Message)
		if m == nil || seen[subject] {
			continue
		}
		seen[subject] = true
		out[m[1]] = append(out[m[1]], refusal{
			subjects: []finding.Subject{subject}, message: e.Message, since: snapshot.EventStart(e),
			evidence: finding.Evidence{
				Source: "Event " + finding.Named(subject), Path: cmp.Or(e.Reason, "message"), Value: finding.Quote(e.Message), At: finding.Timestamp(snapshot.EventTime(e)),
			},
		})
	}
	return out
}

// tryLease asks whether a Lease would be let in where the control plane's own have run out and a
// webhook that may refuse catches them. Where its backend looks well, that alone tells.
func tryLease(p *rule.Pass, all []webhook, out map[string][]refusal) {
	leader := snapshot.ControllerManager
	f := p.Writer(leader)
	if f.State != snapshot.Dead || !slices.ContainsFunc(all, func(w webhook) bool {
		return !w.ignores && w.catches(leases, admissionregistrationv1.Update) && w.reaches(p.Snapshot, leader.Namespace)
	}) {
		return
	}
	a, ok := p.Ask(snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: leader.Namespace, Group: leases.group, Resource: leases.name})
	m := failedCall.FindStringSubmatch(a.Error)
	if !ok || a.Outcome != snapshot.Rejected || m == nil {
		return
	}
	out[m[1]] = append(out[m[1]], refusal{
		subjects: []finding.Subject{{Kind: "Lease", Namespace: leader.Namespace, Name: leader.Name}}, message: a.Error, since: f.LastSeen, lasting: true,
		evidence: finding.Evidence{Source: "API server", Path: "create leases in " + leader.Namespace + " (dry run)", Value: finding.Quote(a.Error), At: finding.Timestamp(a.At)},
	})
}
