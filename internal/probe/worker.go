package probe

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// attempts is how often the kubelet asks, without a pause, before it throws away results that it
// discards (maxProbeRetries of pkg/kubelet/prober/prober.go).
const attempts = 3

// restartMargin is how long before the kubelet a container must have started for the kubelet to
// take it for one that it finds again, not a new one (kubeletRestartGracePeriod of
// pkg/kubelet/prober/prober_manager.go).
const restartMargin = 10 * time.Second

// Worker is what the kubelet has for each probe of each container, as a state machine: it has no
// goroutine and no clock, and asks nothing itself. It follows pkg/kubelet/prober/worker.go.
//
// Whoever drives it calls Step when State.NextTick has come, when the kubelet has synced the pod,
// and when an attempt that Step asked for has been made.
type Worker struct {
	Kind Kind
	// Pod and Container are their specs, which do not change while the pod lives. The API server
	// has put its defaults into the container's probe of this kind.
	Pod       *corev1.PodSpec
	Container *corev1.Container
	// KubeletStart is when the kubelet started.
	KubeletStart time.Time
}

// State is all that a worker remembers. The zero value is a worker that has not begun.
type State struct {
	// NextTick is when the worker looks again, if nothing else makes it; zero before the first step.
	NextTick time.Time
	// ContainerID is the container that it knows.
	ContainerID string
	// Cached is what the rest of the kubelet believes: Success, Failure, Unknown, or "" where the
	// worker has said nothing yet about this container. The kubelet forgets it when the worker ends.
	Cached Result
	// OnHold: it waits for the next container.
	OnHold bool
	// Ended: it asks no more.
	Ended bool

	// Last is the latest result that counted, and Run how many of it there were in a row. They
	// outlive the container: after a restart, a readiness probe may need fewer successes than its
	// threshold.
	Last Result
	Run  int

	// attempt is the number of the attempt under way; 0 for none.
	attempt int
	// begun: the first look has been taken.
	begun bool
	// ticked and synced: a reason to look again came while an attempt was under way.
	ticked, synced, stopped bool
}

// Asking tells whether the worker waits for the verdict of an attempt.
func (s State) Asking() bool { return s.attempt > 0 }

// Input is what a worker is told.
type Input struct {
	// At is the moment. It never goes back.
	At time.Time
	// Status is the pod's as the kubelet has it; nil where it has none yet.
	Status *corev1.PodStatus
	// Deleting: the pod is being deleted.
	Deleting bool
	// Synced: the kubelet has just worked out the pod's status.
	Synced bool
	// Stop: the kubelet has no more use for the worker. It gives liveness and startup workers up when
	// it begins to end a pod, and readiness workers when the pod has ended.
	Stop bool
	// Verdict is the kubelet's about the attempt that the step before asked for.
	Verdict *Verdict
}

// Action is what a worker wants.
type Action struct {
	// Probe: make an attempt, and tell its verdict to the next step.
	Probe bool
	// Changed: State.Cached is another than before.
	Changed bool
	// Kill: the container is to be killed, and started again if its restart policy says so.
	Kill bool
	// Event is what the kubelet writes about the pod.
	Event *Event
	// Why says, where nothing is asked, why not; "" while an attempt is under way or nothing was due.
	Why Idle
}

// Idle is a reason for which a worker asks nothing when it looks.
type Idle string

// The reasons.
const (
	// NoContainer: there is no container yet.
	NoContainer Idle = "NoContainer"
	// NotRunning: the container does not run.
	NotRunning Idle = "NotRunning"
	// InitialDelay: the container runs for less than initialDelaySeconds.
	InitialDelay Idle = "InitialDelay"
	// NotStarted: the startup probe has not succeeded yet.
	NotStarted Idle = "NotStarted"
	// Started: the startup probe has succeeded.
	Started Idle = "Started"
	// OnHold: the container is being killed, or a startup probe has come to its result.
	OnHold Idle = "OnHold"
	// Over: the worker has ended.
	Over Idle = "Over"
)

// Start returns the state of a worker that the kubelet makes at a moment. Soon after its own start,
// when it meets all its pods at once, the kubelet spreads the first attempts: random is from [0, 1).
func (w Worker) Start(at time.Time, random float64) State {
	return State{NextTick: at.Add(Jitter(w.period(), at.Sub(w.KubeletStart), random))}
}

// Jitter is how long a new worker waits before its first look, when the kubelet has been up for so
// long. Only workers made within a period after the kubelet's start wait at all.
func Jitter(period, kubeletUp time.Duration, random float64) time.Duration {
	if period <= kubeletUp {
		return 0
	}
	return time.Duration(random * float64(period))
}

func (w Worker) spec() *corev1.Probe { return w.Kind.Of(w.Container) }

func (w Worker) period() time.Duration { return time.Duration(w.spec().PeriodSeconds) * time.Second }

// Step says what becomes of a worker, and what it wants, when it is told something. It changes
// nothing but what it returns.
func (w Worker) Step(s State, in Input) (State, Action) {
	var out Action
	if s.Ended {
		out.Why = Over
		return s, out
	}
	s.stopped = s.stopped || in.Stop
	w.noteReasons(&s, in)
	if s.Asking() {
		if in.Verdict == nil {
			return s, out
		}
		if in.Verdict.Discarded && s.attempt < attempts {
			s.attempt++
			out.Probe = true
			return s, out
		}
		s.attempt = 0
		w.conclude(&s, *in.Verdict, &out)
	}
	switch {
	case s.stopped && s.begun:
		s.Ended = true
		out.Why = Over
		return s, out
	case s.begun && !s.ticked && !s.synced:
		return s, out
	case !s.begun && in.At.Before(s.NextTick):
		return s, out
	case !s.begun:
		// The ticker begins with the first look, for which no reason is used up.
		s.begun = true
		s.NextTick = in.At.Add(w.period())
	case s.synced:
		s.ticked, s.synced = false, false
		s.NextTick = in.At.Add(w.period())
	default:
		s.ticked = false
	}
	w.look(&s, in, &out)
	if !s.Asking() {
		s.synced = false // looking again at once shows the same
	}
	return s, out
}

// noteReasons keeps at most one tick and one sync, as the kubelet's channels do. Where there are
// both, the kubelet takes either first; here the sync comes first, and the tick is dropped as by the
// kubelet in that case.
func (w Worker) noteReasons(s *State, in Input) {
	if s.begun && !in.At.Before(s.NextTick) {
		s.ticked = true
		s.NextTick = in.At.Add(w.period() - in.At.Sub(s.NextTick)%w.period())
	}
	if !in.Synced || w.Kind != Readiness {
		return
	}
	c := w.status(in.Status)
	if c != nil && c.State.Running != nil && started(c) && (s.Cached != Success || s.ContainerID != c.ContainerID) {
		s.synced = true
	}
}

// conclude counts a verdict.
func (w Worker) conclude(s *State, verdict Verdict, out *Action) {
	out.Event = verdict.Event(w.Kind)
	if verdict.Discarded {
		return
	}
	result := Failure
	if verdict.Passed() {
		result = Success
	}
	if s.Last == result {
		s.Run++
	} else {
		s.Last, s.Run = result, 1
	}
	spec := w.spec()
	if (result == Failure && s.Run < int(spec.FailureThreshold)) || (result == Success && s.Run < int(spec.SuccessThreshold)) {
		return
	}
	s.set(result, out)
	if w.Kind == Startup || (w.Kind == Liveness && result == Failure) {
		s.OnHold, s.Run = true, 0
		out.Kill = result == Failure
	}
}

// set writes what the rest of the kubelet believes.
func (s *State) set(result Result, out *Action) {
	out.Changed = out.Changed || s.Cached != result
	s.Cached = result
}
