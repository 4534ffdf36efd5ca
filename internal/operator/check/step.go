package check

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// leastStep is how far the wall clock may part from the steady one between two looks before it was put forward or
// back: by somebody, by time synchronization, or because the machine was asleep.
const leastStep = time.Second

// steps tells when the wall clock was put forward or back.
type steps struct {
	// began is the start of the steady time.
	began time.Time
	// wall and steady are the times of the last look.
	wall   time.Time
	steady time.Duration
}

// look tells by how much the wall clock was put forward since the look before; less than zero is back.
func (st *steps) look(now time.Time, steady time.Duration) time.Duration {
	now = now.Round(0)
	by := now.Sub(st.wall) - (steady - st.steady)
	if st.wall.IsZero() || by.Abs() < leastStep {
		by = 0
	}
	st.wall, st.steady = now, steady
	return by
}

// stepped takes up that the wall clock was put forward, or back, and is right from now on. The subject is locked.
func (c *Controller) stepped(s *subject, now time.Time, by time.Duration) {
	if s.state == nil {
		return
	}
	s.state.stepped(now)
	s.wishedBefore = earlier(s.wishedBefore, now)
	if by.Abs() >= leastStale {
		// Readers go by the wall clock: what is written seems too old to them, or is yet to come.
		s.refreshAt = s.counts.ended + 1
	}
	if s.times == nil {
		return
	}
	// Whose slot was stepped over is run within a minute, as one that comes to this replica is.
	missed, ok := s.times.Next(now.Add(-by))
	next, _ := s.times.Next(now)
	if by > 0 && ok && !missed.After(now) && next.Sub(now) > leastStale && s.setTimes(now, false) == nil {
		c.set(s)
	}
	s.expect(now)
}

// stepped has nothing lie in the time to come, and no run be late that was not to be made by the new time.
func (s *state) stepped(now time.Time) {
	s.begunAt = now
	s.since = earlier(s.since, now)
	for i := range s.transitions {
		s.transitions[i].At = metav1.NewTime(earlier(s.transitions[i].At.Time, now))
	}
	for i := range s.recent {
		s.recent[i].At = metav1.NewTime(earlier(s.recent[i].At.Time, now))
	}
}

// past is a status without what it tells of a time to come: that was written by a clock which was wrong, and would
// stand before all that happens until then.
func past(status *v1alpha1.CheckStatus, now time.Time) *v1alpha1.CheckStatus {
	status = status.DeepCopy()
	from := now.Add(maxSkew)
	status.Transitions = slices.DeleteFunc(status.Transitions, func(t v1alpha1.VerdictTransition) bool { return t.At.After(from) })
	status.RecentFailures = slices.DeleteFunc(status.RecentFailures, func(f v1alpha1.CheckFailure) bool { return f.At.After(from) })
	return status
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
