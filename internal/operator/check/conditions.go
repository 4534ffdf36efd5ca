package check

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
)

// condition is what there is to say of a condition but when.
type condition struct {
	status          metav1.ConditionStatus
	reason, message string
}

// idle is what both verdict and readiness say where the check is not run, or has not run yet.
func (s *state) idle() (reason, message string, is bool) {
	switch {
	case s.phase == suspended:
		return v1alpha1.ReasonSuspended, "the check is suspended", true
	case s.phase == maintenance:
		return v1alpha1.ReasonMaintenance, "a maintenance window of the check is open", true
	case s.refusal != nil:
		return v1alpha1.ReasonStalled, history.Cut("the check cannot run: "+s.refusal.Message, maxMessage), true
	}
	return "", "", false
}

// healthy is the verdict. Its message has no number that changes while its reason stays but that of a streak.
func (s *state) healthy() condition {
	if reason, message, is := s.idle(); is {
		return condition{metav1.ConditionUnknown, reason, message}
	}
	switch {
	case s.stale:
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonStale, "no run has ended for so long that nobody can tell"}
	case s.history.Healthy == metav1.ConditionTrue && s.newest() == v1alpha1.ResultFailure:
		return condition{metav1.ConditionTrue, v1alpha1.ReasonRetrying, s.streak("failed", s.thresholds.Failure, s.message)}
	case s.history.Healthy == metav1.ConditionTrue:
		return condition{metav1.ConditionTrue, v1alpha1.ReasonSucceeded, "every target gives a good answer"}
	case s.history.Healthy == metav1.ConditionFalse && s.newest() == v1alpha1.ResultSuccess:
		return condition{metav1.ConditionFalse, v1alpha1.ReasonRecovering, s.streak("succeeded", s.thresholds.Success, s.message)}
	case s.history.Healthy == metav1.ConditionFalse:
		return condition{metav1.ConditionFalse, s.reason, s.message}
	case s.last != nil:
		return condition{metav1.ConditionUnknown, s.reason, s.message}
	}
	return condition{metav1.ConditionUnknown, v1alpha1.ReasonPending, "no run has ended yet"}
}

// streak says how many runs did what, of those that it takes to change the verdict.
func (s *state) streak(did string, threshold int32, failure string) string {
	return history.Cut(fmt.Sprintf("%s %d of %d times in a row; the failure: %s", did, s.history.Streak, max(threshold, 1), failure), maxMessage)
}

// newest is how the newest run ended.
func (s *state) newest() v1alpha1.CheckResult {
	if len(s.history.Outcomes) == 0 {
		return ""
	}
	return s.history.Outcomes[0].Result
}

// ready says whether the check itself runs as it should.
func (s *state) ready() condition {
	if reason, message, is := s.idle(); is {
		return condition{metav1.ConditionFalse, reason, message}
	}
	switch {
	case s.load.over:
		return condition{metav1.ConditionFalse, v1alpha1.ReasonOverloaded, "runs begin late, are left out or are not heard to their end because the operator has more to do than it can; that says nothing about the target"}
	case s.late || s.stale:
		return condition{metav1.ConditionFalse, v1alpha1.ReasonOverdue, "no run has ended for two periods"}
	case s.pending():
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonPending, "no run of this generation has ended yet"}
	}
	return condition{metav1.ConditionTrue, v1alpha1.ReasonRunning, "the check runs as its spec says"}
}

// stalled says whether somebody has to change something for the check to run.
func (s *state) stalled() condition {
	switch {
	case s.refusal != nil:
		return condition{metav1.ConditionTrue, s.refusal.Reason, s.refusal.Message}
	case s.accepted:
		return condition{metav1.ConditionFalse, v1alpha1.ReasonAccepted, "nothing keeps the check from running"}
	}
	return condition{metav1.ConditionUnknown, v1alpha1.ReasonPending, "nobody has tried yet"}
}
