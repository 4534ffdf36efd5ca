package check

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// render writes what is known of a check into its status as it was read: conditions of others stay, and so
// do changes of the verdict and failures that another replica has written.
func (s *state) render(base *v1alpha1.CheckStatus, observer string, staleAfter int32) *v1alpha1.CheckStatus {
	base = base.DeepCopy()
	status := &v1alpha1.CheckStatus{
		ObservedGeneration: s.generation,
		Conditions:         base.Conditions,
		StaleAfterSeconds:  max(staleAfter, 1),
		Observer:           observer,
		Targets:            s.counts,
		Failing:            slices.Clone(s.failing),
		Consequences:       slices.Clone(s.consequences),
		RecentFailures: merge(s.recent, base.RecentFailures, maxRecent, func(a, b v1alpha1.CheckFailure) int {
			return cmp.Or(newestFirst(a.At, b.At), cmp.Compare(a.Target, b.Target), cmp.Compare(a.From, b.From))
		}),
		Transitions: merge(s.transitions, base.Transitions, maxTransitions, func(a, b v1alpha1.VerdictTransition) int {
			return cmp.Or(newestFirst(a.At, b.At), cmp.Compare(a.Healthy, b.Healthy))
		}),
	}
	if !s.observedAt.IsZero() {
		status.ObservedAt = new(metav1.NewTime(s.observedAt))
	}
	own := map[string]condition{v1alpha1.CheckReady: s.ready(), v1alpha1.CheckHealthy: s.shown, v1alpha1.CheckStalled: s.stalled()}
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c metav1.Condition) bool {
		_, ours := own[c.Type]
		return !ours && len(base.Conditions) > maxConditions-len(own)
	})
	for _, kind := range []string{v1alpha1.CheckReady, v1alpha1.CheckHealthy, v1alpha1.CheckStalled} {
		c := metav1.Condition{
			Type: kind, Status: own[kind].status, Reason: own[kind].reason, Message: own[kind].message, ObservedGeneration: s.generation,
		}
		if kind == v1alpha1.CheckHealthy {
			c.ObservedGeneration, c.LastTransitionTime = s.shownGeneration, metav1.NewTime(s.since)
		}
		meta.SetStatusCondition(&status.Conditions, c)
	}
	return status
}

// newestFirst compares times as status keeps them: in whole seconds.
func newestFirst(a, b metav1.Time) int { return cmp.Compare(b.Unix(), a.Unix()) }

// merge puts two lists together, without what both have. What the first has goes before.
func merge[T any](ours, others []T, most int, compare func(a, b T) int) []T {
	all := slices.Concat(ours, others)
	slices.SortStableFunc(all, compare)
	all = slices.CompactFunc(all, func(a, b T) bool { return compare(a, b) == 0 })
	return all[:min(len(all), most)]
}

// essence is what a status says, without what changes from run to run. Two of the same essence need not
// both be written.
type essence struct {
	generation, shownGeneration int64
	healthy, ready, stalled     metav1.ConditionStatus
	reasons                     string
	failing, consequences       uint64
}

var seed = maphash.MakeSeed()

// essence of what would be written now.
func (s *state) essence() essence {
	ready, stalled := s.ready(), s.stalled()
	e := essence{
		generation: s.generation, shownGeneration: s.shownGeneration,
		healthy: s.shown.status, ready: ready.status, stalled: stalled.status,
		reasons: s.shown.reason + " " + ready.reason + " " + stalled.reason,
	}
	if len(s.failing) > 0 {
		var h maphash.Hash
		h.SetSeed(seed)
		for _, f := range s.failing {
			fmt.Fprintf(&h, "%q %q %q\n", f.Target, f.From, f.Reason)
		}
		e.failing = h.Sum64()
	}
	if len(s.consequences) > 0 {
		var h maphash.Hash
		h.SetSeed(seed)
		for _, c := range s.consequences {
			fmt.Fprintf(&h, "%d %q %q %q\n", c.At.Unix(), c.Action, c.Pod, c.Reason)
		}
		e.consequences = h.Sum64()
	}
	return e
}

// urgency is how soon a status is to be written.
type urgency int

// The urgencies.
const (
	notAtAll urgency = iota
	// heartbeat says only that somebody still looks.
	heartbeat
	// detail has changed: a reason, the targets that fail.
	detail
	// turn of a condition.
	turn
	// alarm: the verdict is bad from now on, or is no longer. It does not wait until thousands of first verdicts
	// are written that are good.
	alarm
)

// urgency compares with what was written last.
func (e essence) urgency(written essence) urgency {
	switch {
	case e == written:
		return notAtAll
	case e.healthy != written.healthy && (e.healthy == metav1.ConditionFalse || written.healthy == metav1.ConditionFalse):
		return alarm
	case e.healthy != written.healthy, e.stalled != written.stalled, e.generation != written.generation, e.shownGeneration != written.shownGeneration:
		return turn
	}
	return detail
}
