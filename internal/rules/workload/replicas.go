package workload

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// replicas is how many pods a workload wants and how many of them serve.
type replicas struct {
	subject  finding.Subject
	object   snapshot.Object
	template *corev1.PodTemplateSpec
	// desired is the number of pods wanted.
	desired int
	// ready is the number that the controller counted.
	ready int
	// rollout tells that the controller is replacing pods, and spare how many it may do without
	// meanwhile.
	rollout bool
	spare   int
	// paused tells that the controller was told to replace nothing.
	paused bool
	// readyPath is the status field that ready was read from.
	readyPath string
	// short is when the controller saw the workload fall below what it bears; zero where it did not.
	short time.Time
	// refusal is why pods cannot be created, in the words of whoever refused.
	refusal *refusal
}

// replicaFailurePath is where a workload says that it cannot create pods.
const replicaFailurePath = ".status.conditions[ReplicaFailure].message"

// replicasOf returns what every Deployment, StatefulSet and DaemonSet wants and has, and every ReplicaSet
// and ReplicationController that nothing else controls. Reading one of these kinds must be declared.
func replicasOf(p *rule.Pass) []replicas {
	var all []replicas
	for _, d := range snapshot.List[*appsv1.Deployment](p.Snapshot) {
		all = append(all, ofDeployment(d))
	}
	for _, s := range snapshot.List[*appsv1.StatefulSet](p.Snapshot) {
		all = append(all, ofStatefulSet(s))
	}
	for _, d := range snapshot.List[*appsv1.DaemonSet](p.Snapshot) {
		all = append(all, ofDaemonSet(d))
	}
	for _, rs := range snapshot.List[*appsv1.ReplicaSet](p.Snapshot) {
		if metav1.GetControllerOfNoCopy(rs) == nil {
			all = append(all, ofReplicaSet(rs))
		}
	}
	for _, rc := range snapshot.List[*corev1.ReplicationController](p.Snapshot) {
		if metav1.GetControllerOfNoCopy(rc) == nil && rc.Spec.Template != nil {
			all = append(all, ofReplicationController(rc))
		}
	}
	return all
}

// replicasNeeds are the kinds that replicasOf reads, with whatever of them could be read.
func replicasNeeds() []rule.Need {
	return []rule.Need{
		rule.Any[*appsv1.Deployment](), rule.Any[*appsv1.StatefulSet](), rule.Any[*appsv1.DaemonSet](), rule.Optional[*corev1.ReplicationController](),
	}
}

func ofReplicaSet(rs *appsv1.ReplicaSet) replicas {
	r := replicas{
		subject: snapshot.SubjectOf(rs), object: rs, template: &rs.Spec.Template, desired: snapshot.Replicas(rs.Spec.Replicas),
		ready: int(rs.Status.ReadyReplicas), readyPath: ".status.readyReplicas", rollout: rs.Status.ObservedGeneration < rs.Generation,
	}
	for _, c := range rs.Status.Conditions {
		if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
			r.refusal = r.refused(c.Message, c.LastTransitionTime.Time)
		}
	}
	return r
}

func ofReplicationController(rc *corev1.ReplicationController) replicas {
	r := replicas{
		subject: snapshot.SubjectOf(rc), object: rc, template: rc.Spec.Template, desired: snapshot.Replicas(rc.Spec.Replicas),
		ready: int(rc.Status.ReadyReplicas), readyPath: ".status.readyReplicas", rollout: rc.Status.ObservedGeneration < rc.Generation,
	}
	for _, c := range rc.Status.Conditions {
		if c.Type == corev1.ReplicationControllerReplicaFailure && c.Status == corev1.ConditionTrue {
			r.refusal = r.refused(c.Message, c.LastTransitionTime.Time)
		}
	}
	return r
}

// refused is a refusal of pods that a workload tells in its ReplicaFailure condition.
func (r replicas) refused(message string, since time.Time) *refusal {
	return &refusal{message: message, since: since, evidence: finding.Evidence{
		Source: finding.Named(r.subject), Path: replicaFailurePath, Value: finding.Quote(message), At: finding.Timestamp(since),
	}}
}

func ofDeployment(d *appsv1.Deployment) replicas {
	r := replicas{
		subject: snapshot.SubjectOf(d), object: d, template: &d.Spec.Template, desired: snapshot.Replicas(d.Spec.Replicas),
		ready: int(d.Status.ReadyReplicas), readyPath: ".status.readyReplicas", paused: d.Spec.Paused,
		rollout: deploymentRollsOut(d),
	}
	r.spare = deploymentSpare(d, r.desired)
	if c := deploymentCondition(d, appsv1.DeploymentAvailable); c != nil && c.Status == corev1.ConditionFalse {
		r.short = c.LastTransitionTime.Time
	}
	if c := deploymentCondition(d, appsv1.DeploymentReplicaFailure); c != nil && c.Status == corev1.ConditionTrue {
		r.refusal = r.refused(c.Message, c.LastTransitionTime.Time)
	}
	return r
}

// deploymentRollsOut tells whether a rollout is under way and within its deadline. Once a revision
// is all there, its Progressing condition keeps the reason NewReplicaSetAvailable until the next
// (k8s.io/kubernetes/pkg/controller/deployment, syncRolloutStatus).
func deploymentRollsOut(d *appsv1.Deployment) bool {
	if d.Status.ObservedGeneration < d.Generation {
		return true
	}
	c := deploymentCondition(d, appsv1.DeploymentProgressing)
	if c == nil || d.Spec.Paused {
		return d.Status.Replicas > d.Status.UpdatedReplicas
	}
	return c.Status != corev1.ConditionFalse && c.Reason != newReplicaSetAvailable
}

// The reasons of a Deployment's Progressing condition
// (k8s.io/kubernetes/pkg/controller/deployment/util, deployment_util.go).
const (
	newReplicaSetAvailable   = "NewReplicaSetAvailable"
	progressDeadlineExceeded = "ProgressDeadlineExceeded"
	deploymentPaused         = "DeploymentPaused"
)

// deploymentSpare is how many pods a rollout may do without, resolved as
// k8s.io/kubernetes/pkg/controller/deployment/util, ResolveFenceposts does.
func deploymentSpare(d *appsv1.Deployment, desired int) int {
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return desired
	}
	unavailable, surge := intstr.FromString("25%"), intstr.FromString("25%")
	if u := d.Spec.Strategy.RollingUpdate; u != nil {
		unavailable = orDefault(u.MaxUnavailable, unavailable)
		surge = orDefault(u.MaxSurge, surge)
	}
	spare := scaled(unavailable, desired, false)
	if spare == 0 && scaled(surge, desired, true) == 0 {
		return 1
	}
	return spare
}

func ofStatefulSet(s *appsv1.StatefulSet) replicas {
	r := replicas{
		subject: snapshot.SubjectOf(s), object: s, template: &s.Spec.Template, desired: snapshot.Replicas(s.Spec.Replicas),
		ready: int(s.Status.ReadyReplicas), readyPath: ".status.readyReplicas", spare: 1,
		rollout: statefulSetRollsOut(s),
	}
	if u := s.Spec.UpdateStrategy.RollingUpdate; u != nil && u.MaxUnavailable != nil {
		r.spare = max(1, scaled(*u.MaxUnavailable, r.desired, true))
	}
	return r
}

// statefulSetRollsOut tells whether the controller is replacing pods. Of a set that is updated from a
// partition on, the current revision stays behind for good; of one with OnDelete, nobody but people
// replaces pods
// (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#update-strategies).
func statefulSetRollsOut(s *appsv1.StatefulSet) bool {
	switch u := s.Spec.UpdateStrategy; {
	case u.Type == appsv1.OnDeleteStatefulSetStrategyType:
		return false
	case s.Status.ObservedGeneration < s.Generation:
		return true
	case u.RollingUpdate != nil && u.RollingUpdate.Partition != nil && *u.RollingUpdate.Partition > 0:
		return int(s.Status.UpdatedReplicas) < toUpdate(s)
	default:
		return s.Status.UpdateRevision != s.Status.CurrentRevision
	}
}

func ofDaemonSet(d *appsv1.DaemonSet) replicas {
	r := replicas{
		subject: snapshot.SubjectOf(d), object: d, template: &d.Spec.Template,
		desired: int(d.Status.DesiredNumberScheduled), ready: int(d.Status.NumberReady), readyPath: ".status.numberReady", spare: 1,
		rollout: d.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType &&
			(d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedNumberScheduled < d.Status.DesiredNumberScheduled),
	}
	if u := d.Spec.UpdateStrategy.RollingUpdate; u != nil && u.MaxUnavailable != nil {
		r.spare = max(1, scaled(*u.MaxUnavailable, r.desired, true))
	}
	return r
}

func deploymentCondition(d *appsv1.Deployment, t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range d.Status.Conditions {
		if d.Status.Conditions[i].Type == t {
			return &d.Status.Conditions[i]
		}
	}
	return nil
}

func orDefault(v *intstr.IntOrString, fallback intstr.IntOrString) intstr.IntOrString {
	if v == nil {
		return fallback
	}
	return *v
}

// scaled resolves a number or percentage of a total; zero for what is neither.
func scaled(v intstr.IntOrString, total int, up bool) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(&v, total, up)
	if err != nil {
		return 0
	}
	return max(0, n)
}

// createBackoff is the longest that a controller waits between two attempts to create a pod
// (k8s.io/client-go/util/workqueue, DefaultTypedControllerRateLimiter: 1000 s), with some margin.
// An event of a failed attempt that is older tells of trouble that is over.
const createBackoff = 20 * time.Minute

// The reasons of Events with which controllers tell that they made or removed a pod
// (k8s.io/kubernetes/pkg/controller, SuccessfulCreatePodReason, SuccessfulDeletePodReason).
const (
	createdPod = "SuccessfulCreate"
	deletedPod = "SuccessfulDelete"
)

// refusedCreation returns why a StatefulSet or DaemonSet cannot create pods: they keep no condition
// about it, only events. One that made a pod since is refused no more.
func refusedCreation(p *rule.Pass, subject finding.Subject) *refusal {
	var made time.Time
	for _, e := range slices.Backward(p.EventsOf(subject)) {
		seen := snapshot.EventTime(e)
		if e.Reason == createdPod {
			made = finding.Later(made, seen)
		}
		if e.Reason != "FailedCreate" || p.Now().Sub(seen) > createBackoff || seen.Before(made) {
			continue
		}
		since := e.FirstTimestamp.Time
		if since.IsZero() {
			since = seen
		}
		// StatefulSets put what they tried first: "create Pod db-0 in StatefulSet db failed error: ...".
		_, message, found := strings.Cut(e.Message, "failed error: ")
		if !found {
			message = strings.TrimPrefix(e.Message, "Error creating: ")
		}
		return &refusal{message: message, since: since, evidence: eventEvidence(e)}
	}
	return nil
}

// selectorText writes the labels by which a workload's pods are listed with kubectl.
func selectorText(o snapshot.Object) string {
	var s *metav1.LabelSelector
	switch o := o.(type) {
	case *appsv1.Deployment:
		s = o.Spec.Selector
	case *appsv1.StatefulSet:
		s = o.Spec.Selector
	case *appsv1.DaemonSet:
		s = o.Spec.Selector
	case *appsv1.ReplicaSet:
		s = o.Spec.Selector
	case *corev1.ReplicationController:
		s = &metav1.LabelSelector{MatchLabels: o.Spec.Selector}
	}
	if s == nil {
		return ""
	}
	return metav1.FormatLabelSelector(s)
}

// podsCommand lists a workload's pods.
func podsCommand(r replicas) string {
	return fmt.Sprintf("kubectl -n %s get pods -o wide -l %s", r.subject.Namespace, "'"+selectorText(r.object)+"'")
}
