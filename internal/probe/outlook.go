package probe

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Outlook is when the kubelet acts, if every attempt of a probe fails from now on as the latest did: kills the
// container, or takes it out of its Services. Status is the pod's, and the latest of run failures in a row, of which
// there were fewer than the threshold, ended at last after having taken so long. False where the kubelet would not
// ask at all.
//
// Attempts that a readiness probe makes outside its period are not foreseen; they come once it has failed.
func (w Worker) Outlook(status *corev1.PodStatus, run int, last time.Time, failing time.Duration) (time.Time, bool) {
	w.Container = defaulted(w.Container)
	timing := TimingOf(w.Kind, w.spec())
	c := w.status(status)
	if c == nil || run >= timing.FailureThreshold {
		return time.Time{}, false
	}
	failing = min(failing, timing.Timeout)
	s := State{NextTick: last.Add(timing.Pace(failing) - failing), ContainerID: c.ContainerID, Cached: Success, Last: Failure, Run: run}
	var answered time.Time
	for {
		in := Input{At: s.NextTick, Status: status}
		if s.Asking() {
			in.At, in.Verdict = answered, &Verdict{Result: Failure}
		}
		var out Action
		s, out = w.Step(s, in)
		switch {
		case in.Verdict != nil && out.Changed:
			return in.At, true
		case out.Probe:
			answered = in.At.Add(failing)
		case out.Why != "":
			return time.Time{}, false
		}
	}
}
