package run

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

const (
	// finalizerV3 is what Kuberhealthy 3 puts on every HealthCheck (main:
	// internal/kuberhealthy/finalizer.go). Without it an object would never be gone.
	finalizerV3 = "kuberhealthy.io/healthcheck"
)

// subject is a check with what is recorded of it.
type subject struct {
	key

	check  kuberhealthy.Check
	object client.Object
	// record is the KuberhealthyState of the name, whoever it is of; nil where there is none, and for
	// HealthChecks.
	record *khv1.KuberhealthyState
	state  kuberhealthy.State
}

// subject reads a check; it returns nil where there is none.
func (e *Engine) subject(ctx context.Context, k key) (*subject, error) {
	object, err := e.get(ctx, k.gvk(), k.NamespacedName)
	if err != nil || object == nil {
		return nil, err
	}
	var record *khv1.KuberhealthyState
	if k.kind != kuberhealthy.KindHealthCheck {
		found, err := e.get(ctx, stateKind, stateName(k.NamespacedName))
		if err != nil {
			return nil, err
		}
		record, _ = found.(*khv1.KuberhealthyState)
	}
	return assemble(k, object, record), nil
}

func stateName(check types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: check.Namespace, Name: kuberhealthy.StateName(check.Name)}
}

// assemble reads what objects say.
func assemble(k key, object client.Object, record *khv1.KuberhealthyState) *subject {
	s := &subject{key: k, object: object, record: record}
	switch object := object.(type) {
	case *khv1.KuberhealthyCheck:
		s.check = kuberhealthy.FromCheck(object)
		s.state = kuberhealthy.StateOfV2(record, object.UID)
	case *khv1.KuberhealthyJob:
		s.check = kuberhealthy.FromJob(object)
		// What Kuberhealthy wrote may be of an earlier job of the name, or of a check.
		if record != nil && record.Annotations[v1alpha1.AnnotationRunOf] != "" {
			s.state = kuberhealthy.StateOfV2(record, object.UID)
		}
	case *khv2.HealthCheck:
		s.check = kuberhealthy.FromHealthCheck(object)
		s.state = kuberhealthy.StateOfV3(object)
	}
	return s
}

// credible is a state as it can be believed. A run that goes on and has begun at no time that could be is
// given its whole time from when this replica came to look after it: it is another's clock that is wrong,
// or this one's.
func credible(state kuberhealthy.State, resumed, now time.Time) kuberhealthy.State {
	running := state.Running && !state.Run.Started.IsZero()
	state = state.Credible(now)
	if running && state.Run.Started.IsZero() {
		state.Run.Started = resumed
	}
	return state
}

// record writes the state of a check, on the condition that nobody has written it since it was read.
func (e *Engine) record(ctx context.Context, s *subject, state kuberhealthy.State) error {
	if healthCheck, ok := s.object.(*khv2.HealthCheck); ok {
		written := state.ToV3(healthCheck)
		if err := e.o.Client.Status().Update(ctx, written); err != nil {
			return fmt.Errorf("recording in the status of %s: %w", s.key, err)
		}
		e.memory.wrote(written, e.o.Clock.Now())
		*s = *assemble(s.key, written, nil)
		return nil
	}
	written := state.ToV2(s.check, s.record)
	var err error
	if s.record == nil {
		err = e.o.Client.Create(ctx, written)
	} else {
		err = e.o.Client.Update(ctx, written)
	}
	if err != nil {
		return fmt.Errorf("recording in the KuberhealthyState of %s: %w", s.key, err)
	}
	e.memory.wrote(written, e.o.Clock.Now())
	*s = *assemble(s.key, s.object, written)
	return nil
}

// view gathers what the next step of a check follows from.
func (e *Engine) view(ctx context.Context, s *subject, remembered note, now time.Time) (view, error) {
	v := view{
		now: now, check: s.check, state: s.state,
		finalizer: controllerutil.ContainsFinalizer(s.object, finalizerV3),
		requested: requested(s.object),
		resumed:   later(remembered.resumed, e.reach.since(now)),
		reporting: e.pending.has(s.key, s.state.Run.ID),
	}
	if job, ok := s.object.(*khv1.KuberhealthyJob); ok {
		v.phase = job.Spec.Phase
	}
	if err := e.viewSibling(ctx, s, &v); err != nil {
		return view{}, err
	}
	pods, err := e.podsOf(ctx, s.check.UID, s.Namespace)
	if err != nil {
		return view{}, err
	}
	for _, pod := range pods {
		v.pods = append(v.pods, podView{pod, kuberhealthy.RunIDOf(pod), e.memory.leavingUntil(pod)})
	}
	retention := e.o.Settings().Retention(s.check.API)
	expired, expiry := kuberhealthy.Expired(pods, retention, now)
	v.expiry = expiry
	for _, p := range v.pods {
		if p.leaving.IsZero() && slices.Contains(expired, p.Pod) {
			v.expired = append(v.expired, p)
		}
	}
	if at, ended := retention.JobExpiry(s.check, s.state); ended {
		v.reapAt = at
	}
	if lost, ok := e.memory.lost(s.check.UID, s.state.Run.ID); ok {
		v.gone, v.goneAt = lost.pod, lost.at
	}
	if remembered.run == s.state.Run.ID {
		v.trouble = remembered.trouble
	}
	v.sight, v.cause = remembered.sight, e.cause(s, v.recorded(), remembered, now)
	return v, nil
}

// cause remembers why the pod of a run does not start, until it does.
func (e *Engine) cause(s *subject, pod *corev1.Pod, remembered note, now time.Time) checkerpod.Failure {
	var last checkerpod.Failure
	if remembered.causeOf == s.state.Run.ID {
		last = remembered.cause
	}
	if !s.state.Running || pod == nil {
		return last
	}
	f := checkerpod.Diagnose(pod, now)
	switch {
	case pod.Status.Phase == corev1.PodRunning && last.Cause:
		last = checkerpod.Failure{}
	case f.Cause && f.Over.IsZero() && f != last:
		last = f
	default:
		return last
	}
	e.memory.note(s.check.UID, func(n *note) { n.cause, n.causeOf = last, s.state.Run.ID })
	return last
}

// viewSibling sees whether the object of the same name that shares the KuberhealthyState is in the way.
func (e *Engine) viewSibling(ctx context.Context, s *subject, v *view) error {
	k, ok := s.sibling()
	if !ok || !e.kinds.ready(k.gvk()) {
		return nil
	}
	sibling, err := e.get(ctx, k.gvk(), k.NamespacedName)
	if err != nil || sibling == nil {
		return err
	}
	owner, _, occupied := kuberhealthy.Occupied(s.record)
	v.taken = occupied && owner == sibling.GetUID()
	job, ok := sibling.(*khv1.KuberhealthyJob)
	v.yield = ok && job.DeletionTimestamp == nil && job.Spec.Phase != khv1.JobCompleted
	return nil
}

// requested is when somebody wished for a run; what cannot be read is no wish.
func requested(object client.Object) time.Time {
	at, err := time.Parse(time.RFC3339, object.GetAnnotations()[v1alpha1.AnnotationRunNow])
	if err != nil {
		return time.Time{}
	}
	return at
}

// podsOf returns the pods of a check, the oldest first. They are the cache's own.
func (e *Engine) podsOf(ctx context.Context, check types.UID, namespace string) ([]*corev1.Pod, error) {
	var list corev1.PodList
	err := e.o.Cache.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{indexRunOf: string(check)},
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing checker pods in the cache: %w", err)
	}
	seen := map[types.UID]bool{}
	pods := make([]*corev1.Pod, 0, len(list.Items))
	for i := range list.Items {
		seen[list.Items[i].UID] = true
		pods = append(pods, &list.Items[i])
	}
	pods = append(pods, e.memory.unseen(check, seen, e.o.Clock.Now())...)
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return pods, nil
}
