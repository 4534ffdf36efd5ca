package probe

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/snapshot"
)

// target is what the command line names.
type target struct {
	// kind is Pod, Service, or that of a workload.
	kind, namespace, name string
}

// String names it as reports do.
func (t target) String() string { return t.kind + " " + t.namespace + "/" + t.name }

// kinds by what kubectl calls them.
var kinds = map[string]string{
	"pod": "Pod", "pods": "Pod", "po": "Pod",
	"deploy": "Deployment", "deployment": "Deployment", "deployments": "Deployment",
	"rs": "ReplicaSet", "replicaset": "ReplicaSet", "replicasets": "ReplicaSet",
	"sts": "StatefulSet", "statefulset": "StatefulSet", "statefulsets": "StatefulSet",
	"ds": "DaemonSet", "daemonset": "DaemonSet", "daemonsets": "DaemonSet",
	"rc": "ReplicationController", "replicationcontroller": "ReplicationController", "replicationcontrollers": "ReplicationController",
	"job": "Job", "jobs": "Job", "cj": "CronJob", "cronjob": "CronJob", "cronjobs": "CronJob",
	"svc": "Service", "service": "Service", "services": "Service",
}

// parseTarget reads POD, KIND/NAME or KIND NAME.
func parseTarget(namespace string, args []string) (target, error) {
	kind, name := "pod", args[0]
	if len(args) == 2 {
		kind, name = args[0], args[1]
	} else if before, after, ok := strings.Cut(args[0], "/"); ok {
		kind, name = before, after
	}
	// kubectl also takes deployments.apps.
	short, _, _ := strings.Cut(strings.ToLower(kind), ".")
	known, ok := kinds[short]
	switch {
	case !ok:
		return target{}, exit.Misused("%q has no pods to probe; write POD, or deploy/NAME, rs/NAME, sts/NAME, ds/NAME, rc/NAME, job/NAME, cronjob/NAME or svc/NAME", kind)
	case name == "" || strings.Contains(name, "/"):
		return target{}, exit.Misused("%q names no object; write POD or KIND/NAME, such as deploy/front", strings.Join(args, " "))
	}
	return target{known, namespace, name}, nil
}

const (
	// podsShown is how many pods of a workload are looked at: enough to see whether they differ.
	podsShown = 3
	// podsRead bounds the list from which those are chosen.
	podsRead = 1000
)

// noPodsError tells that the target exists and has no pods.
type noPodsError struct{ of target }

func (e noPodsError) Error() string { return fmt.Sprintf("%s has no pods", e.of) }

// pods are those of the target. More tells how many there are besides, at least.
func (r *reader) pods(ctx context.Context, t target) ([]*corev1.Pod, int, error) {
	key := client.ObjectKey{Namespace: t.namespace, Name: t.name}
	if t.kind == "Pod" {
		pod := &corev1.Pod{}
		if err := r.client.Get(ctx, key, pod); err != nil {
			return nil, 0, notRead(t, err)
		}
		return []*corev1.Pod{pod}, 0, nil
	}
	selector, err := r.selector(ctx, key, t)
	if err != nil {
		return nil, 0, err
	}
	list := &corev1.PodList{}
	if err := r.client.List(ctx, list, client.InNamespace(t.namespace), client.MatchingLabelsSelector{Selector: selector}, client.Limit(podsRead)); err != nil {
		return nil, 0, notRead(target{"pods of " + t.kind, t.namespace, t.name}, err)
	}
	if len(list.Items) == 0 {
		return nil, 0, noPodsError{t}
	}
	all := make([]*corev1.Pod, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
	}
	slices.SortStableFunc(all, worstFirst)
	more := max(0, len(all)-podsShown)
	if left := list.RemainingItemCount; left != nil {
		more += int(*left)
	}
	return all[:min(podsShown, len(all))], more, nil
}

// selector of the target's pods.
func (r *reader) selector(ctx context.Context, key client.ObjectKey, t target) (labels.Selector, error) {
	var o client.Object
	var selector func() *metav1.LabelSelector
	equal := func(set map[string]string) *metav1.LabelSelector {
		if len(set) == 0 {
			return nil
		}
		return &metav1.LabelSelector{MatchLabels: set}
	}
	switch t.kind {
	case "Deployment":
		d := &appsv1.Deployment{}
		o, selector = d, func() *metav1.LabelSelector { return d.Spec.Selector }
	case "ReplicaSet":
		d := &appsv1.ReplicaSet{}
		o, selector = d, func() *metav1.LabelSelector { return d.Spec.Selector }
	case "StatefulSet":
		d := &appsv1.StatefulSet{}
		o, selector = d, func() *metav1.LabelSelector { return d.Spec.Selector }
	case "DaemonSet":
		d := &appsv1.DaemonSet{}
		o, selector = d, func() *metav1.LabelSelector { return d.Spec.Selector }
	case "Job":
		d := &batchv1.Job{}
		o, selector = d, func() *metav1.LabelSelector { return d.Spec.Selector }
	case "CronJob":
		return r.latestJob(ctx, key, t)
	case "ReplicationController":
		d := &corev1.ReplicationController{}
		o, selector = d, func() *metav1.LabelSelector { return equal(d.Spec.Selector) }
	default:
		d := &corev1.Service{}
		o, selector = d, func() *metav1.LabelSelector { return equal(d.Spec.Selector) }
	}
	if err := r.client.Get(ctx, key, o); err != nil {
		return nil, notRead(t, err)
	}
	if selector() == nil {
		return nil, exit.Misused("%s selects no pods; name a pod or a workload behind it", t)
	}
	out, err := metav1.LabelSelectorAsSelector(selector())
	if err != nil {
		return nil, fmt.Errorf("reading the selector of %s: %w", t, err)
	}
	return out, nil
}

// latestJob selects the pods of the Job that a CronJob made last: those before it have ended, or soon will.
func (r *reader) latestJob(ctx context.Context, key client.ObjectKey, t target) (labels.Selector, error) {
	owner := &batchv1.CronJob{}
	if err := r.client.Get(ctx, key, owner); err != nil {
		return nil, notRead(t, err)
	}
	list := &batchv1.JobList{}
	if err := r.client.List(ctx, list, client.InNamespace(t.namespace), client.Limit(podsRead)); err != nil {
		return nil, notRead(target{"Jobs of " + t.kind, t.namespace, t.name}, err)
	}
	var latest *batchv1.Job
	for i := range list.Items {
		job := &list.Items[i]
		if metav1.IsControlledBy(job, owner) && job.Spec.Selector != nil && (latest == nil || latest.CreationTimestamp.Before(&job.CreationTimestamp)) {
			latest = job
		}
	}
	if latest == nil {
		return nil, noPodsError{t}
	}
	selector, err := metav1.LabelSelectorAsSelector(latest.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("reading the selector of Job %s/%s: %w", latest.Namespace, latest.Name, err)
	}
	return selector, nil
}

// notRead says why an object could not be read.
func notRead(t target, err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return exit.Misused("there is no %s; write -n with its namespace, or another name", t)
	default:
		return &exit.Error{Code: exit.Unknown, Err: fmt.Errorf("reading %s: %w", t, err)}
	}
}

// worstFirst orders pods: those that are not ready first, then those that restarted most.
func worstFirst(a, b *corev1.Pod) int {
	return cmp.Or(cmp.Compare(badness(b), badness(a)), cmp.Compare(restarts(b), restarts(a)), cmp.Compare(a.Name, b.Name))
}

func badness(p *corev1.Pod) int {
	switch {
	case snapshot.PodDone(p):
		return 0
	case p.DeletionTimestamp != nil:
		return 1
	case snapshot.PodReady(p):
		return 2
	default:
		return 3
	}
}

func restarts(p *corev1.Pod) int {
	n := 0
	for _, all := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for i := range all {
			n += int(all[i].RestartCount)
		}
	}
	return n
}
