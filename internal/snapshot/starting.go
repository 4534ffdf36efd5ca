package snapshot

import (
	"iter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The API server's defaults of a probe's fields, for objects that were written by hand
// (k8s.io/kubernetes/pkg/apis/core/v1, SetDefaults_Probe).
const (
	defaultProbePeriod    = 10
	defaultProbeSuccesses = 1
	defaultProbeFailures  = 3
)

// subresourceStatus is the subresource through which controllers and kubelets report.
const subresourceStatus = "status"

// StartAllowance is how long the probes of a pod let its slowest container take from its start to
// being ready: what a startup probe bears, or the delay before the first readiness probe, and the
// readiness probes that must succeed after. It is zero where no container has such a probe.
func StartAllowance(p *corev1.Pod) time.Duration {
	var longest time.Duration
	for c := range servingContainers(p) {
		var allowed int32
		if startup := c.StartupProbe; startup != nil {
			failures := orDefault(startup.FailureThreshold, defaultProbeFailures)
			allowed = startup.InitialDelaySeconds + failures*orDefault(startup.PeriodSeconds, defaultProbePeriod)
		}
		if readiness := c.ReadinessProbe; readiness != nil {
			successes := orDefault(readiness.SuccessThreshold, defaultProbeSuccesses)
			allowed = max(allowed, readiness.InitialDelaySeconds) + successes*orDefault(readiness.PeriodSeconds, defaultProbePeriod)
		}
		longest = max(longest, time.Duration(allowed)*time.Second)
	}
	return longest
}

// servingContainers are the containers that run as long as the pod: the regular ones and the
// sidecars, which are init containers that always restart.
func servingContainers(p *corev1.Pod) iter.Seq[*corev1.Container] {
	return func(yield func(*corev1.Container) bool) {
		for i := range p.Spec.InitContainers {
			c := &p.Spec.InitContainers[i]
			if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways && !yield(c) {
				return
			}
		}
		for i := range p.Spec.Containers {
			if !yield(&p.Spec.Containers[i]) {
				return
			}
		}
	}
}

func orDefault(n, fallback int32) int32 {
	if n > 0 {
		return n
	}
	return fallback
}

// PodStarting tells whether a pod that is not ready is still within what its own probes allow for
// its start: every container runs, none has been restarted, and the allowance has not run out.
func (s *Snapshot) PodStarting(p *corev1.Pod) bool {
	if PodReady(p) {
		return false
	}
	allowance := StartAllowance(p)
	waiting := false
	for i := range p.Status.ContainerStatuses {
		c := &p.Status.ContainerStatuses[i]
		if c.Ready {
			continue
		}
		if c.State.Running == nil || c.RestartCount > 0 || s.Now().Sub(c.State.Running.StartedAt.Time) > allowance {
			return false
		}
		waiting = true
	}
	return waiting
}

// NotReadySince is when a pod that is not ready ceased to be; for one that never was, when it began
// to wait.
func NotReadySince(p *corev1.Pod) time.Time {
	for _, t := range []corev1.PodConditionType{corev1.PodReady, corev1.PodScheduled} {
		if c := PodCondition(p, t); c != nil && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Time
		}
	}
	return p.CreationTimestamp.Time
}

// readyAtOnce bounds how soon after its start a pod can have been ready and lost it again without
// its condition telling that from never having been ready; conditions are kept to the second.
const readyAtOnce = 2 * time.Second

// WasReady tells whether a pod is ready or has been since it started: the Ready condition of one that
// never was still bears the time of its start. A pod that does not say when it started counts as one
// that was.
func WasReady(p *corev1.Pod) bool {
	c := PodCondition(p, corev1.PodReady)
	if c == nil || c.Status == corev1.ConditionTrue {
		return c != nil
	}
	return p.Status.StartTime == nil || c.LastTransitionTime.Sub(p.Status.StartTime.Time) > readyAtOnce
}

// SpecWritten is when anything but the status of an object was last written, by any subresource
// (kubectl and autoscalers scale through one), as its managed fields tell; the zero time where
// they do not.
func SpecWritten(o metav1.Object) time.Time {
	var last time.Time
	for _, f := range o.GetManagedFields() {
		if f.Subresource != subresourceStatus && f.Time != nil && f.Time.After(last) {
			last = f.Time.Time
		}
	}
	return last
}
