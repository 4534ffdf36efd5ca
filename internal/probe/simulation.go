package probe

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Program is how a container's program answers all its probes, as somebody observed it or supposes it.
type Program struct {
	// Start is from the container's start until the program answers. An attempt that begins before
	// fails: at once, as where nothing listens yet.
	Start time.Duration
	// Latency is how long an answer takes then. One beyond a probe's timeout is a failure of that probe.
	Latency time.Duration
	// Pause is how long the program hangs once, long after its start; zero for never. What is asked
	// meanwhile is answered when the pause is over, to those who still wait.
	Pause time.Duration
}

// Course is what becomes of a container whose program is played. When the kubelet asks is its own
// affair: its ticks do not begin with the container. A course is over all that they can be.
type Course struct {
	// KilledBy is the probe for which the kubelet kills the container; "" where it never does.
	KilledBy Kind
	// Killed is when, from the container's start, at the earliest and at the latest. Where Always is
	// false, it depends on the kubelet's ticks whether it is killed at all.
	Killed Span
	Always bool
	// Ready is when, from its start, the container is ready: at the earliest and at the latest. It is
	// for those courses alone in which it gets ready; NeverReady tells that there are others.
	Ready      Span
	NeverReady bool
	// Withdrawn tells that it can lose its readiness, once ready, for its pause.
	Withdrawn bool
}

// Holds tells whether the container comes up whatever the kubelet's ticks are, and is neither killed nor
// taken out of its Services.
func (c Course) Holds() bool { return c.KilledBy == "" && !c.NeverReady && !c.Withdrawn }

// phases is at how many moments within a period after the initial delay the ticks are made to begin. The
// first and the last are those that the spans of [Timing] come from.
const phases = 11

// Simulate plays a container with its probes and a program through the kubelet's workers, from its
// start until the program has answered for so long that nothing else can come. It asks nobody and
// knows no clock. Fields of probes that are zero have their defaults.
//
// It is for those who recommend other numbers: what is recommended for a program must hold with it.
func Simulate(pod *corev1.PodSpec, container *corev1.Container, program Program) Course {
	container = defaulted(container)
	out := Course{Always: true}
	readies := 0
	for i := range phases {
		s := newSimulation(pod, container, program, i)
		s.play()
		switch {
		case s.killedBy == "":
			out.Always = false
		case out.KilledBy == "":
			out.KilledBy, out.Killed = s.killedBy, Span{s.killed, s.killed}
		default:
			out.Killed = out.Killed.with(s.killed)
		}
		out.Withdrawn = out.Withdrawn || s.withdrawn
		if !s.wasReady {
			out.NeverReady = true
			continue
		}
		if readies++; readies == 1 {
			out.Ready = Span{s.ready, s.ready}
		}
		out.Ready = out.Ready.with(s.ready)
	}
	return out
}

// with is the span that has a moment in it.
func (s Span) with(d time.Duration) Span { return Span{min(s.Least, d), max(s.Most, d)} }

// defaulted is a container whose probes have no field that is left out.
func defaulted(container *corev1.Container) *corev1.Container {
	out := container.DeepCopy()
	for _, kind := range Kinds() {
		spec := kind.Of(out)
		if spec == nil {
			continue
		}
		spec.PeriodSeconds = cmp.Or(spec.PeriodSeconds, int32(DefaultPeriod/time.Second))
		spec.TimeoutSeconds = cmp.Or(spec.TimeoutSeconds, int32(DefaultTimeout/time.Second))
		spec.FailureThreshold = cmp.Or(spec.FailureThreshold, DefaultFailureThreshold)
		spec.SuccessThreshold = cmp.Or(spec.SuccessThreshold, DefaultSuccessThreshold)
	}
	return out
}

// simulated is one probe's worker in a simulation.
type simulated struct {
	Worker

	state  State
	timing Timing
	// answered is when the attempt under way has its verdict.
	answered time.Time
	verdict  Verdict
}

// simulation is a container in a course of its own, with the ticks in one phase.
type simulation struct {
	program Program
	workers []*simulated
	status  *corev1.PodStatus
	// pause begins at a moment, and the simulation ends at another.
	pause, end time.Time

	killedBy      Kind
	killed, ready time.Duration
	wasReady      bool
	withdrawn     bool
}

// containerStart is when the container of a simulation starts; any moment serves.
var containerStart = time.Unix(0, 0).UTC()

// newSimulation sets up a simulation in which the ticks begin in one of the phases.
func newSimulation(pod *corev1.PodSpec, container *corev1.Container, program Program, phase int) *simulation {
	s := &simulation{program: program, status: &corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: container.Name, ContainerID: "played", Started: new(container.StartupProbe == nil),
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(containerStart)}},
	}}}}
	// settling is what all thresholds together can take, each reached anew.
	var settling time.Duration
	for _, kind := range Kinds() {
		spec := kind.Of(container)
		if spec == nil {
			continue
		}
		t := TimingOf(kind, spec)
		settling += t.InitialDelay + time.Duration(t.FailureThreshold+t.SuccessThreshold+1)*t.Pace(t.Timeout)
		first := t.InitialDelay + t.Period*time.Duration(phase)/(phases-1)
		w := Worker{Kind: kind, Pod: pod, Container: container, KubeletStart: containerStart.Add(-time.Hour)}
		s.workers = append(s.workers, &simulated{Worker: w, state: w.Start(containerStart.Add(first), 0), timing: t})
	}
	s.pause = containerStart.Add(program.Start + settling)
	s.end = s.pause
	if program.Pause > 0 {
		s.end = s.pause.Add(program.Pause + settling)
	}
	s.gate(containerStart)
	return s
}

// play goes from moment to moment at which a worker has something to do, until the end or a kill.
func (s *simulation) play() {
	for s.killedBy == "" {
		next := s.next()
		if next == nil {
			return
		}
		at := next.due()
		if at.After(s.end) {
			return
		}
		in := Input{At: at, Status: s.status}
		if next.state.Asking() {
			in.Verdict = &next.verdict
		}
		action := s.step(next, in)
		if action.Kill {
			s.killedBy, s.killed = next.Kind, at.Sub(containerStart)
		}
		if action.Changed {
			s.sync(next, at)
		}
	}
}

// next is the worker that has something to do first.
func (s *simulation) next() *simulated {
	var first *simulated
	for _, w := range s.workers {
		if !w.state.Ended && (first == nil || w.due().Before(first.due())) {
			first = w
		}
	}
	return first
}

// due is when a worker has something to do: its next tick, or the verdict that it waits for.
func (w *simulated) due() time.Time {
	if w.state.Asking() {
		return w.answered
	}
	return w.state.NextTick
}

// step tells a worker something, and makes the attempt that it wants.
func (s *simulation) step(w *simulated, in Input) Action {
	state, action := w.Step(w.state, in)
	w.state = state
	if action.Probe {
		w.answered, w.verdict = s.answer(in.At, w.timing.Timeout)
	}
	return action
}

// sync is what the kubelet does after a change of one worker's result: it works out the pod's status, of which
// the others are told.
func (s *simulation) sync(changed *simulated, at time.Time) {
	s.gate(at)
	for _, w := range s.workers {
		if w != changed && !w.state.Ended {
			s.step(w, Input{At: at, Status: s.status, Synced: true})
		}
	}
}

// gate works out what the kubelet holds of the container after a change of its workers' results
// (UpdatePodStatus of pkg/kubelet/prober/prober_manager.go).
func (s *simulation) gate(at time.Time) {
	c := &s.status.ContainerStatuses[0]
	ready := true
	for _, w := range s.workers {
		switch w.Kind {
		case Startup:
			*c.Started = w.state.Cached == Success
		case Readiness:
			ready = w.state.Cached == Success
		case Liveness:
		}
	}
	c.Ready = ready && *c.Started
	switch {
	case c.Ready && !s.wasReady:
		s.wasReady, s.ready = true, at.Sub(containerStart)
	case !c.Ready && s.wasReady:
		s.withdrawn = true
	}
}

// answer is when an attempt that begins now has which verdict.
func (s *simulation) answer(at time.Time, timeout time.Duration) (time.Time, Verdict) {
	if at.Before(containerStart.Add(s.program.Start)) {
		return at, Verdict{Result: Failure}
	}
	took := s.program.Latency
	if over := s.pause.Add(s.program.Pause); !at.Before(s.pause) && at.Before(over) {
		took += over.Sub(at)
	}
	if took > timeout {
		return at.Add(timeout), Verdict{Result: Failure}
	}
	return at.Add(took), Verdict{Result: Success}
}

// LongestStart is the longest start, in whole seconds up to a limit, with which a container comes up whatever
// the kubelet's ticks are; false where it does not come up even if it answers at once, with this latency.
func LongestStart(pod *corev1.PodSpec, container *corev1.Container, latency, limit time.Duration) (time.Duration, bool) {
	return longest(limit, func(d time.Duration) bool {
		return Simulate(pod, container, Program{Start: d, Latency: latency}).Holds()
	})
}

// LongestPause is the longest pause, in whole seconds up to a limit, that has no consequence whatever the
// kubelet's ticks are; false where the container does not even come up with this start and latency.
func LongestPause(pod *corev1.PodSpec, container *corev1.Container, usual Program, limit time.Duration) (time.Duration, bool) {
	return longest(limit, func(d time.Duration) bool {
		usual.Pause = d
		return Simulate(pod, container, usual).Holds()
	})
}

// longest is the longest time in whole seconds that holds, where a shorter one does if a longer one does; false
// where none does.
func longest(limit time.Duration, holds func(time.Duration) bool) (time.Duration, bool) {
	most, above := -1, int(limit/time.Second)+1
	for above-most > 1 {
		if middle := (most + above) / 2; holds(time.Duration(middle) * time.Second) {
			most = middle
		} else {
			above = middle
		}
	}
	return time.Duration(most) * time.Second, most >= 0
}
