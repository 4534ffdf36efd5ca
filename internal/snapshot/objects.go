package snapshot

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// revisionAnnotation is written by the Deployment controller on each ReplicaSet
// (k8s.io/kubectl/pkg/util/deployment, RevisionAnnotation).
const revisionAnnotation = "deployment.kubernetes.io/revision"

// Revision of a ReplicaSet within its Deployment; 0 where the controller has not numbered it.
func Revision(rs *appsv1.ReplicaSet) int64 {
	n, err := strconv.ParseInt(rs.Annotations[revisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// revisionHistoryAnnotation is written by the Deployment controller on a ReplicaSet that it takes up
// again, with the revisions that it had before (k8s.io/kubernetes/pkg/controller/deployment/util,
// RevisionHistoryAnnotation).
const revisionHistoryAnnotation = "deployment.kubernetes.io/revision-history"

// TakenUpAgain tells whether a ReplicaSet was the newest of its Deployment before, as after a
// rollback: the time of its creation says nothing about the present rollout.
func TakenUpAgain(rs *appsv1.ReplicaSet) bool { return rs.Annotations[revisionHistoryAnnotation] != "" }

// Replicas is a number of replicas as a spec writes it, which the API server defaults to one.
func Replicas(n *int32) int {
	if n == nil {
		return 1
	}
	return int(*n)
}

// EventTime is when an Event was last seen; the zero time where it says nothing.
func EventTime(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	default:
		return e.CreationTimestamp.Time
	}
}

// PodCondition returns a condition of a pod, or nil.
func PodCondition(p *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == t {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// NodeCondition returns a condition of a node, or nil.
func NodeCondition(n *corev1.Node, t corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == t {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

// PodReady tells whether a pod counts as an endpoint: its Ready condition is true.
func PodReady(p *corev1.Pod) bool {
	c := PodCondition(p, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// PodDone tells whether a pod has run to its end, for good or ill, and will not run again.
func PodDone(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// SpecImage is the image that a pod's spec names for a container, init containers included; a status
// may name it in the runtime's way. Empty where the pod has no such container.
func SpecImage(p *corev1.Pod, container string) string {
	for _, specs := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range specs {
			if specs[i].Name == container {
				return specs[i].Image
			}
		}
	}
	return ""
}

// StaticPod tells whether a pod is the mirror of a manifest file on its node
// (k8s.io/kubernetes/pkg/kubelet/types, ConfigMirrorAnnotationKey).
func StaticPod(p *corev1.Pod) bool {
	_, ok := p.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}

// LastManager returns who wrote an object last and when, as its managed fields tell, leaving out
// writes to a subresource such as status.
func LastManager(o metav1.Object) (manager string, at time.Time) {
	for _, f := range o.GetManagedFields() {
		if f.Subresource == "" && f.Time != nil && f.Time.After(at) {
			manager, at = f.Manager, f.Time.Time
		}
	}
	return manager, at
}

// at turns a time into the API's, to the second; the zero time is absence.
func at(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.UTC().Truncate(time.Second)}
}
