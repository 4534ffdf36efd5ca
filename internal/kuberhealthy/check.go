package kuberhealthy

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// API is one of the APIs of Kuberhealthy, as an apiVersion.
type API string

// The APIs.
const (
	// V2 is Kuberhealthy 2: KuberhealthyCheck, KuberhealthyJob, KuberhealthyState.
	V2 API = "comcast.github.io/v1"
	// V3 is Kuberhealthy 3: HealthCheck.
	V3 API = "kuberhealthy.github.io/v2"
)

// What stands where a check says nothing, or nothing that can be read.
const (
	// DefaultInterval of both versions.
	DefaultInterval = 10 * time.Minute
	// DefaultTimeoutV2 (master: pkg/checks/external/main.go, DefaultTimeout).
	DefaultTimeoutV2 = 5 * time.Minute
	// DefaultTimeoutV3 (main: internal/kuberhealthy/kuberhealthy.go, defaultRunTimeout).
	DefaultTimeoutV3 = 30 * time.Second
)

// Check is a check or a job of either API, as its object says.
type Check struct {
	// API and Kind of the object.
	API  API
	Kind string
	types.NamespacedName
	UID        types.UID
	Generation int64
	// CreatedAt by the API server's clock.
	CreatedAt time.Time
	// Deleting tells that the object is on its way out: nothing is begun for it any more.
	Deleting bool
	// Labels of the object; some become labels of metrics.
	Labels map[string]string

	// Once tells that it runs a single time: a KuberhealthyJob, or a HealthCheck with singleRunOnly.
	Once bool
	// Done tells that it has run and will not again: a KuberhealthyJob in phase Completed.
	Done bool
	// Interval from one start to the next. It is zero where Once is true.
	Interval time.Duration
	// Timeout of a run, from its start.
	Timeout time.Duration

	// PodLabels and PodAnnotations are those of the template, with the extra ones over them.
	PodLabels, PodAnnotations map[string]string
	// PodSpec is the template's spec as it was written, in JSON. It may be anything. Like the maps, it may
	// be the object's own, and is not to be written to.
	PodSpec []byte

	// Warnings say, a sentence each, what in the object could not be used and what stands for it.
	Warnings []string
}

// Run is one run of a check. What is recorded of it in the cluster is all that its owner, or whoever
// takes over from it, needs to go on.
type Run struct {
	// ID is the run's unguessable token, a random UUID. Whoever knows it may report. It is no log's
	// and no page's business while the run goes on.
	ID string
	// Started is when the run was recorded, before its pod was made.
	Started time.Time
}

// State is what is recorded of a check's runs: a KuberhealthyState, or a HealthCheck's status.
type State struct {
	// Run is the newest run; its ID is empty before the first, and in V3 whenever none goes on.
	Run Run
	// Running tells that the run has neither reported nor been given up.
	Running bool

	// Ended tells that some run has ended; what follows means nothing before.
	Ended bool
	// EndedAt is when the newest run that ended did so, or the best that its API keeps of that.
	EndedAt time.Time
	// OK and Errors are how it ended. OK goes with no errors.
	OK     bool
	Errors []string
	// Duration from its start to its report, or to its end without one; V2 keeps none of the latter.
	Duration time.Duration
	// Node that its pod ran on; empty where it never had one.
	Node string
	// Writer is the operator's pod that wrote this.
	Writer string

	// ConsecutiveFailures, Successes and Failures count runs. V2 keeps neither counts nor the times below.
	ConsecutiveFailures, Successes, Failures int
	// LastOK and LastFailure are when runs last ended so; zero where none did.
	LastOK, LastFailure time.Time
}

// Entry is a check with its state, as the status page and the metrics tell of it.
type Entry struct {
	Check Check
	State State
	// Pod of the run that goes on; empty where there is none yet.
	Pod string
	// Next is when the next run is due; zero for what will not run again.
	Next time.Time
}

// staleIntervals is after how many intervals without a result, and one timeout, a verdict is a fossil:
// one run may be missed without anybody being to blame.
const staleIntervals = 2

// Stale tells whether the newest result is so old that it says nothing any more, and since when. What
// runs once, or has never run, is not stale. A result that lies ahead of now has no age that anybody
// could tell, and is.
func (e Entry) Stale(now time.Time) (since time.Time, stale bool) {
	if e.Check.Once || !e.State.Ended {
		return time.Time{}, false
	}
	if e.State.Credible(now).EndedAt.IsZero() {
		return now, true
	}
	since = e.State.EndedAt.Add(staleIntervals*e.Check.Interval + e.Check.Timeout)
	return since, now.After(since)
}
