package check

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// adopt begins where the status says that whoever ran the check before stopped, so that nothing recovers or
// fails because its replica did. It returns what was written, and whether the length of the streak matters,
// which status does not tell: adoptStreak takes it then.
func adopt(check *v1alpha1.Check, now time.Time) (s *state, written essence, streakMatters bool) {
	s = &state{begunAt: now, anew: true}
	status := &check.Status
	s.follow(check, now)
	s.shown, s.transitions = condition{}, nil
	if status.ObservedAt != nil {
		s.observedAt = status.ObservedAt.Time
	}
	if s.observedAt.After(now) {
		s.observedAt = now // the clock of whoever wrote that is ahead
	}
	s.transitions, s.recent = slices.Clone(status.Transitions), slices.Clone(status.RecentFailures)
	s.consequences = slices.Clone(status.Consequences)
	healthy := meta.FindStatusCondition(status.Conditions, v1alpha1.CheckHealthy)
	if healthy != nil {
		s.shown = condition{healthy.Status, healthy.Reason, healthy.Message}
		s.shownGeneration, s.since = healthy.ObservedGeneration, healthy.LastTransitionTime.Time
	}
	if status.ObservedGeneration == check.Generation {
		streakMatters = s.adoptVerdict(status, healthy)
	}
	written = writtenIn(status)
	if healthy == nil {
		s.note(now)
	}
	return s, written, streakMatters
}

func (s *state) adoptVerdict(status *v1alpha1.CheckStatus, healthy *metav1.Condition) (streakMatters bool) {
	s.counts, s.failing = status.Targets.DeepCopy(), slices.Clone(status.Failing)
	if stalled := meta.FindStatusCondition(status.Conditions, v1alpha1.CheckStalled); stalled != nil {
		s.accepted = stalled.Status == metav1.ConditionFalse
		if stalled.Status == metav1.ConditionTrue {
			s.refusal = plan.Refuse(stalled.Reason, "%s", stalled.Message)
			return false
		}
	}
	if healthy == nil || healthy.ObservedGeneration != s.generation || healthy.Status == metav1.ConditionUnknown {
		return false
	}
	newest := v1alpha1.ResultSuccess
	if (healthy.Status == metav1.ConditionFalse) != (healthy.Reason == v1alpha1.ReasonRetrying || healthy.Reason == v1alpha1.ReasonRecovering) {
		newest = v1alpha1.ResultFailure
	}
	s.anew = false
	s.history.Healthy, s.history.Since, s.history.Streak = healthy.Status, healthy.LastTransitionTime.Time, 1
	s.history.Outcomes = []v1alpha1.Outcome{{Result: newest}}
	if len(s.recent) > 0 {
		s.reason, s.message = s.recent[0].Reason, s.recent[0].Message
	}
	if healthy.Status == metav1.ConditionFalse && healthy.Reason != v1alpha1.ReasonRecovering {
		s.reason, s.message = healthy.Reason, healthy.Message
	}
	return healthy.Reason == v1alpha1.ReasonRetrying || healthy.Reason == v1alpha1.ReasonRecovering
}

// adoptStreak takes the length of the streak that somebody else has recorded, where no run ended since.
func (s *state) adoptStreak(streak int32) {
	if s.last == nil {
		s.history.Streak = max(streak, s.history.Streak)
	}
}

// writtenIn is the essence of a status as it was read.
func writtenIn(status *v1alpha1.CheckStatus) essence {
	read := state{generation: status.ObservedGeneration, failing: status.Failing, consequences: status.Consequences}
	e := read.essence()
	e.healthy, e.ready, e.stalled, e.reasons = "", "", "", ""
	reason := map[string]string{}
	for _, c := range status.Conditions {
		reason[c.Type] = c.Reason
		switch c.Type {
		case v1alpha1.CheckHealthy:
			e.healthy, e.shownGeneration = c.Status, c.ObservedGeneration
		case v1alpha1.CheckReady:
			e.ready = c.Status
		case v1alpha1.CheckStalled:
			e.stalled = c.Status
		}
	}
	e.reasons = reason[v1alpha1.CheckHealthy] + " " + reason[v1alpha1.CheckReady] + " " + reason[v1alpha1.CheckStalled]
	return e
}
