package snapshot

import (
	"cmp"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// CreateFailure is a controller that cannot create the pods it should, because the API server refuses
// them.
type CreateFailure struct {
	// Owner that would own the pods: a ReplicaSet, StatefulSet, DaemonSet, Job or ReplicationController.
	Owner v1alpha1.Subject
	// Workload that people know it by: the Deployment over the ReplicaSet, the CronJob over the Job.
	Workload v1alpha1.Subject
	// Message of the API server, without what the controller puts before it.
	Message string
	// Since is when it was first refused, as far as the condition or the event tells.
	Since time.Time
	// Evidence of the refusal.
	Evidence v1alpha1.Evidence
}

// CreationKinds are the kinds that CreateFailures reads.
func CreationKinds() []Kind {
	return []Kind{
		KindOf[*appsv1.ReplicaSet](), KindOf[*appsv1.StatefulSet](), KindOf[*appsv1.DaemonSet](), KindOf[*batchv1.Job](),
		KindOf[*corev1.ReplicationController](), KindOf[*corev1.Event](),
	}
}

// CreateFailures returns the controllers that still lack pods which the API server refused, in the
// order of kinds and names. ReplicaSets and ReplicationControllers say so in a condition; the others
// only in events (k8s.io/kubernetes/pkg/controller, RealPodControl.createPods: reason FailedCreate).
func (s *Snapshot) CreateFailures() []CreateFailure {
	var out []CreateFailure
	for _, rs := range List[*appsv1.ReplicaSet](s) {
		if int(rs.Status.Replicas) >= Replicas(rs.Spec.Replicas) {
			continue
		}
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue && c.Reason == "FailedCreate" {
				out = append(out, refusedByCondition(rs, c.Message, c.LastTransitionTime.Time))
			}
		}
	}
	out = s.appendReplicationControllers(out)
	for _, set := range List[*appsv1.StatefulSet](s) {
		if int(set.Status.Replicas) < Replicas(set.Spec.Replicas) {
			out = s.appendRefusedByEvent(out, set)
		}
	}
	for _, set := range List[*appsv1.DaemonSet](s) {
		if set.Status.CurrentNumberScheduled < set.Status.DesiredNumberScheduled {
			out = s.appendRefusedByEvent(out, set)
		}
	}
	for _, job := range List[*batchv1.Job](s) {
		if job.Status.Active == 0 && job.Status.Succeeded == 0 && !JobFinished(job) && (job.Spec.Suspend == nil || !*job.Spec.Suspend) {
			out = s.appendRefusedByEvent(out, job)
		}
	}
	return out
}

func (s *Snapshot) appendReplicationControllers(out []CreateFailure) []CreateFailure {
	for _, rc := range List[*corev1.ReplicationController](s) {
		if int(rc.Status.Replicas) >= Replicas(rc.Spec.Replicas) {
			continue
		}
		for _, c := range rc.Status.Conditions {
			if c.Type == corev1.ReplicationControllerReplicaFailure && c.Status == corev1.ConditionTrue && c.Reason == "FailedCreate" {
				out = append(out, refusedByCondition(rc, c.Message, c.LastTransitionTime.Time))
			}
		}
	}
	return out
}

func refusedByCondition(owner Object, message string, since time.Time) CreateFailure {
	subject := SubjectOf(owner)
	return CreateFailure{
		Owner: subject, Workload: ownerOr(owner, subject), Message: message, Since: since,
		Evidence: v1alpha1.Evidence{
			Source: subject.Kind + " " + subject.Namespace + "/" + subject.Name, Path: ".status.conditions[ReplicaFailure].message",
			Value: message, At: at(since),
		},
	}
}

// JobFinished tells whether a Job came to its end, for good or ill
// (k8s.io/kubernetes/pkg/controller/job/util, IsJobFinished).
func JobFinished(job *batchv1.Job) bool {
	for _, c := range job.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

// createBackoff is the longest that a controller waits between two attempts to create a pod
// (k8s.io/client-go/util/workqueue, DefaultTypedControllerRateLimiter: 1000 s), with some margin.
// An event of a failed attempt that is older tells of trouble that is over.
const createBackoff = 20 * time.Minute

// appendRefusedByEvent adds what the newest event about a refused pod says.
func (s *Snapshot) appendRefusedByEvent(out []CreateFailure, owner Object) []CreateFailure {
	subject := SubjectOf(owner)
	var newest *corev1.Event
	for _, e := range s.EventsOf(subject) {
		switch e.Reason {
		case "FailedCreate":
			newest = e
		case "SuccessfulCreate":
			newest = nil
		}
	}
	if newest == nil || newest.InvolvedObject.UID != "" && owner.GetUID() != "" && newest.InvolvedObject.UID != owner.GetUID() ||
		s.Now().Sub(EventTime(newest)) > createBackoff {
		return out
	}
	return append(out, CreateFailure{
		Owner: subject, Workload: ownerOr(owner, subject), Message: refusalIn(newest.Message), Since: EventStart(newest),
		Evidence: v1alpha1.Evidence{
			Source: "Event " + subject.Kind + " " + subject.Namespace + "/" + subject.Name, Path: newest.Reason + ".message",
			Value: newest.Message, At: at(EventTime(newest)),
		},
	})
}

// refusalIn takes from an event's message what the controller put before the API server's words:
// "Error creating: " (k8s.io/kubernetes/pkg/controller, RealPodControl.createPods), or
// "create Pod db-0 in StatefulSet db failed error: " (pkg/controller/statefulset, StatefulPodControl).
func refusalIn(message string) string {
	if _, words, ok := strings.Cut(message, " failed error: "); ok {
		return words
	}
	return strings.TrimPrefix(message, "Error creating: ")
}

// ownerOr is the controller above an object, or what is given where there is none.
func ownerOr(o Object, self v1alpha1.Subject) v1alpha1.Subject {
	if ref := metav1.GetControllerOf(o); ref != nil {
		return v1alpha1.Subject{Kind: ref.Kind, Namespace: cmp.Or(o.GetNamespace(), self.Namespace), Name: ref.Name}
	}
	return self
}
