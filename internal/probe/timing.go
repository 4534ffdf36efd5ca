package probe

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Timing is the pace of a probe, defaults filled in.
type Timing struct {
	Kind Kind
	// InitialDelay is how long a container runs before it is asked.
	InitialDelay time.Duration
	// Period is from one attempt to the next.
	Period time.Duration
	// Timeout is what one attempt may take.
	Timeout time.Duration
	// FailureThreshold is how many failures in a row have a consequence, at least 1.
	FailureThreshold int
	// SuccessThreshold is how many successes in a row undo it, at least 1.
	SuccessThreshold int
}

// The defaults of the API server (pkg/apis/core/v1/defaults.go). [DefaultTimeout] is another.
const (
	DefaultPeriod           = 10 * time.Second
	DefaultFailureThreshold = 3
	DefaultSuccessThreshold = 1
)

// TimingOf reads the pace of a probe.
func TimingOf(kind Kind, spec *corev1.Probe) Timing {
	t := Timing{
		Kind:             kind,
		InitialDelay:     time.Duration(max(spec.InitialDelaySeconds, 0)) * time.Second,
		Period:           time.Duration(spec.PeriodSeconds) * time.Second,
		Timeout:          Timeout(spec),
		FailureThreshold: int(spec.FailureThreshold),
		SuccessThreshold: int(spec.SuccessThreshold),
	}
	if t.Period <= 0 {
		t.Period = DefaultPeriod
	}
	if t.FailureThreshold <= 0 {
		t.FailureThreshold = DefaultFailureThreshold
	}
	if t.SuccessThreshold <= 0 {
		t.SuccessThreshold = DefaultSuccessThreshold
	}
	return t
}

// Span is the shortest and the longest time that something can take.
type Span struct {
	Least, Most time.Duration
}

// Plus adds what comes after it.
func (s Span) Plus(more Span) Span {
	return Span{Least: s.Least + more.Least, Most: s.Most + more.Most}
}

// Pace is from one attempt to the next, when each takes so long: the worker's ticker keeps one tick
// for later, so that slow attempts follow each other without a pause.
func (t Timing) Pace(attempt time.Duration) time.Duration {
	return max(t.Period, min(attempt, t.Timeout))
}

// FirstAttempt is from the start of the container to the first attempt. The worker's ticks do not
// begin with the container, so that up to a period is added to the delay.
func (t Timing) FirstAttempt() Span {
	return Span{Least: t.InitialDelay, Most: t.InitialDelay + t.Period}
}

// Detection is from the moment at which every attempt begins to fail until the kubelet acts: kills
// the container, or takes it out of its Services. Failing is how long such an attempt takes: next to
// nothing for a refused connection, Timeout for a server that hangs.
//
// For a readiness probe Least holds only while the container is ready; see [Timing.ManualTriggers].
func (t Timing) Detection(failing time.Duration) Span {
	failing = min(failing, t.Timeout)
	rest := time.Duration(t.FailureThreshold-1)*t.Pace(failing) + failing
	return Span{Least: rest, Most: t.Period + rest}
}

// StartupBudget is how long after its start a container that does not answer is killed by this
// probe. Within Least it must have answered once, to be safe. For a liveness probe that holds where
// there is no startup probe before it.
func (t Timing) StartupBudget(failing time.Duration) Span {
	failing = min(failing, t.Timeout)
	rest := time.Duration(t.FailureThreshold-1)*t.Pace(failing) + failing
	first := t.FirstAttempt()
	return Span{Least: first.Least + rest, Most: first.Most + rest}
}

// Recovery is from the moment at which every attempt succeeds again until the kubelet believes it.
// Answering is how long such an attempt takes.
func (t Timing) Recovery(answering time.Duration) Span {
	answering = min(answering, t.Timeout)
	rest := time.Duration(t.SuccessThreshold-1)*t.Pace(answering) + answering
	return Span{Least: rest, Most: t.Period + rest}
}

// ManualTriggers tells whether attempts are also made outside the period: a readiness probe is
// asked at every sync of a pod whose container is not ready, so that thresholds pass faster then.
// https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
func (t Timing) ManualTriggers() bool { return t.Kind == Readiness }

// FailureThresholdFor is the smallest threshold with which this probe leaves a container alone that
// answers after so long, each failed attempt until then taking failing.
func (t Timing) FailureThresholdFor(start, failing time.Duration) int {
	failing = min(failing, t.Timeout)
	// The last attempt that counts must begin when the container answers already.
	wait := start - t.InitialDelay
	if wait <= 0 {
		return 1
	}
	pace := t.Pace(failing)
	return int((wait+pace-1)/pace) + 1
}

// minimumGrace is what the kubelet leaves a container at least between SIGTERM and SIGKILL
// (minimumGracePeriodInSeconds of pkg/kubelet/kuberuntime/kuberuntime_container.go).
const minimumGrace = 2 * time.Second

// Grace is how long a container has to end when a probe of a kind had it killed: the time of the
// probe itself, where it names one, or the pod's; never less than two seconds. Its preStop hook is
// part of that time.
func Grace(kind Kind, spec *corev1.Probe, pod *corev1.PodSpec) time.Duration {
	seconds := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if pod.TerminationGracePeriodSeconds != nil {
		seconds = *pod.TerminationGracePeriodSeconds
	}
	if kind != Readiness && spec.TerminationGracePeriodSeconds != nil {
		seconds = *spec.TerminationGracePeriodSeconds
	}
	return max(time.Duration(seconds)*time.Second, minimumGrace)
}

// The kubelet's pauses before it starts a container again (pkg/kubelet/kubelet.go).
const (
	firstBackOff = 10 * time.Second
	maxBackOff   = 5 * time.Minute
)

// BackOff is how long the kubelet waits at least before it starts a container again, when it was
// started again so many times already, each time to fail within ten minutes: 0, 10 s, 20 s, up to
// 5 minutes. Clusters may set less (KubeletCrashLoopBackOffMax).
func BackOff(restarts int) time.Duration {
	if restarts <= 0 {
		return 0
	}
	pause := firstBackOff
	for range restarts - 1 {
		if pause *= 2; pause >= maxBackOff {
			return maxBackOff
		}
	}
	return pause
}

// Restart is from the moment at which every attempt begins to fail until the container's process is
// started again, when it ends as soon as it is told to, or only when its grace is over.
func (t Timing) Restart(failing, grace time.Duration, restarts int) Span {
	pause := BackOff(restarts)
	return t.Detection(failing).Plus(Span{Least: pause, Most: grace + pause})
}
