package bundle

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// latest is the newest time at which an object says that something happened: the nearest one can
// come, without a manifest, to when it was read. Times that point ahead (a deletion's grace, a
// certificate's end) are left out.
func latest(o snapshot.Object) time.Time {
	t := o.GetCreationTimestamp().Time
	see := func(times ...time.Time) {
		for _, other := range times {
			if other.After(t) {
				t = other
			}
		}
	}
	for _, f := range o.GetManagedFields() {
		if f.Time != nil {
			see(f.Time.Time)
		}
	}
	switch o := o.(type) {
	case *coordinationv1.Lease:
		see(micro(o.Spec.RenewTime), micro(o.Spec.AcquireTime))
	case *corev1.Event:
		see(snapshot.EventTime(o))
	case *corev1.Node:
		for _, c := range o.Status.Conditions {
			see(c.LastHeartbeatTime.Time, c.LastTransitionTime.Time)
		}
	case *corev1.Pod:
		for _, c := range o.Status.Conditions {
			see(c.LastProbeTime.Time, c.LastTransitionTime.Time)
		}
		for _, statuses := range [][]corev1.ContainerStatus{o.Status.InitContainerStatuses, o.Status.ContainerStatuses} {
			for _, s := range statuses {
				see(containerTimes(s.State)...)
				see(containerTimes(s.LastTerminationState)...)
			}
		}
	case *appsv1.Deployment:
		for _, c := range o.Status.Conditions {
			see(c.LastUpdateTime.Time, c.LastTransitionTime.Time)
		}
	case *batchv1.Job:
		for _, c := range o.Status.Conditions {
			see(c.LastProbeTime.Time, c.LastTransitionTime.Time)
		}
	case *batchv1.CronJob:
		see(second(o.Status.LastScheduleTime), second(o.Status.LastSuccessfulTime))
	}
	return t
}

func containerTimes(s corev1.ContainerState) []time.Time {
	var times []time.Time
	if s.Running != nil {
		times = append(times, s.Running.StartedAt.Time)
	}
	if s.Terminated != nil {
		times = append(times, s.Terminated.StartedAt.Time, s.Terminated.FinishedAt.Time)
	}
	return times
}

func micro(t *metav1.MicroTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func second(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}
