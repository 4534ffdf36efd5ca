package check

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
	"github.com/maek-dev/maek/internal/operator/check/due"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/record"
	"github.com/maek-dev/maek/internal/probe/schedule"
)

const (
	// streakWithin bounds the question how long a streak was that somebody else began.
	streakWithin = 2 * time.Second
	// resolveWithin bounds finding out whom to ask.
	resolveWithin = 5 * time.Second
	// clearWithin bounds the removal of pods whose result is recorded.
	clearWithin = 10 * time.Second
)

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
	streakMatters, resume := s.streakMatters, s.resume
	if !idle {
		s.runs++
		s.retryAt = time.Time{}
		s.streakMatters, s.resume = false, false
	}
	observedAt := s.state.observedAt
	s.mu.Unlock()
	if idle {
		return
	}
	if resume && inPod(&check.Spec) {
		due, found := c.leftover(ctx, check, observedAt)
		if !found && slot.Asked {
			return
		}
		if found {
			slot.Due = due
		}
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
	if observed := c.ended(s, check, generation, streak, started, results, err); observed && c.o.Consequences != nil && c.o.Owns(s.uid) {
		c.o.Consequences.Observe(check, c.o.Clock.Now(), results)
	}
}

// leftover finds the run that whoever ran the check before began and did not tell the end of.
func (c *Controller) leftover(ctx context.Context, check *v1alpha1.Check, observedAt time.Time) (slot time.Time, found bool) {
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	runs, err := c.o.Pods.Leftovers(ctx, check)
	if err != nil {
		c.o.Log.Debug("what pods a check has left cannot be read", "check", check.Namespace+"/"+check.Name, "error", err)
	}
	for _, run := range runs {
		if !run.Ended || run.Slot.After(observedAt) {
			return run.Slot, true
		}
	}
	return time.Time{}, false
}

// clear removes pods whose results are recorded.
func (c *Controller) clear(ctx context.Context, check *v1alpha1.Check) {
	ctx, cancel := context.WithTimeout(ctx, clearWithin)
	defer cancel()
	if err := c.o.Pods.Clear(ctx, check); err != nil {
		c.o.Log.Debug("pods of a check are left until its next run", "check", check.Namespace+"/"+check.Name, "error", err)
	}
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
		c.o.Log.Debug("the streak of a check cannot be read; it begins anew", "check", check.String(), "error", err)
	}
	return streak
}

// ask makes the run: it asks the questions of a check, or runs its pod.
func (c *Controller) ask(ctx context.Context, check *v1alpha1.Check, slot schedule.Slot, number uint64, timeout time.Duration) ([]plan.Result, error) {
	if inPod(&check.Spec) {
		result, err := c.o.Pods.Run(ctx, check, slot.Due, timeout)
		if err != nil {
			return nil, err
		}
		return []plan.Result{result}, nil
	}
	questions, err := c.resolve(ctx, check, number)
	if err != nil {
		return nil, err
	}
	ask := c.o.Here
	if check.Spec.From == v1alpha1.FromNodes {
		ask = c.o.Nodes
	}
	told := judged{c: c, spec: &check.Spec}
	ask(ctx, questions, timeout, told.take)
	results, refusal := told.all()
	// What may not be asked keeps no failure of the others from being told.
	if refusal != nil && !slices.ContainsFunc(results, failed) {
		return nil, refusal
	}
	return results, nil
}

func failed(r plan.Result) bool { return r.Result == v1alpha1.ResultFailure }

func (c *Controller) resolve(ctx context.Context, check *v1alpha1.Check, number uint64) ([]plan.Question, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	return c.o.Resolve(ctx, check, number)
}

// judged is what the answers of a run come to.
type judged struct {
	c       *Controller
	spec    *v1alpha1.CheckSpec
	answers []judgedAnswer
}

type judgedAnswer struct {
	plan.Result

	// refusal is why the question may not be asked; nil where it may.
	refusal *plan.Refusal
}

// take judges an answer, and keeps nothing else of it.
func (j *judged) take(answer plan.Answer) {
	j.answers = append(j.answers, judgedAnswer{j.c.o.Judge(j.spec, answer), refused(answer)})
}

// refused is why a question may not be asked; nil where it may.
func refused(answer plan.Answer) *plan.Refusal {
	for _, err := range []error{answer.Unasked, answer.Outcome.Err} {
		if refusal, ok := errors.AsType[*plan.Refusal](err); ok {
			return refusal
		}
	}
	return nil
}

// all returns the results by place and target, in whatever order the answers came, and why the first of them that
// may not be asked may not.
func (j *judged) all() ([]plan.Result, *plan.Refusal) {
	slices.SortStableFunc(j.answers, func(a, b judgedAnswer) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Target, b.Target))
	})
	results := make([]plan.Result, len(j.answers))
	var refusal *plan.Refusal
	for i, one := range j.answers {
		results[i], refusal = one.Result, cmp.Or(refusal, one.refusal)
	}
	return results, refusal
}

// confirmations is from how many places a failure is asked for once more.
const confirmations = 2

// Confirm asks a check's question once more of some of its pods, from here and from other places.
func (c *Controller) Confirm(ctx context.Context, check *v1alpha1.Check, pods []plan.Pod) ([]plan.Result, error) {
	questions, err := c.resolve(ctx, check, 0)
	if err != nil {
		return nil, err
	}
	questions = slices.DeleteFunc(questions, func(q plan.Question) bool { return !slices.Contains(pods, q.Pod) })
	times, err := due.New(&check.Spec, check.UID, c.o.Clock.Now())
	if err != nil {
		return nil, err
	}
	timeout := times.Timeout(c.o.Clock.Now())
	told := judged{c: c, spec: &check.Spec}
	c.o.Here(ctx, questions, timeout, told.take)
	for _, answer := range c.o.Confirm(ctx, questions, timeout, confirmations) {
		told.take(answer)
	}
	results, _ := told.all()
	return results, nil
}

// ended takes in what a run came to. It returns whether somebody was asked.
func (c *Controller) ended(s *subject, check *v1alpha1.Check, generation int64, streak int32, started time.Time, results []plan.Result, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil || s.times == nil || s.state.generation != generation || s.state.phase != running {
		return false
	}
	s.state.adoptStreak(streak)
	now := c.o.Clock.Now()
	asked := err == nil
	if refusal, ok := errors.AsType[*plan.Refusal](err); ok {
		s.state.refuse(refusal, now)
		s.retryAt = now.Add(min(retryEvery, s.times.Interval(now)))
		c.mark(s)
		return false
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
		results = []plan.Result{{Result: v1alpha1.ResultUnknown, Reason: v1alpha1.ReasonNotAsked, Message: history.Cut(err.Error(), maxMessage), At: now}}
	}
	o := aggregate(started, now, results)
	if o.reason == v1alpha1.ReasonOperatorStalled {
		s.state.load.stalled()
	}
	if !asked {
		// Nobody was asked: there are no targets to count.
		o.counts = v1alpha1.TargetCounts{}
		o.failing = nil
	}
	run, anew, retried := s.state.end(o)
	s.count(o, retried)
	c.o.Records.Ended(record.Run{Run: run, Check: s.reference(), Thresholds: s.state.thresholds, Anew: anew})
	s.expect(now)
	s.clear = inPod(&check.Spec)
	c.mark(s)
	return asked
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
