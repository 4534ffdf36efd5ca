package check

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// phase is whether a check is run at all.
type phase int

// The phases.
const (
	running phase = iota
	suspended
	maintenance
)

// state is what the replica that runs a check knows of it. It is pure: times are given to it.
type state struct {
	// generation of the spec that the runs are of.
	generation int64
	thresholds history.Thresholds
	phase      phase
	// refusal is why the check cannot run; nil while it can.
	refusal *plan.Refusal
	// accepted tells that a run of this generation could be made.
	accepted bool

	// history decides the verdict. Of its outcomes only the newest is kept.
	history history.History
	// anew tells that the next run decides by itself.
	anew bool
	// last run of this generation; nil before there is one, and after it was taken over.
	last *outcome
	// reason and message of the failure, or of the lack of an answer, that the verdict is about.
	reason, message string
	// observedAt is when the newest run ended, of whichever generation.
	observedAt time.Time
	// begunAt is when this replica began to wait for the next run: what was not to be run then is not late.
	begunAt time.Time
	// late tells that the newest run is too long ago to be Ready, and stale that it is too long ago to believe.
	late, stale bool
	load        load

	// shown is the verdict as conditions have it, the generation that it is about, and since when it holds.
	shown           condition
	shownGeneration int64
	since           time.Time

	transitions  []v1alpha1.VerdictTransition
	recent       []v1alpha1.CheckFailure
	consequences []v1alpha1.Consequence
	// counts and failing are of the newest run.
	counts  *v1alpha1.TargetCounts
	failing []v1alpha1.CheckFailure
}

// follow takes up a check's spec. It returns whether the spec is another than before; what was known says
// nothing about it then. Conditions of the old one stay until a run of the new one has ended.
func (s *state) follow(check *v1alpha1.Check, now time.Time) (changed bool) {
	s.thresholds = history.Thresholds{Success: check.Spec.SuccessThreshold, Failure: check.Spec.FailureThreshold}
	if s.generation == check.Generation {
		return false
	}
	s.generation = check.Generation
	s.history.Forget()
	s.anew, s.accepted, s.late, s.stale, s.begunAt = true, false, false, false, now
	s.last, s.refusal, s.load = nil, nil, load{}
	s.note(now)
	return true
}

// enter takes up that the check is run, or not, from now on.
func (s *state) enter(p phase, now time.Time) (changed bool) {
	if s.phase == p {
		return false
	}
	s.phase = p
	if p == running {
		s.history.Forget()
		s.anew, s.last, s.late, s.stale, s.begunAt = true, nil, false, false, now
	}
	s.note(now)
	return true
}

// refuse takes note of why the check cannot run.
func (s *state) refuse(r *plan.Refusal, now time.Time) {
	s.refusal = plan.Refuse(word(r.Reason), "%s", history.Cut(r.Message, maxMessage))
	s.accepted = false
	s.history.Forget()
	s.anew, s.last = true, nil
	s.counts, s.failing = nil, nil
	s.note(now)
}

// end takes in a run. It returns the run as histories take it, and whether it failed and changed nothing
// because more of its kind must follow.
func (s *state) end(o outcome) (run history.Run, anew, retried bool) {
	s.refusal, s.accepted, s.late, s.stale = nil, true, false, false
	s.last, s.observedAt = &o, o.ended
	s.counts, s.failing = &o.counts, o.failing
	run = history.Run{
		Started: o.started, Ended: o.ended, Result: o.result, Latency: o.latency,
		Reason: o.reason, Message: o.message, Target: o.target, LogTail: o.logTail,
	}
	anew = s.anew
	s.anew = false
	s.history.Add(run, s.thresholds)
	s.history.Outcomes = slices.Clip(s.history.Outcomes[:1])
	s.history.Hours, s.history.Days, s.history.LastFailure = nil, nil, nil
	switch o.result {
	case v1alpha1.ResultFailure:
		s.reason, s.message = o.reason, o.message
		s.recent = slices.Insert(s.recent, 0, failureOf(o))
		s.recent = s.recent[:min(len(s.recent), maxRecent)]
		retried = s.history.Healthy == metav1.ConditionTrue
	case v1alpha1.ResultUnknown:
		if s.history.Healthy == "" || s.history.Streak >= max(s.thresholds.Failure, 1) {
			// So often nobody could ask that nobody can tell.
			s.reason, s.message = o.reason, o.message
			streak := s.history.Streak
			anew = anew || s.history.Healthy != ""
			s.history.Forget()
			s.history.Streak = streak
		}
	default:
	}
	s.note(o.ended)
	return run, anew, retried
}

// failureOf is a run that failed, as status tells it.
func failureOf(o outcome) v1alpha1.CheckFailure {
	f := v1alpha1.CheckFailure{At: metav1.NewTime(o.ended), Target: history.Cut(o.target, maxName), Reason: o.reason, Message: o.message}
	if len(o.failing) > 0 {
		f.From = o.failing[0].From
	}
	return f
}

// look lets the absence of runs have its consequences from lateAt on, and from staleAt on; zero is never.
func (s *state) look(now, lateAt, staleAt time.Time) {
	if s.phase != running || s.refusal != nil {
		return
	}
	late := !lateAt.IsZero() && now.After(lateAt)
	stale := !staleAt.IsZero() && now.After(staleAt)
	if late == s.late && stale == s.stale {
		return
	}
	if stale {
		s.history.Forget()
		s.anew, s.last = true, nil
	}
	s.late, s.stale = late, stale
	s.note(now)
}

// consequence takes note of what was done with pods, the oldest first.
func (s *state) consequence(done []v1alpha1.Consequence) {
	for _, d := range done {
		s.consequences = slices.Insert(slices.Clip(s.consequences), 0, d)
	}
	s.consequences = s.consequences[:min(len(s.consequences), maxConsequences)]
}

// pending tells that nothing is known yet of what the spec asks for now.
func (s *state) pending() bool {
	return s.phase == running && s.refusal == nil && !s.stale && s.last == nil && s.history.Healthy == ""
}

// note keeps what is shown of the verdict, since when it holds, and which changes there were. While nothing
// is known of what the spec asks for now, what was shown before stays.
func (s *state) note(now time.Time) {
	if s.shown.status == "" {
		s.shown, s.shownGeneration, s.since = s.healthy(), s.generation, now
	}
	if s.pending() {
		return
	}
	before := s.shown.status
	s.shown, s.shownGeneration = s.healthy(), s.generation
	if s.shown.status == before {
		return
	}
	s.since = now
	s.transitions = slices.Insert(s.transitions, 0, v1alpha1.VerdictTransition{At: metav1.NewTime(now), Healthy: s.shown.status, Reason: s.shown.reason})
	s.transitions = s.transitions[:min(len(s.transitions), maxTransitions)]
}
