package run

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

// recorded returns the pod of the recorded run.
func (v view) recorded() *corev1.Pod {
	for _, p := range v.pods {
		if p.run == v.state.Run.ID {
			return p.Pod
		}
	}
	return nil
}

// orphans returns pods at work that are not of the run that goes on, and when there may be more.
func (v view) orphans() (pods []podView, wake time.Time) {
	for _, p := range v.pods {
		if p.run == v.state.Run.ID || !p.atWork() {
			continue
		}
		if old, at := v.settled(p, v.state.Run.Started); old {
			pods = append(pods, p)
		} else {
			wake = soonest(wake, at)
		}
	}
	return pods, wake
}

// leftovers returns pods at work whose run is over and that have no business any more, and when there
// may be more. A checker that has reported may clear up after itself until its deadline, but is not
// started again, and not for the first time either.
func (v view) leftovers() (pods []podView, wake time.Time) {
	deadline := v.check.Deadline(v.state.Run).Add(reportGrace)
	for _, p := range v.pods {
		if !p.atWork() {
			continue
		}
		// What is newer than the end of the newest run that is known of may be the next one's.
		if old, at := v.settled(p, v.state.EndedAt); !old {
			wake = soonest(wake, at)
			continue
		}
		if p.CreationTimestamp.Time.Before(v.state.Run.Started.Add(-time.Second)) || p.again() || !v.now.Before(deadline) {
			pods = append(pods, p)
			continue
		}
		wake = soonest(wake, deadline)
	}
	return pods, wake
}

// settled tells whether a pod cannot be of a run that is recorded after a time, and when it will be so
// old that the record of such a run would have arrived.
func (v view) settled(p podView, recorded time.Time) (bool, time.Time) {
	created := p.CreationTimestamp.Time
	at := created.Add(orphanAfter)
	return created.Before(recorded) || !v.now.Before(at), at
}

// busy tells whether a pod of an earlier run keeps the next one waiting, and until when at most: two
// checkers of one check would be in each other's way.
func (v view) busy() (until time.Time, busy bool) {
	for _, p := range v.pods {
		switch {
		case checkerpod.Done(p.Pod):
		case !p.leaving.IsZero():
			if v.now.Before(p.leaving) {
				until, busy = later(until, p.leaving), true
			}
		default:
			busy = true // leftovers knows until when
		}
	}
	return until, busy
}

// atWork tells that a pod runs, or will, and that nobody has deleted it.
func (p podView) atWork() bool { return !checkerpod.Done(p.Pod) && p.leaving.IsZero() }

// again tells that a pod of a run that is over is still to start a container.
func (p podView) again() bool {
	if p.Status.Phase != corev1.PodRunning {
		return true
	}
	for i := range p.Status.ContainerStatuses {
		if checkerpod.LastExit(&p.Status.ContainerStatuses[i]) != nil && p.Spec.RestartPolicy != corev1.RestartPolicyNever {
			return true
		}
	}
	return false
}
