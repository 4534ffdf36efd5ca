package run

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

const (
	// defaultGrace is a pod's terminationGracePeriodSeconds where it says nothing.
	defaultGrace = 30 * time.Second
	// Making a pod is tried again after these times, doubled each time.
	leastRetry, mostRetry = time.Second, 30 * time.Second
)

// perform takes a step. It returns when to look again where that is not at once. Whatever it has sent
// is finished although ctx ends.
func (e *Engine) perform(ctx context.Context, s *subject, v view, next step) (again time.Time, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeWithin)
	defer cancel()
	switch next.action {
	case begin:
		return e.begin(ctx, s, v.now)
	case create:
		return time.Time{}, e.create(ctx, s, v)
	case look:
		return time.Time{}, e.look(ctx, s, next.pod, v.now)
	case fail:
		return time.Time{}, e.fail(ctx, s, v, next)
	case remove:
		return time.Time{}, e.remove(ctx, next.pods, v.now)
	case mark:
		return time.Time{}, e.mark(ctx, s, next.phase)
	case release:
		return time.Time{}, e.release(ctx, s)
	case reap:
		return time.Time{}, e.delete(ctx, s.object)
	default: // wait is nothing to perform
		return time.Time{}, nil
	}
}

// begin records a new run, or returns when one may begin.
func (e *Engine) begin(ctx context.Context, s *subject, now time.Time) (again time.Time, err error) {
	if at := e.pace.slot(s.key, now); at.After(now) {
		return at, nil
	}
	run := kuberhealthy.NewRun(s.check, s.state, string(uuid.NewUUID()), now)
	// Version 2 names pods by the second: a job of the same name, or an object that this one has replaced,
	// may have had a run in this one.
	name := types.NamespacedName{Namespace: s.Namespace, Name: kuberhealthy.PodName(s.check, run)}
	if pod, err := e.get(ctx, podKind, name); err != nil || pod != nil {
		return now.Truncate(time.Second).Add(time.Second), err
	}
	due, repeats := kuberhealthy.Next(s.check, s.state)
	if err := e.record(ctx, s, s.state.Begun(run)); err != nil {
		return time.Time{}, err
	}
	if repeats {
		e.o.Metrics.Began(s.check, now.Sub(due))
	}
	e.memory.note(s.check.UID, func(n *note) { n.run, n.trouble, n.tries = run.ID, trouble{}, 0 })
	e.arrivals.tell(run.ID)
	return time.Time{}, nil
}

// create makes the pod of the recorded run.
func (e *Engine) create(ctx context.Context, s *subject, v view) error {
	run := s.state.Run
	remembered := e.memory.note(s.check.UID, nil)
	if remembered.run != run.ID {
		// Another replica recorded it, or another program: the pod may be there, where the cache does not
		// look or has not looked yet.
		found, err := e.inherit(ctx, s, v)
		if found || err != nil {
			return err
		}
	}
	pod, unfit := kuberhealthy.Pod(s.check, run, e.o.Settings().Pods)
	if unfit != nil {
		e.troubled(s, v, trouble{message: unfit.Error(), refused: true})
		return nil //nolint:nilerr // the run fails because of it
	}
	err := e.o.Client.Create(ctx, pod)
	switch {
	case err == nil:
		e.created(pod, v.now)
		return nil
	case apierrors.IsAlreadyExists(err):
		return e.adopt(ctx, s, v, types.NamespacedName{Namespace: pod.GetNamespace(), Name: pod.GetName()})
	}
	if t, refused := refusal(err, later(run.Started, v.resumed), s.check.Timeout); refused {
		e.troubled(s, v, t)
		return nil
	}
	return fmt.Errorf("making the pod of %s: %w", s.key, err)
}

// created remembers a pod that was made, or found.
func (e *Engine) created(pod *unstructured.Unstructured, now time.Time) {
	var typed corev1.Pod
	if runtime.DefaultUnstructuredConverter.FromUnstructured(pod.Object, &typed) != nil {
		return // the cache will show it
	}
	if _, err := trimPod(&typed); err == nil {
		e.memory.made(&typed, now)
	}
}

// troubled remembers that the pod of a run could not be made, and when to try again.
func (e *Engine) troubled(s *subject, v view, t trouble) {
	t.message = checkerpod.Clean(t.message)
	e.memory.note(s.check.UID, func(n *note) {
		if n.run != s.state.Run.ID {
			n.run, n.tries = s.state.Run.ID, 0
		}
		if t.again.IsZero() {
			t.again = v.now.Add(min(leastRetry<<min(n.tries, 10), mostRetry))
		}
		n.tries++
		n.trouble = t
	})
}

// inherit looks for the pod of a run that this replica did not record, past the cache: a Kuberhealthy
// that was replaced made pods without the label by which ours are seen.
func (e *Engine) inherit(ctx context.Context, s *subject, v view) (found bool, err error) {
	label := khv1.LabelRunID
	if s.check.API == kuberhealthy.V3 {
		label = khv2.LabelRunID
	}
	var pods corev1.PodList
	err = e.o.Client.List(ctx, &pods, client.InNamespace(s.Namespace), client.MatchingLabels{label: s.state.Run.ID}, client.Limit(1))
	if err != nil {
		return false, fmt.Errorf("looking for the pod of %s: %w", s.key, err)
	}
	if len(pods.Items) == 0 {
		e.memory.note(s.check.UID, func(n *note) { n.run, n.trouble, n.tries = s.state.Run.ID, trouble{}, 0 })
		return false, nil
	}
	pod := &pods.Items[0]
	if pod.Labels[v1alpha1.LabelRunOf] != "" {
		_, _ = trimPod(pod)
		e.memory.made(pod, v.now)
		return true, nil
	}
	e.troubled(s, v, trouble{
		message: "its pod " + pod.Name + ", which another operator made, has not reported",
		foreign: true, again: s.check.Deadline(s.state.Run).Add(reportGrace),
	})
	return true, nil
}

// adopt finds out, past the cache, whose pod it is that has the name of a run's.
func (e *Engine) adopt(ctx context.Context, s *subject, v view, name types.NamespacedName) error {
	var pod corev1.Pod
	if err := e.o.Client.Get(ctx, name, &pod); err != nil {
		return fmt.Errorf("reading the pod that is there already for %s: %w", s.key, err)
	}
	if pod.Labels[v1alpha1.LabelRunOf] == string(s.check.UID) && kuberhealthy.RunIDOf(&pod) == s.state.Run.ID {
		_, _ = trimPod(&pod)
		e.memory.made(&pod, v.now)
		return nil
	}
	// It may be about to go: that of a check of the same name that was deleted a moment ago.
	e.troubled(s, v, trouble{message: "there is a pod " + name.Name + " already, which is not of this run"})
	return nil
}

// remove deletes pods.
func (e *Engine) remove(ctx context.Context, pods []podView, now time.Time) error {
	for _, p := range pods {
		if err := client.IgnoreNotFound(e.delete(ctx, p.Pod)); err != nil {
			return err
		}
		grace := defaultGrace
		if own := p.Spec.TerminationGracePeriodSeconds; own != nil {
			grace = time.Duration(*own) * time.Second
		}
		e.memory.removed(p.Pod, now.Add(grace+vanishGrace))
		e.o.Metrics.Reaped(reaped(p.Pod))
	}
	return nil
}

// reaped says in Kuberhealthy's words why a pod is deleted: only of those that have ended are some kept.
func reaped(pod *corev1.Pod) kuberhealthy.Reaped {
	switch pod.Status.Phase {
	case corev1.PodSucceeded:
		return kuberhealthy.ReapedCompleted
	case corev1.PodFailed:
		return kuberhealthy.ReapedFailed
	default:
		return kuberhealthy.ReapedTimeout
	}
}

// delete deletes an object, and no other that was made in its place.
func (e *Engine) delete(ctx context.Context, object client.Object) error {
	err := e.o.Client.Delete(ctx, object, client.Preconditions{UID: new(object.GetUID())},
		client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err != nil {
		return fmt.Errorf("deleting %s %s: %w", kindOf(object).Kind, client.ObjectKeyFromObject(object), err)
	}
	return nil
}

// mark writes a job's phase. It touches nothing else of the object.
func (e *Engine) mark(ctx context.Context, s *subject, phase khv1.JobPhase) error {
	job, ok := s.object.DeepCopyObject().(*khv1.KuberhealthyJob)
	if !ok {
		return nil
	}
	before := job.DeepCopy()
	job.Spec.Phase = phase
	if err := e.o.Client.Patch(ctx, job, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing the phase of %s: %w", s.key, err)
	}
	e.memory.wrote(job, e.o.Clock.Now())
	return nil
}

// release lets an object go that Kuberhealthy 3 would keep.
func (e *Engine) release(ctx context.Context, s *subject) error {
	object, ok := s.object.DeepCopyObject().(client.Object)
	if !ok {
		return nil
	}
	before, _ := object.DeepCopyObject().(client.Object)
	controllerutil.RemoveFinalizer(object, finalizerV3)
	if err := e.o.Client.Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("taking Kuberhealthy's finalizer off %s: %w", s.key, err)
	}
	if len(object.GetFinalizers()) > 0 {
		e.memory.wrote(object, e.o.Clock.Now())
	}
	return nil
}

// absent clears up after a check that is gone: its KuberhealthyState tells of nothing any more.
func (e *Engine) absent(ctx context.Context, k key) error {
	sibling, shared := k.sibling()
	if !shared || !e.kinds.ready(checkKind) || !e.kinds.ready(jobKind) {
		return nil
	}
	other, err := e.get(ctx, sibling.gvk(), sibling.NamespacedName)
	if err != nil || other != nil {
		return err
	}
	found, err := e.get(ctx, stateKind, k.NamespacedName)
	if err != nil || found == nil {
		return err
	}
	state, _ := found.(*khv1.KuberhealthyState)
	of := types.UID(state.Annotations[v1alpha1.AnnotationRunOf])
	if of == "" {
		of = state.UID
	}
	if state.DeletionTimestamp != nil || !e.o.Owns(of) || !e.reach.admit(k, e.o.Clock.Now()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeWithin)
	defer cancel()
	// What is deleted is not read from a cache: the check may be so young that it has not arrived there.
	for _, who := range []key{k, sibling} {
		object := example(who.gvk())
		err := e.o.Client.Get(ctx, who.NamespacedName, object)
		if err == nil {
			return nil
		}
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("making sure that there is no %s: %w", who, err)
		}
	}
	if err := client.IgnoreNotFound(e.delete(ctx, state)); err != nil {
		return err
	}
	e.answered()
	return nil
}
