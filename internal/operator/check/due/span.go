package due

import (
	"math"
	"time"
)

const (
	// probeTimeout is that of a probe which names none (pkg/apis/core/v1/defaults.go).
	probeTimeout = time.Second
	// podTimeout is that of synthetic and podTemplate, which wait for pods.
	podTimeout = 5 * time.Minute
	// heartbeat is how often status is written at most while nothing changes.
	heartbeat = 5 * time.Minute
	// heartbeats is how many Checks' heartbeats a replica writes in a second at most.
	heartbeats = 5
)

// Interval is the time between two runs: the period, or that between the next two times after another that
// the schedule names.
func (t *Times) Interval(after time.Time) time.Duration {
	_, interval := t.following(after)
	return interval
}

// following returns the next time after another that the rhythm names, and how long after it the one after
// that comes.
func (t *Times) following(after time.Time) (time.Time, time.Duration) {
	if t.cron == nil {
		next, _ := t.slot(after)
		return next, t.period
	}
	next, _ := t.slot(after)
	second, ok := t.slot(next)
	if !ok {
		second = next.AddDate(farthest, 0, 0)
	}
	return next, second.Sub(next)
}

// Timeout is after which time a run is given up that is due at a time. Where the spec names none, it is a second
// for probes and 5 minutes for synthetic and podTemplate, and at most four fifths of the interval.
func (t *Times) Timeout(at time.Time) time.Duration {
	if t.timeout > 0 {
		return t.timeout
	}
	return min(t.usual, t.Interval(at)/5*4)
}

// Heartbeat is how often status is written though nothing changes, by a replica which has so many checks: every
// 5 minutes or every two periods, whichever is longer, and so seldom that no more than 5 are written in a second.
func (t *Times) Heartbeat(at time.Time, checks int) time.Duration {
	return max(heartbeat, 2*t.Interval(at), time.Duration(checks)*time.Second/heartbeats)
}

// StaleAfterSeconds is the age of status.observedAt at which nobody should believe the verdict any more, for status
// that is written at a time: two heartbeats, so that one may be lost, and one interval. For a check that is not
// run for longer than that, because of its schedule or of maintenance, it is as long after that.
func (t *Times) StaleAfterSeconds(at time.Time, checks int) int32 {
	stale := 2*t.Heartbeat(at, checks) + t.Interval(at)
	if next, ok := t.Next(at); ok {
		stale = max(stale, 2*t.Heartbeat(at, checks)+next.Sub(at))
	}
	return int32(min(stale/time.Second, math.MaxInt32)) //nolint:gosec // no more than fits
}
