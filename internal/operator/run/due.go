package run

import (
	"hash/fnv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// due returns when the next run is to begin, and whether there is one.
func (v view) due() (time.Time, bool) {
	if v.job() && v.phase != "" {
		return time.Time{}, false
	}
	due, again := kuberhealthy.Next(v.check, v.state)
	if !again {
		return time.Time{}, false
	}
	started := v.state.Run.Started
	if v.requested.After(started) && v.requested.Sub(v.now) < maxRequestSkew {
		// Not before: its start tells that the wish was granted.
		return v.requested, true
	}
	never := started.IsZero() && !v.state.Ended
	if never && v.now.Sub(v.check.CreatedAt) < brandNew {
		return v.now, true
	}
	return spread(v.check, due, v.resumed), true
}

// shortBreak is for how long nobody may have looked after a check that begins at once then: for as long
// as it takes to notice that a replica is lost. What begins at once goes at its pace all the same.
const shortBreak = 20 * time.Second

// spread returns when a run begins that should have begun at due, while nobody looked: after a short
// break at once; after a long one some time after it is over, each check at a time of its own, and none
// later than it is overdue already.
func spread(check kuberhealthy.Check, due, resumed time.Time) time.Time {
	overdue := resumed.Sub(due)
	if overdue <= shortBreak {
		return due
	}
	window := min(overdue, maxSpread)
	if check.Interval > 0 {
		window = min(window, check.Interval)
	}
	return resumed.Add(time.Duration(float64(window) * lot(check.UID)))
}

// lot draws a number in [0, 1) that is always the same for a UID.
func lot(uid types.UID) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(uid)) // it never fails
	const bits = 53             // of a float64's mantissa
	// The low bits of FNV-1a are better mixed than the high ones.
	return float64(h.Sum64()&(1<<bits-1)) / (1 << bits)
}
