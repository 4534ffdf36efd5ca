package record

import (
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
)

// entry is what is kept in memory of one check.
type entry struct {
	check Check
	// history is what the record holds, with the unwritten runs; nil before the record was read.
	history *history.History
	// version is the record's resourceVersion; empty where it must be read first, and created where none
	// is there.
	version string
	// unwritten runs are in no record yet, the oldest first; taken counts those that ever left it.
	unwritten []Run
	taken     int

	// due is when to write next; it means nothing while nothing is unwritten.
	due, writtenAt, toldAt time.Time
	// busy tells that the entry is being written.
	busy bool
}

// add takes in a run and tells whether a write became due earlier than it was.
func (e *entry) add(run Run, now time.Time, checkpointEvery time.Duration) bool {
	e.check, e.toldAt = run.Check, now
	// Before the record was read nobody knows what the run changes, so that it is read soon.
	change := history.Change{Verdict: true}
	if e.history != nil {
		change = take(e.history, run)
	}
	if change.Repeated {
		return false
	}
	due := e.writtenAt.Add(spread(checkpointEvery, 0.2))
	if change.Verdict || change.Failure || run.Anew {
		due = e.writtenAt.Add(Apart)
	}
	if due.Before(now) {
		due = now
	}
	sooner := len(e.unwritten) == 0 || due.Before(e.due)
	if sooner {
		e.due = due
	}
	e.unwritten = append(e.unwritten, run)
	if over := len(e.unwritten) - v1alpha1.MaxOutcomes; over > 0 {
		e.drop(over)
	}
	return sooner
}

// take adds a run to a history.
func take(h *history.History, run Run) history.Change {
	if run.Anew {
		h.Forget()
	}
	return h.Add(run.Run, run.Thresholds)
}

// drop lets the oldest unwritten runs go.
func (e *entry) drop(n int) {
	e.unwritten = append([]Run(nil), e.unwritten[n:]...)
	e.taken += n
}

// adopt begins again upon what a record holds.
func (e *entry) adopt(h *history.History, version string) {
	e.history, e.version = h, version
	for _, r := range e.unwritten {
		take(h, r)
	}
}

// forget makes the record be read again before it is next written.
func (e *entry) forget() { e.history, e.version = nil, "" }

// record is the entry as a CheckRecord.
func (e *entry) record(writer string, now time.Time) *v1alpha1.CheckRecord {
	r := &v1alpha1.CheckRecord{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: e.check.Namespace, Name: Name(e.check.Kind, e.check.Name), ResourceVersion: e.version,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: e.check.APIVersion, Kind: e.check.Kind, Name: e.check.Name, UID: e.check.UID}},
		},
		Check:  v1alpha1.CheckReference{APIVersion: e.check.APIVersion, Kind: e.check.Kind, Name: e.check.Name, UID: e.check.UID},
		Writer: writer, WrittenAt: metav1.NewTime(now),
	}
	e.history.Into(r)
	return r
}

// spread gives a duration give or take a share of it, so that what began together does not stay so.
func spread(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 - share + 2*share*rand.Float64())) //nolint:gosec // it spreads load; nobody gains by guessing it
}
