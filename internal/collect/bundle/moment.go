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

// clock finds out, without a manifest, when the objects were read: at the newest time they mention.
type clock struct {
	// written is the newest time that the API server wrote.
	written time.Time
	// claimed is the newest time of any writer; machines' clocks can be far off.
	claimed time.Time
	// beats tells that managed fields of a Lease were seen: some Lease is always seconds old, while
	// other objects may not have been written for days.
	beats bool
}

func (c *clock) see(o snapshot.Object) {
	written := c.seeMeta(o)
	if _, ok := o.(*coordinationv1.Lease); ok && len(o.GetManagedFields()) > 0 {
		c.beats = true
	}
	if t := latest(o, written); t.After(c.claimed) {
		c.claimed = t
	}
}

// seeMeta takes in the times that the API server wrote into an object, and returns the newest.
func (c *clock) seeMeta(o metav1.Object) time.Time {
	written := o.GetCreationTimestamp().Time
	for _, f := range o.GetManagedFields() {
		if f.Time != nil && f.Time.After(written) {
			written = f.Time.Time
		}
	}
	if written.After(c.written) {
		c.written = written
	}
	if written.After(c.claimed) {
		c.claimed = written
	}
	return written
}

// moment is the API server's where its times keep up with the cluster, else the newest of all.
func (c *clock) moment() time.Time {
	if c.beats && !c.written.IsZero() {
		return c.written
	}
	return c.claimed
}

// latest is the newest time at which an object says that something happened, at least t. Times that
// point ahead (a deletion's grace, a certificate's end) are left out.
func latest(o snapshot.Object, t time.Time) time.Time {
	see := func(times ...time.Time) {
		for _, other := range times {
			if other.After(t) {
				t = other
			}
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
