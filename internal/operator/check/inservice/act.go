package inservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// atOnce is how many pods are patched at a time: after a time without operators many wait to be opened.
const atOnce = 8

// care looks after the conditions of pods.
func (k *Keeper) care(ctx context.Context) {
	s, err := k.gather(ctx, false)
	k.complain(ctx, "looking after pods that are out of service with less than is needed", err)
	actions := care(s)
	k.prune(s, actions)
	var tasks sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, a := range actions {
		if !a.dry && !k.ready(s, a) {
			continue
		}
		slots <- struct{}{}
		tasks.Go(func() {
			defer func() { <-slots }()
			k.perform(ctx, s.now, a)
		})
	}
	tasks.Wait()
}

// ready tells whether this replica is to do an action now: its own at once, another's after a while, none
// again before the cache has heard of the last, and none where they were refused a short time ago.
func (k *Keeper) ready(s *state, a action) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.acted[a.pod.uid] == a.pod.version {
		return false
	}
	if _, refused := k.forbidden[a.pod.Namespace]; refused {
		return false
	}
	if a.mine {
		return true
	}
	seen := k.sightings[a.pod.uid]
	since := seen.absent
	if a.kind == giveBack {
		if seen.due == never {
			seen.due = s.age
			k.sightings[a.pod.uid] = seen
		}
		since = seen.due
	}
	return s.age-since >= othersWait
}

// prune forgets what is over: pods that are gone, and pods that were to be given back and are not any more.
func (k *Keeper) prune(s *state, actions []action) {
	due := map[types.UID]bool{}
	for _, a := range actions {
		if a.kind == giveBack {
			due[a.pod.uid] = true
		}
	}
	outs := 0
	for uid, w := range s.pods {
		if !due[uid] && w.seen.due != never {
			k.mu.Lock()
			seen := k.sightings[uid]
			seen.due = never
			k.sightings[uid] = seen
			k.mu.Unlock()
		}
		if w.out() {
			outs++
		}
	}
	k.metrics.out.Set(float64(outs))
	k.mu.Lock()
	defer k.mu.Unlock()
	for uid := range k.sightings {
		if _, there := s.pods[uid]; !there {
			delete(k.sightings, uid)
		}
	}
}

// perform does what care says.
func (k *Keeper) perform(ctx context.Context, now time.Time, a action) {
	if a.dry {
		k.endDry(a, now)
		k.tell(a, v1alpha1.ActionGivenBack, now)
		return
	}
	want := condition{UID: a.pod.uid, Status: corev1.ConditionTrue, Reason: a.reason, Message: a.message, Probe: now, Turn: now}
	switch {
	case a.kind == refresh:
		want.Status, want.Version, want.Turn = corev1.ConditionFalse, a.pod.version, time.Time{}
	case a.reason == reasonStale:
		// Somebody may confirm it at this moment.
		want.Version = a.pod.version
	}
	err := k.patch(ctx, a.pod.NamespacedName, want)
	switch {
	case err == nil:
		k.mu.Lock()
		k.acted[a.pod.uid] = a.pod.version
		k.mu.Unlock()
		switch a.kind {
		case giveBack:
			k.o.Log.Info("a pod is back in service", "pod", a.pod.NamespacedName, "reason", a.reason)
			k.tell(a, v1alpha1.ActionGivenBack, now)
		case open:
			k.metrics.count("Opened", a.reason, false)
		case refresh, take, withhold:
		}
	case apierrors.IsForbidden(err):
		k.refuse(a, err)
	case apierrors.IsNotFound(err), ctx.Err() != nil:
	case changed(err):
		k.o.Log.Debug("a pod has changed meanwhile; its condition is judged again", "pod", a.pod.NamespacedName)
	default:
		k.o.Log.Warn("the condition of a pod cannot be written", "pod", a.pod.NamespacedName, "condition", v1alpha1.ReadinessGateInService, "error", err)
	}
}

// refuse notes that a namespace lets nobody patch its pods, and tells those who wait for it.
func (k *Keeper) refuse(a action, err error) {
	k.mu.Lock()
	k.forbidden[a.pod.Namespace] = k.age
	t := telling{pod: a.pod.uid, reason: brakeForbidden}
	told := k.told[t]
	k.told[t] = true
	k.mu.Unlock()
	if !told {
		k.o.Log.Warn("the operator may not write the condition that a pod's readiness gate waits for", "pod", a.pod.NamespacedName, "error", err)
		k.o.Events.Eventf(object(a.pod), nil, corev1.EventTypeWarning, eventForbidden, "SetCondition", "%s", cut(fmt.Sprintf("readiness gate %s: %s",
			v1alpha1.ReadinessGateInService, k.command(a.pod.Namespace)), noteMost))
	}
}

// condition is what the pod's is to be.
type condition struct {
	UID types.UID
	// Version of the pod that may be patched; empty for any.
	Version         string
	Status          corev1.ConditionStatus
	Reason, Message string
	// Probe is lastProbeTime, and Turn lastTransitionTime; a zero one is left as it is.
	Probe, Turn time.Time
}

// patch writes the condition and nothing else: conditions are merged by their type
// (k8s.io/api/core/v1/types.go, PodStatus.Conditions). The UID, and the version where one is given, are
// preconditions: the API server answers Conflict where they do not hold.
func (k *Keeper) patch(ctx context.Context, name types.NamespacedName, c condition) error {
	meta := map[string]any{"uid": c.UID}
	if c.Version != "" {
		meta["resourceVersion"] = c.Version
	}
	value := map[string]any{
		"type": v1alpha1.ReadinessGateInService, "status": c.Status, "reason": c.Reason,
		"message": cut(c.Message, messageMost), "lastProbeTime": metav1.NewTime(c.Probe),
	}
	if !c.Turn.IsZero() {
		value["lastTransitionTime"] = metav1.NewTime(c.Turn)
	}
	data, err := json.Marshal(map[string]any{"metadata": meta, "status": map[string]any{"conditions": []any{value}}})
	if err != nil {
		return fmt.Errorf("writing the condition of pod %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	err = k.o.Client.Status().Patch(ctx, p, client.RawPatch(types.StrategicMergePatchType, data))
	if err != nil {
		return fmt.Errorf("patching the status of pod %s: %w", name, err)
	}
	return nil
}

// changed tells that a pod is not the one, or not the version, that was to be patched: a UID that is another
// is a field that cannot be changed (k8s.io/apimachinery/pkg/api/validation/objectmeta.go,
// ValidateObjectMetaAccessorUpdate).
func changed(err error) bool { return apierrors.IsConflict(err) || apierrors.IsInvalid(err) }

// endDry notes that a pod would be back in service.
func (k *Keeper) endDry(a action, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.dry.find(a.pod.uid)
	if !ok {
		return
	}
	e.Out, e.Back = false, now
	switch a.reason {
	case reasonRecovered:
		e.Unhelped = 0
	case reasonTooLong, reasonStale:
		e.Unhelped++
	}
	k.dry = k.dry.with(e)
}

// errLedger is why nobody can be taken out.
var errLedger = errors.New("the ledger of pods that are out of service is full")
