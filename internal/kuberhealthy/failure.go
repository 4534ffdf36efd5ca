package kuberhealthy

import (
	"fmt"
	"time"
)

// Failure is a way in which a run ends without a report.
type Failure int

// The failures. Users alert on their texts, see Check.Failure.
const (
	// NotReported: the time is over, or the pod has ended, and there is no report.
	NotReported Failure = iota
	// NotRunning: the time is over and the pod has never run.
	NotRunning
	// NotStarted: the pod cannot start, because of its image say, and waiting would not help. Why begins
	// with the reason that its container waits for, such as ErrImagePull.
	NotStarted
	// NotCreated: the API server has not taken the pod, or it cannot be made from its spec.
	NotCreated
	// NotCleared: the pod of an earlier run is still there when the time is over.
	NotCleared
	// Removed: somebody has deleted the pod while the run went on.
	Removed
)

// maxWhy is how many bytes of a reason are kept.
const maxWhy = 4096

// Failure is the error that is recorded for a run that ended at some moment without a report: the text
// that Kuberhealthy's version gives for it, by which users' alerts know it, and then why, in words
// without a full stop. It may be empty.
//
// Version 2 waits out the whole timeout of a pod that has exited, and says so; its text stays although
// the wait is over at once (master: pkg/checks/external/main.go, cmd/kuberhealthy/kuberhealthy.go). The
// texts of version 3 are those of main: internal/kuberhealthy/kuberhealthy.go; it has none for pods that
// end early.
func (c Check) Failure(kind Failure, run Run, at time.Time, why string) string {
	text := c.failureV2(kind)
	if c.API == V3 {
		text = c.failureV3(kind, run, at)
	}
	if why != "" {
		text += ": " + legible(why, maxWhy)
	}
	return text
}

func (c Check) failureV2(kind Failure) string {
	prefix := "Check execution error: "
	if c.Kind == KindJob {
		prefix = "Job execution error: "
	}
	text := "timed out waiting for checker pod to report in"
	switch kind {
	case NotReported:
	case NotRunning:
		text = "failed to see pod running within timeout"
	case NotStarted:
		text = "error when waiting for pod to start"
	case NotCreated:
		text = "failed to create pod for checker"
	case NotCleared:
		text = "failed to see pod cleanup within timeout"
	case Removed:
		return prefix + "pod deleted unexpectedly"
	}
	return prefix + c.String() + ": " + text
}

func (c Check) failureV3(kind Failure, run Run, at time.Time) string {
	started := "unknown"
	if !run.Started.IsZero() {
		started = run.Started.UTC().Format(time.RFC3339)
	}
	switch {
	case kind == NotCreated:
		return "failed to create check pod"
	case kind == Removed:
		return fmt.Sprintf("check run %s lost its pod (started at %s)", run.ID, started)
	case at.Before(c.Deadline(run)):
		return fmt.Sprintf("check run %s ended without a report after %s (started at %s)",
			run.ID, max(at.Sub(run.Started), 0).Truncate(time.Second), started)
	}
	return fmt.Sprintf("check run %s timed out after %s (started at %s)", run.ID, c.Timeout, started)
}
