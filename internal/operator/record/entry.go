package record

import (
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
	"github.com/maek-dev/maek/internal/operator/run"
)

// thresholds of Kuberhealthy's checks: what ended last is the verdict.
var thresholds = history.Thresholds{Success: 1, Failure: 1}

// entry is what is kept in memory of one check.
type entry struct {
	check kuberhealthy.Check
	// history is what the record holds, with the unwritten runs; nil before the record was read.
	history *history.History
	// version is the record's resourceVersion; empty where it must be read first, and created where none
	// is there.
	version string
	// unwritten runs are in no record yet, the oldest first; taken counts those that ever left it.
	unwritten []history.Run
	taken     int

	// due is when to write next; it means nothing while nothing is unwritten.
	due, writtenAt, toldAt time.Time
	// busy tells that the entry is being written.
	busy bool
}

// add takes in a run and tells whether a write became due earlier than it was.
func (e *entry) add(o run.Outcome, now time.Time) bool {
	e.check, e.toldAt = o.Check, now
	ended := runOf(o)
	// Before the record was read nobody knows what the run changes, so that it is read soon.
	change := history.Change{Verdict: true}
	if e.history != nil {
		change = e.history.Add(ended, thresholds)
	}
	if change.Repeated {
		return false
	}
	due := e.writtenAt.Add(spread(CheckpointEvery, 0.2))
	if change.Verdict || change.Failure {
		due = e.writtenAt.Add(Apart)
	}
	if due.Before(now) {
		due = now
	}
	sooner := len(e.unwritten) == 0 || due.Before(e.due)
	if sooner {
		e.due = due
	}
	e.unwritten = append(e.unwritten, ended)
	if over := len(e.unwritten) - v1alpha1.MaxOutcomes; over > 0 {
		e.take(over)
	}
	return sooner
}

// take lets the oldest unwritten runs go.
func (e *entry) take(n int) {
	e.unwritten = append([]history.Run(nil), e.unwritten[n:]...)
	e.taken += n
}

// adopt begins again upon what a record holds.
func (e *entry) adopt(h *history.History, version string) {
	e.history, e.version = h, version
	for _, r := range e.unwritten {
		h.Add(r, thresholds)
	}
}

// forget makes the record be read again before it is next written.
func (e *entry) forget() { e.history, e.version = nil, "" }

// record is the entry as a CheckRecord.
func (e *entry) record(writer string, now time.Time) *v1alpha1.CheckRecord {
	apiVersion := string(e.check.API)
	r := &v1alpha1.CheckRecord{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: e.check.Namespace, Name: Name(e.check.Kind, e.check.Name), ResourceVersion: e.version,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: apiVersion, Kind: e.check.Kind, Name: e.check.Name, UID: e.check.UID}},
		},
		Check:  v1alpha1.CheckReference{APIVersion: apiVersion, Kind: e.check.Kind, Name: e.check.Name, UID: e.check.UID},
		Writer: writer, WrittenAt: metav1.NewTime(now),
	}
	e.history.Into(r)
	return r
}

// runOf reads an outcome. A run that could not be carried out is a failure too, as it is in the
// check's own object; its reason tells the two apart.
func runOf(o run.Outcome) history.Run {
	r := history.Run{
		Started: o.Run.Started, Ended: o.EndedAt, Result: v1alpha1.ResultSuccess, Latency: o.Duration,
	}
	if !o.OK {
		r.Result, r.Reason, r.Message, r.LogTail = v1alpha1.ResultFailure, string(o.Reason), o.Message, o.LogTail
		// A record's failure has a reason in any case.
		if r.Reason == "" {
			r.Reason = string(checkerpod.ReportedFailure)
		}
	}
	return r
}

// spread gives a duration give or take a share of it, so that what began together does not stay so.
func spread(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 - share + 2*share*rand.Float64())) //nolint:gosec // it spreads load; nobody gains by guessing it
}
