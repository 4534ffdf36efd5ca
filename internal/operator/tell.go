package operator

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// reportingController is who Events say that they are from.
const reportingController = "maek-operator"

// recordEvents writes Events until ctx ends.
func (o *Operator) recordEvents(ctx context.Context) error {
	if err := o.broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return fmt.Errorf("recording Events: %w", err)
	}
	<-ctx.Done()
	o.broadcaster.Shutdown()
	return nil
}

// tellTakeover makes an Event of the operator's own pod when checks begin or cease to be held back.
func (o *Operator) tellTakeover(held bool, why string) {
	// Without its UID an Event is not among those that kubectl describe finds.
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: o.o.Namespace, Name: o.o.Pod, UID: types.UID(o.o.Getenv("POD_UID"))}}
	pod.GetObjectKind().SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	if held {
		o.recorder.Eventf(pod, nil, corev1.EventTypeWarning, "ChecksHeldBack", "HoldBack", "%s", why)
		return
	}
	o.recorder.Eventf(pod, nil, corev1.EventTypeNormal, "ChecksAdopted", "Adopt", "%s", why)
}

// watchFailed says once of each kind that it may not be watched. Other failures of watches are the API
// server's being away, which is said once elsewhere, or pass within moments.
func (o *Operator) watchFailed() cache.WatchErrorHandlerWithContext {
	var told sync.Map
	return func(_ context.Context, r *cache.Reflector, err error) {
		if !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
			o.o.Log.Debug("a watch ended", "kind", r.TypeDescription(), "error", err)
			return
		}
		if _, again := told.LoadOrStore(r.TypeDescription(), true); !again {
			o.o.Log.Error("a kind may not be watched, so that nothing is known of it", "kind", r.TypeDescription(), "error", err)
		}
	}
}
