package check

import (
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/due"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/record"
)

// maxSkew is how far in the future the time of a wish may lie, or that of another replica's run: clocks differ.
const maxSkew = time.Minute

// subject is one Check that this replica knows of.
type subject struct {
	uid types.UID

	mu    sync.Mutex
	check decoded
	// gone tells that the check is no more.
	gone bool
	// state is nil while this replica does not run the check; rhythm and the rest mean nothing then.
	state *state
	// times at which it is run; nil where the spec names none that can be read.
	times *due.Times
	// lateAt and staleAt are when the newest run is too long ago: zero for never.
	lateAt, staleAt time.Time
	// streakMatters tells that the length of the adopted streak is still to be read.
	streakMatters bool
	// resume tells that a run of a pod may go on that somebody else began, and clear that pods are to be removed
	// once their results are written.
	resume, clear bool
	// runs counts the runs that were begun.
	runs uint64
	// asked is the wish for a run that was granted last; those up to wishedBefore were before this replica's time.
	// changed tells that a run is to show what a change of the spec comes to, and grantAt is from when on runs are made
	// out of turn.
	asked, wishedBefore time.Time
	changed             bool
	grantAt             time.Time
	// retryAt is when a run is tried again that could not be made; zero where there is none.
	retryAt time.Time

	// written is the essence of what was written last, and toldOf the verdict that was then, whether or not it was worth
	// an Event.
	// heartbeatAt is when the status is written though nothing has changed.
	written     essence
	heartbeatAt time.Time
	// refreshAt is after how many runs the status is written because the clock was put forward or back; zero where it
	// was not.
	refreshAt uint64
	// writing tells that a request goes on that writes it.
	writing bool
	toldOf  condition
	// warned tells that Events told last that the check is not healthy, or that nobody knows.
	warned bool
	// allowance of writes, and when it was last added to.
	allowance   float64
	allowanceAt time.Time

	counts counts
}

// counts of the runs that this replica made, for metrics.
type counts struct {
	successes, failures, unknowns, retries, skipped uint64
	// seconds that runs took, all together, and how many were measured.
	seconds float64
	ended   uint64
}

// inPod tells that runs are pods, not questions.
func inPod(spec *v1alpha1.CheckSpec) bool { return spec.Synthetic != nil || spec.PodTemplate != nil }

// reference names the check as histories do.
func (s *subject) reference() record.Check {
	return record.Check{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: Kind,
		NamespacedName: types.NamespacedName{Namespace: s.check.Namespace, Name: s.check.Name}, UID: s.uid,
	}
}

// begin takes up what is written of a check that this replica runs from now on.
func (s *subject) begin(now time.Time) {
	s.state, s.written, s.streakMatters = adopt(s.check.Check, now)
	s.toldOf, s.warned, s.runs = s.state.shown, s.state.warned(), 0
	s.asked, s.wishedBefore, s.changed, s.refreshAt = time.Time{}, s.state.observedAt, false, 0
	s.times, s.retryAt, s.allowanceAt = nil, time.Time{}, time.Time{}
	s.resume, s.clear = inPod(&s.check.Spec), false
}

// overtaken tells that another replica has run the check since this one last did. A run that is yet to come is
// nobody's.
func (s *subject) overtaken(self string, now time.Time) bool {
	status := &s.check.Status
	return status.Observer != self && status.ObservedAt != nil && status.ObservedAt.Unix() > s.state.observedAt.Unix() &&
		status.ObservedAt.Sub(now) < maxSkew
}

// read takes note of the status as it is. Where that is not what was written, somebody else wrote it.
func (s *subject) read() {
	if s.state != nil && !s.writing {
		s.written = writtenIn(&s.check.Status)
	}
}

// isWritten tells that there is nothing to write after all.
func (s *subject) isWritten(now time.Time) bool {
	return s.state.essence() == s.written && now.Before(s.heartbeatAt)
}

// setTimes reads when the check is to be run. One that was run in time by somebody else is not run sooner for
// having changed hands.
func (s *subject) setTimes(now time.Time, fresh bool) *plan.Refusal {
	s.times = nil
	if s.check.refusal != nil {
		return s.check.refusal
	}
	began := now
	if fresh && s.state.history.Healthy != "" {
		began = s.state.observedAt
	}
	times, err := due.New(&s.check.Spec, s.uid, began)
	if err == nil && !began.Equal(now) {
		if next, ok := times.Next(began); ok && !next.After(now) {
			times, err = due.New(&s.check.Spec, s.uid, now)
		}
	}
	if err != nil {
		if refusal, ok := errors.AsType[*plan.Refusal](err); ok {
			return refusal
		}
		return plan.Refuse(reasonInvalidCheck, "%v", err)
	}
	s.times = times
	return nil
}

// phase of the check at a time.
func (s *subject) phase(at time.Time) phase {
	if s.check.Spec.Suspend {
		return suspended
	}
	if _, _, resting := s.times.Resting(at); resting {
		return maintenance
	}
	return running
}

// Of the slots after a run: how many may pass without another until the check is not Ready, and until its
// verdict is stale; and how old it may be in any case.
const (
	lateSlots  = 2
	staleSlots = 5
	leastStale = time.Minute
)

// expect reckons until when the next run has to end.
func (s *subject) expect(now time.Time) {
	newest := s.state.observedAt
	if s.state.begunAt.After(newest) {
		newest = s.state.begunAt
	}
	newest = earlier(newest, now) // the clock may have been ahead
	s.lateAt, s.staleAt = time.Time{}, time.Time{}
	at, timeout := newest, s.times.Timeout(now)
	for i := range staleSlots {
		next, ok := s.times.Next(at)
		if !ok {
			return
		}
		at = next
		if i == lateSlots-1 {
			s.lateAt = at.Add(timeout + time.Second)
		}
	}
	s.staleAt = at.Add(timeout)
	if least := newest.Add(leastStale); s.staleAt.Before(least) {
		s.staleAt = least
	}
}

// heartbeat is how long the status may stay as it is. It differs between checks, so that they are not written
// together, and is never longer than what readers rely on.
func (s *subject) heartbeat(now time.Time, checks int) time.Duration {
	const share = 0.2
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.uid)) // it never fails
	lot := float64(h.Sum32()) / (1 << 32)
	if s.times == nil {
		return retryEvery
	}
	return time.Duration(float64(s.times.Heartbeat(now, checks)) * (1 - share*lot))
}

// staleAfter is what the status says of how long it may be believed.
func (s *subject) staleAfter(now time.Time, checks int) int32 {
	if s.times == nil {
		return int32(retryEvery / time.Second)
	}
	return s.times.StaleAfterSeconds(now, checks)
}

// The writes of one check: few at once, and one in a while.
const (
	allowanceMost  = 6
	allowanceEvery = 10 * time.Second
)

// verdictless tells that the status, as the API server has it, says nothing yet of what the check comes to.
func (s *subject) verdictless() bool {
	healthy := meta.FindStatusCondition(s.check.Status.Conditions, v1alpha1.CheckHealthy)
	return healthy == nil || healthy.Reason == v1alpha1.ReasonPending
}

// mayWrite tells when the status may be written next.
func (s *subject) mayWrite(now time.Time) time.Time {
	s.refill(now)
	if s.allowance >= 1 {
		return now
	}
	return now.Add(time.Duration((1 - s.allowance) * float64(allowanceEvery)))
}

func (s *subject) spend(now time.Time) {
	s.refill(now)
	s.allowance--
}

func (s *subject) refill(now time.Time) {
	if s.allowanceAt.IsZero() {
		s.allowance = allowanceMost
	} else {
		s.allowance = min(allowanceMost, s.allowance+max(0, float64(now.Sub(s.allowanceAt))/float64(allowanceEvery)))
	}
	s.allowanceAt = now
}
