package kuberhealthy

import (
	"slices"
	"time"
)

// End is the end of a run, by its report or without one.
type End struct {
	// At is when.
	At time.Time
	// Node that the run's pod was on; empty where it never had one, or where that is not known.
	Node string
	// Writer is the operator's pod that records it.
	Writer string
}

// NewRun returns the run to be recorded when a check begins one.
//
// Its start is as precise as its API can record it, so that whoever takes over counts from the same
// moment. Version 3 keeps whole seconds: its run starts with the second that is about to begin, so that
// neither deadline nor next run comes early, except where it was due in the second that has just begun:
// a check that runs on time would otherwise lose a second each time.
func NewRun(check Check, state State, id string, now time.Time) Run {
	if check.API != V3 {
		return Run{ID: id, Started: now}
	}
	started := now.Truncate(time.Second)
	due, again := Next(check, state)
	onTime := again && !state.Run.Started.IsZero() && !started.Before(due) && started.Sub(due) < time.Second
	if started.Before(now) && !onTime {
		started = started.Add(time.Second)
	}
	return Run{ID: id, Started: started}
}

// Deadline is when a run that has not reported has failed; until then its report is taken. Version 3
// records the start in whole seconds, so that the last second of a timeout may begin up to a second
// after it.
func (c Check) Deadline(run Run) time.Time {
	deadline := run.Started.Add(c.Timeout)
	if c.API == V3 {
		deadline = deadline.Add(time.Second)
	}
	return deadline
}

// Next is when the next run of a check is due: an interval after its last began, or at once where none
// has. It returns false where none is to come: what runs once has run. Whether a run goes on now is
// not its business.
func Next(check Check, state State) (time.Time, bool) {
	// A state without a run of Maek's is Kuberhealthy's. It may be that of an earlier object of the name.
	began := !state.Run.Started.IsZero()
	inherited := !began && state.Ended && !state.EndedAt.Before(check.CreatedAt)
	switch {
	case check.Done:
		return time.Time{}, false
	case !began && !inherited:
		return check.CreatedAt, true
	case check.Once:
		return time.Time{}, false
	case inherited:
		return state.EndedAt.Add(check.Interval), true
	}
	return state.Run.Started.Add(check.Interval), true
}

// maxSkew is how far apart the clocks of those who write and read a state may be.
const maxSkew = time.Minute

// Credible is the state as it can be believed at a moment: without a start or an end that lies ahead of
// it. They come from a clock that was wrong, or from somebody's hand; a check would wait for them, and
// its last verdict stand, for as long as it takes.
func (s State) Credible(now time.Time) State {
	limit := now.Add(maxSkew)
	for _, at := range []*time.Time{&s.Run.Started, &s.EndedAt, &s.LastOK, &s.LastFailure} {
		if at.After(limit) {
			*at = time.Time{}
		}
	}
	return s
}

// Begun is the state once a run is recorded. What is known of earlier runs stays.
func (s State) Begun(run Run) State {
	s.Errors = slices.Clone(s.Errors)
	s.Run, s.Running = run, true
	return s
}

// Reported is the state after a report on the newest run. A run may report again in version 2, as long
// as no other has begun: the last report counts.
func (s State) Reported(check Check, report Report, end End) State {
	ok, errors := outcome(report.OK, report.Errors)
	s = s.ended(check, end, ok, errors)
	s.Duration = max(end.At.Sub(s.Run.Started), 0)
	return s
}

// Failed is the state after the newest run has ended without a report.
func (s State) Failed(check Check, why string, end End) State {
	s = s.ended(check, end, false, []string{why})
	s.Duration = max(end.At.Sub(s.Run.Started), 0)
	if check.API == V2 {
		// Its RunDuration is empty after a run that could not be carried out.
		s.Duration = 0
	}
	return s
}

// ended is the state after the newest run has ended. KuberhealthyStates count nothing, so that what
// counts stays zero in version 2.
func (s State) ended(check Check, end End, ok bool, errors []string) State {
	s.Running = false
	s.Ended, s.EndedAt = true, end.At
	s.OK, s.Errors = ok, errors
	s.Node, s.Writer = end.Node, end.Writer
	if check.API != V3 {
		return s
	}
	s.Run.ID = ""
	if ok {
		s.Successes++
		s.ConsecutiveFailures = 0
		s.LastOK = end.At
	} else {
		s.Failures++
		s.ConsecutiveFailures++
		s.LastFailure = end.At
	}
	return s
}

// outcome is a result without blank errors, which is good only where no other is left: version 2 takes
// reports that say OK and tell errors.
func outcome(ok bool, told []string) (good bool, errors []string) {
	for _, text := range told {
		if notBlank(text) {
			errors = append(errors, text)
		}
	}
	return ok && len(errors) == 0, errors
}
