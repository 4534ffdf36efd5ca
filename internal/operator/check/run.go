package check

import (
	"context"
	"errors"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/record"
	"github.com/maek-dev/maek/internal/probe/schedule"
)

// reasonNotAsked is of runs that could not be made for a reason that passes: an API server that does not
// answer, say.
const reasonNotAsked = "NotAsked"

// streakWithin bounds the question how long a streak was that somebody else began.
const streakWithin = 2 * time.Second

// run makes the run of a slot.
func (c *Controller) run(ctx context.Context, s *subject, slot schedule.Slot) {
	s.mu.Lock()
	if s.state == nil || s.times == nil {
		s.mu.Unlock()
		return
	}
	skipped := max(slot.Skipped-slot.Overran, 0)
	if !slot.Asked {
		s.state.load.begin(slot.Lag(), s.times.Interval(slot.Due), skipped)
	}
	s.counts.skipped += uint64(slot.Skipped) //nolint:gosec // it is not negative
	check, timeout, generation, number := s.check.Check, s.times.Timeout(slot.Due), s.state.generation, s.runs
	idle := s.phase(slot.Started) != running || inPod(&check.Spec) && !c.o.Owns(s.uid)
	streakMatters := s.streakMatters
	if !idle {
		s.runs++
		s.retryAt = time.Time{}
		s.streakMatters = false
	}
	s.mu.Unlock()
	if idle {
		return
	}
	var streak int32
	if streakMatters {
		streak = c.streak(ctx, s)
	}
	started := c.o.Clock.Now()
	results, err := c.ask(ctx, check, slot, number, timeout)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil || s.times == nil || s.state.generation != generation || s.state.phase != running {
		return
	}
	s.state.adoptStreak(streak)
	c.ended(s, check, started, results, err)
}

// streak reads how long the streak was that this replica goes on with; zero where nobody can tell.
func (c *Controller) streak(ctx context.Context, s *subject) int32 {
	ctx, cancel := context.WithTimeout(ctx, streakWithin)
	defer cancel()
	s.mu.Lock()
	check := s.reference()
	s.mu.Unlock()
	streak, err := c.o.Records.Streak(ctx, check)
	if err != nil {
		c.o.Log.Debug("the streak of a check cannot be read; it begins anew", "check", check.NamespacedName.String(), "error", err)
	}
	return streak
}

// ask makes the run: it asks the questions of a check, or runs its pod.
func (c *Controller) ask(ctx context.Context, check *v1alpha1.Check, slot schedule.Slot, number uint64, timeout time.Duration) ([]plan.Result, error) {
	if inPod(&check.Spec) {
		result, err := c.o.RunPod(ctx, check, slot.Due, timeout)
		if err != nil {
			return nil, err
		}
		return []plan.Result{result}, nil
	}
	questions, err := c.o.Resolve(ctx, check, number)
	if err != nil {
		return nil, err
	}
	ask := c.o.Here
	if check.Spec.From == v1alpha1.FromNodes {
		ask = c.o.Nodes
	}
	answers := ask(ctx, questions, timeout)
	results := make([]plan.Result, 0, len(answers))
	for _, answer := range answers {
		results = append(results, c.o.Judge(&check.Spec, answer))
	}
	return results, nil
}

// ended takes in what a run came to.
func (c *Controller) ended(s *subject, check *v1alpha1.Check, started time.Time, results []plan.Result, err error) {
	now := c.o.Clock.Now()
	asked := err == nil
	if refusal, ok := errors.AsType[*plan.Refusal](err); ok {
		s.state.refuse(refusal, now)
		s.retryAt = now.Add(min(retryEvery, s.times.Interval(now)))
		c.mark(s)
		return
	}
	if empty, ok := errors.AsType[*plan.Empty](err); ok {
		result := v1alpha1.ResultUnknown
		if empty.Failure {
			result = v1alpha1.ResultFailure
		}
		results, err = []plan.Result{{Result: result, Reason: empty.Reason, Message: empty.Message, At: now}}, nil
	}
	if err != nil {
		s.retryAt = now.Add(min(retryEvery, s.times.Interval(now)))
		results = []plan.Result{{Result: v1alpha1.ResultUnknown, Reason: reasonNotAsked, Message: history.Cut(err.Error(), maxMessage), At: now}}
	}
	o := aggregate(started, now, results)
	if !asked {
		// Nobody was asked: there are no targets to count.
		o.counts = v1alpha1.TargetCounts{}
		o.failing = nil
	}
	run, anew, retried := s.state.end(o)
	s.count(o, retried)
	c.o.Records.Ended(record.Run{Run: run, Check: s.reference(), Thresholds: s.state.thresholds, Anew: anew})
	s.expect(now)
	if asked && c.o.Consequences != nil {
		c.o.Consequences.Observe(check, now, results)
	}
	c.mark(s)
}

func (s *subject) count(o outcome, retried bool) {
	switch o.result {
	case v1alpha1.ResultSuccess:
		s.counts.successes++
	case v1alpha1.ResultFailure:
		s.counts.failures++
	default:
		s.counts.unknowns++
	}
	if retried {
		s.counts.retries++
	}
	s.counts.ended++
	s.counts.seconds += o.latency.Seconds()
}
