package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/operator/check/target"
	"github.com/maek-dev/maek/internal/operator/served"
)

// targetsEvery is how often it is looked whether what Checks ask is to be watched, and whether it is known.
const targetsEvery = 200 * time.Millisecond

// targetObjects says what of each kind is kept: what questions are made of, and what tells agents.
func targetObjects() map[client.Object]cache.ByObject {
	all := target.ByObject()
	for object := range all {
		if _, ok := object.(*corev1.Node); ok {
			delete(all, object)
		}
	}
	all[&corev1.Node{}] = cache.ByObject{Transform: trimNode}
	return all
}

// trimNode keeps of a Node where it is, whether it is ready, and its agent's key.
func trimNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	kept := &corev1.Node{}
	kept.Name, kept.UID, kept.ResourceVersion, kept.Labels = node.Name, node.UID, node.ResourceVersion, node.Labels
	kept.DeletionTimestamp = node.DeletionTimestamp
	if key, ok := node.Annotations[monitor.KeyAnnotation]; ok {
		kept.Annotations = map[string]string{monitor.KeyAnnotation: key}
	}
	kept.Status.Addresses = node.Status.Addresses
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			kept.Status.Conditions = []corev1.NodeCondition{{Type: condition.Type, Status: condition.Status}}
		}
	}
	return kept, nil
}

// fillTargets follows the pods, and what else Checks ask as soon as those are served, until ctx ends. Pods that
// name the readiness gate are answered whether or not there are Checks.
func (o *Operator) fillTargets(ctx context.Context) error {
	if _, err := o.targets.GetInformer(ctx, &corev1.Pod{}, cache.BlockUntilSynced(false)); err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- o.targets.Start(ctx) }()
	if err := o.followTargets(ctx); err != nil {
		return err
	}
	return <-ended
}

// followTargets waits until Checks are served, and follows what they ask from then on until ctx ends.
func (o *Operator) followTargets(ctx context.Context) error {
	if !o.await(ctx, func() bool { return o.served.Served(served.Check.GroupVersionKind) }) {
		return nil
	}
	informers := make([]cache.Informer, 0, len(targetObjects()))
	for object := range targetObjects() {
		if _, policy := object.(*v1alpha1.CheckPolicy); policy && !o.served.Served(served.CheckPolicy.GroupVersionKind) {
			continue
		}
		informer, err := o.targets.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching what Checks ask: %w", err)
		}
		informers = append(informers, informer)
	}
	if o.await(ctx, func() bool {
		return !slices.ContainsFunc(informers, func(i cache.Informer) bool { return !i.HasSynced() })
	}) {
		o.targetsFilled.Store(true)
		o.followPolicies(ctx)
	}
	return nil
}

// filled reads a cache, and says so at once where it does not know everything yet: to wait for it would hold up
// what needs less, and to find nothing would be a lie.
type filled struct {
	client.Reader

	filled *atomic.Bool
}

// errUnfilled is that answer.
var errUnfilled = errors.New("not everything that Checks ask is known yet")

// Get implements client.Reader.
func (f filled) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if !f.filled.Load() {
		return errUnfilled
	}
	return f.Reader.Get(ctx, key, object, options...)
}

// List implements client.Reader.
func (f filled) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if !f.filled.Load() {
		return errUnfilled
	}
	return f.Reader.List(ctx, list, options...)
}

// followPolicies begins to watch CheckPolicies where they came to be served after all else, until ctx ends.
func (o *Operator) followPolicies(ctx context.Context) {
	for ctx.Err() == nil {
		if !o.await(ctx, func() bool { return o.served.Served(served.CheckPolicy.GroupVersionKind) }) {
			return
		}
		if _, err := o.targets.GetInformer(ctx, &v1alpha1.CheckPolicy{}, cache.BlockUntilSynced(false)); err != nil {
			o.o.Log.Warn("CheckPolicies cannot be watched", "error", err)
		}
		if !o.await(ctx, func() bool { return !o.served.Served(served.CheckPolicy.GroupVersionKind) }) {
			return
		}
		// A kind that is not served any more allows nothing.
		if err := o.targets.RemoveInformer(ctx, &v1alpha1.CheckPolicy{}); err != nil {
			o.o.Log.Warn("CheckPolicies are watched though they are not served", "error", err)
		}
	}
}

// await waits until something is so; false where ctx ended before.
func (o *Operator) await(ctx context.Context, so func() bool) bool {
	ticker := o.o.Clock.NewTicker(targetsEvery)
	defer ticker.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C():
		}
	}
	return true
}
