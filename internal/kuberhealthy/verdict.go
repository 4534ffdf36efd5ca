package kuberhealthy

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
)

// Verdict is what is known of whether all is well with what a check looks at.
type Verdict struct {
	// Status is True, False, or Unknown while nobody can tell.
	Status metav1.ConditionStatus
	// Reason of it: one of the Reason constants.
	Reason string
	// Since is when a result became too old; zero else.
	Since time.Time
}

// The reasons of verdicts.
const (
	// ReasonSucceeded and ReasonFailed: the newest run that ended, ended so.
	ReasonSucceeded = "Succeeded"
	ReasonFailed    = "Failed"
	// ReasonNeverRun: no run has begun.
	ReasonNeverRun = "NeverRun"
	// ReasonFirstRun: the first run goes on.
	ReasonFirstRun = "FirstRun"
	// ReasonStale: the newest result is too old to say anything, see Entry.Stale.
	ReasonStale = "Stale"
)

// Verdict judges an entry. A check whose next run goes on keeps the verdict of its last.
func (e Entry) Verdict(now time.Time) Verdict {
	since, stale := e.Stale(now)
	switch {
	case stale:
		return Verdict{Status: metav1.ConditionUnknown, Reason: ReasonStale, Since: since}
	case e.State.Ended && e.State.OK:
		return Verdict{Status: metav1.ConditionTrue, Reason: ReasonSucceeded}
	case e.State.Ended:
		return Verdict{Status: metav1.ConditionFalse, Reason: ReasonFailed}
	case e.State.Running:
		return Verdict{Status: metav1.ConditionUnknown, Reason: ReasonFirstRun}
	}
	return Verdict{Status: metav1.ConditionUnknown, Reason: ReasonNeverRun}
}

// StaleText says in a sentence that an entry has no result any more, for documents that know only good
// and bad.
func (e Entry) StaleText() string {
	return fmt.Sprintf("no result since %s, although %s should run every %s",
		e.State.EndedAt.UTC().Format(time.RFC3339), e.Check, finding.Duration(e.Check.Interval))
}
