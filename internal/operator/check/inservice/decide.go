package inservice

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// kind of an action.
type kind int

const (
	// open gives a pod the condition True that it lacks.
	open kind = iota
	// giveBack makes it True again.
	giveBack
	// refresh tells that False goes on to be so.
	refresh
	// take makes it False, if the examination lets it.
	take
	// withhold tells why a pod that fails is kept in.
	withhold
)

// action is something to be done with a pod.
type action struct {
	kind kind
	pod  pod
	// check that it is done for; nil where that is not known any more.
	check *v1alpha1.Check
	// reason in one word and message in a sentence.
	reason, message string
	// dry tells that it is only told of.
	dry bool
	// mine tells that this replica is the one to do it; the others wait for a while.
	mine bool
	// verdict and control are what a pod is to be taken out for, and beside whom it is asked again.
	verdict verdict
	control plan.Pod
	bounds  bounds
}

// state is all that is decided by.
type state struct {
	now time.Time
	// age is this replica's own count of time, which no clock that is set moves.
	age time.Duration
	// settled is for how long this replica has looked on without a gap.
	settled time.Duration
	// pods that are out, that have no condition yet, or that fail.
	pods    map[types.UID]watched
	records map[types.UID]*record
	// bounds by namespace; of those that are missing nothing is known.
	bounds map[string]bounds
	// ledger, and checks of its entries by UID: those that are gone are nil, and where one could not be read
	// it is missing.
	ledger      ledger
	ledgerKnown bool
	checks      map[types.UID]*v1alpha1.Check
	// resting tells that a check is suspended or in maintenance.
	resting func(*v1alpha1.Check) bool
	// closed says that a policy's hours are over; it is empty where they are not.
	closed func(bounds) string
	// dry is the ledger of what was only told of.
	dry ledger
	// forbidden are namespaces in which no pod may be patched, with what to do about it.
	forbidden map[string]string
	// storm says why the checks of the whole cluster are no guide; empty where they are. calm is for how long
	// they have been again; never where they always were.
	storm string
	calm  time.Duration
	// crowds is, for checks of whose pods too many failed at a time, for how long that has been over.
	crowds map[types.UID]time.Duration
	// siblings are all pods of namespaces that have a pod that fails, and workloads are they by their workloads.
	siblings  map[types.UID]sibling
	workloads map[string][]types.UID
}

// watched is a pod that names the gate, with what this replica has seen of it.
type watched struct {
	pod
	seen sighting
	// owned tells that this replica owns it.
	owned bool
}

// sibling is a pod beside one that fails.
type sibling struct {
	name, workload string
	created        time.Time
	terminating    bool
}

// care looks after the conditions that there are, and those that are missing.
func care(s *state) []action {
	var out []action
	for _, w := range s.pods {
		switch {
		case w.leaving:
		case w.gate == nil:
			out = append(out, action{kind: open, pod: w.pod, reason: reasonNoVerdict, mine: w.owned, message: "no check has found the pod to fail"})
		case w.out():
			if a, ok := careOut(s, w); ok {
				out = append(out, a)
			}
		}
	}
	for _, e := range s.dry.outs() {
		if reason, message := dueDry(s, e); reason != "" {
			out = append(out, action{
				kind: giveBack, pod: pod{NamespacedName: e.name(), uid: e.UID}, check: s.checkOf(e.Check),
				reason: reason, message: message, dry: true, mine: true,
			})
		}
	}
	return out
}

// careOut says what is to be done with a pod that is held back.
func careOut(s *state, w watched) (action, bool) {
	e, entered := s.ledger.find(w.uid)
	a := action{pod: w.pod, check: s.checkOf(e.Check), mine: w.owned}
	if reason, message := due(s, w, e, entered); reason != "" {
		a.kind, a.reason, a.message = giveBack, reason, message
		// Who has the results knows best.
		a.mine = a.mine || reason == reasonRecovered
		return a, true
	}
	if r := s.records[e.Check]; entered && r != nil && s.fresh(r) && r.pods[w.uid].color != unknown {
		every := max(r.period(), minRefresh)
		if s.now.Sub(w.gate.LastProbeTime.Time).Abs() >= every-every/4 {
			a.kind, a.reason, a.mine = refresh, reasonFailed, true
			a.message = r.pods[w.uid].sentence(r.check)
			if r.pods[w.uid].color == green {
				a.message = w.gate.Message
			}
			return a, true
		}
	}
	return action{}, false
}

// minRefresh is how often a condition is written anew at most.
const minRefresh = 30 * time.Second

// due says why a pod that is held back is to be given back; the reason is empty while it is not.
func due(s *state, w watched, e entry, entered bool) (reason, message string) {
	if reason, message := s.revoked(w.Namespace, e.Check, entered); reason != "" {
		return reason, message
	}
	longest := longestOf(s.bounds[w.Namespace], e)
	began := w.gate.LastTransitionTime.Time
	if s.age-w.seen.out >= longest || !began.IsZero() && s.now.Sub(began) >= longest {
		return reasonTooLong, fmt.Sprintf("it was out of service for %s, which is as long as the policy allows", longest)
	}
	if r := s.records[e.Check]; entered && r != nil && s.fresh(r) && recovered(r, w.uid) {
		return reasonRecovered, fmt.Sprintf("Check %s finds it healthy", r.check.Name)
	}
	if !s.ledgerKnown {
		return "", ""
	}
	after := staleAfter(0)
	if entered && e.StaleAfter > after {
		after = e.StaleAfter
	}
	told := w.gate.LastProbeTime.Time
	if told.Before(began) {
		told = began
	}
	// By another's clock only after twice the time: it may be ahead or behind.
	if s.age-w.seen.unchanged >= after || !told.IsZero() && s.now.Sub(told) >= 2*after {
		return reasonStale, fmt.Sprintf("no run of the check has confirmed for %s that the pod fails", after)
	}
	return "", ""
}

// longestMost is the greatest maxSeconds (api/maek/v1alpha1/checkpolicy_types.go).
const longestMost = 24 * time.Hour

// longestOf is how long a pod is out at most: what the policies say now or said then, whichever is less, and
// where nobody knows the default.
func longestOf(b bounds, e entry) time.Duration {
	longest := b.longest
	// What no policy can say is none's.
	if e.Longest > 0 && e.Longest <= longestMost && (longest == 0 || e.Longest < longest) {
		longest = e.Longest
	}
	if longest == 0 {
		longest = boundsIn(&v1alpha1.TakeOutOfServicePolicy{}).longest
	}
	return longest
}

// revoked says why nobody may be held back for a check any more.
func (s *state) revoked(namespace string, uid types.UID, entered bool) (reason, message string) {
	b := s.bounds[namespace]
	switch {
	case b.paused:
		return reasonPaused, pausedMessage
	case b.known && !b.enforce:
		return reasonNotAllowed, "no CheckPolicy for the namespace has takeOutOfService.mode: Enforce any more"
	}
	if !entered {
		return "", ""
	}
	return s.ended(uid)
}

// ended says why a check holds nobody back any more.
func (s *state) ended(uid types.UID) (reason, message string) {
	check, known := s.checks[uid]
	switch {
	case !known:
		return "", ""
	case check == nil || check.DeletionTimestamp != nil:
		return reasonCheckGone, "the check was deleted"
	case s.resting(check):
		return reasonResting, fmt.Sprintf("Check %s is suspended or in maintenance", check.Name)
	case check.Spec.TakeOutOfService == nil || check.Spec.TakeOutOfService.Mode != v1alpha1.ModeEnforce:
		return reasonNotAsked, fmt.Sprintf("Check %s has no takeOutOfService.mode: Enforce any more", check.Name)
	}
	return "", ""
}

// dueDry is due for a pod of which it was only told that it would be out.
func dueDry(s *state, e entry) (reason, message string) {
	if s.bounds[e.Namespace].paused {
		return reasonPaused, pausedMessage
	}
	// That it is not enforced is what makes it dry.
	if reason, message := s.ended(e.Check); reason != "" && reason != reasonNotAsked {
		return reason, message
	}
	r := s.records[e.Check]
	switch {
	case s.now.Sub(e.last()) >= e.Longest:
		return reasonTooLong, fmt.Sprintf("it would have been out of service for %s, which is as long as the policy allows", e.Longest)
	case r != nil && s.fresh(r) && recovered(r, e.UID):
		return reasonRecovered, fmt.Sprintf("Check %s finds it healthy", r.check.Name)
	case r == nil || s.now.Sub(r.at) >= e.StaleAfter || r.pods[e.UID].pod.UID == "":
		return reasonStale, "nobody confirms any more that it fails"
	}
	return "", ""
}

// fresh tells that the newest run is not older than two periods, and not of a time to come.
func (s *state) fresh(r *record) bool {
	old := s.now.Sub(r.at)
	return r.period() > 0 && old <= 2*r.period() && old >= -r.period()
}

func (s *state) checkOf(uid types.UID) *v1alpha1.Check {
	if c := s.checks[uid]; c != nil {
		return c
	}
	if r := s.records[uid]; r != nil {
		return r.check
	}
	return nil
}

func recovered(r *record, uid types.UID) bool {
	v := r.pods[uid]
	return v.color == green && v.successes >= threshold(r.check.Spec.SuccessThreshold, 1)
}

// sentence says what a check has against a pod.
func (v verdict) sentence(check *v1alpha1.Check) string {
	return fmt.Sprintf("Check %s: %s: %s", check.Name, v.reason, v.message)
}
