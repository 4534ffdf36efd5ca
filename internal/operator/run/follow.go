package run

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/kuberhealthy"
)

const (
	// syncWithin is for how long a kind may take to be listed before it is left for later: one that is
	// just being taken away never is.
	syncWithin = 30 * time.Second
	// syncAgain is when that is tried again.
	syncAgain = 10 * time.Second
)

// followed are the kinds that are read, in the order in which they must be there: what is recorded comes
// before what it is recorded of.
func followed() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{podKind, stateKind, checkKind, jobKind, healthCheckKind}
}

// kinds are those whose caches can be read.
type kinds struct {
	mu sync.RWMutex
	on map[schema.GroupVersionKind]bool
}

func (k *kinds) ready(kind schema.GroupVersionKind) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.on[kind] && (k.on[stateKind] || kind != checkKind && kind != jobKind)
}

func (k *kinds) set(kind schema.GroupVersionKind, on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.on[kind] = on
}

// follow reads the kinds that are served and stops reading those that are not any more. It returns
// whether one of them could not be read.
func (e *Engine) follow(ctx context.Context) (missing bool) {
	for _, kind := range followed() {
		e.kinds.mu.RLock()
		on := e.kinds.on[kind]
		e.kinds.mu.RUnlock()
		served := kind == podKind || e.o.Served(kind)
		switch {
		case served && !on:
			if err := e.followKind(ctx, kind); err != nil {
				if ctx.Err() != nil {
					return false
				}
				e.o.Log.Warn("a kind is not read yet", "kind", kind.Kind, "error", err)
				missing = true
				continue
			}
			e.kinds.set(kind, true)
		case !served && on:
			e.kinds.set(kind, false)
			if err := e.o.Cache.RemoveInformer(ctx, example(kind)); err != nil {
				e.o.Log.Warn("a kind that is not served any more is still read", "kind", kind.Kind, "error", err)
			}
			e.o.Log.Info("a kind is not served any more: its checks are not run", "kind", kind.Kind)
		}
	}
	return missing
}

func (e *Engine) followKind(ctx context.Context, kind schema.GroupVersionKind) (err error) {
	object := example(kind)
	defer func() {
		if err != nil {
			// Half of an informer would refuse its indexes the next time.
			_ = e.o.Cache.RemoveInformer(ctx, object)
		}
	}()
	for name, index := range indexes(kind) {
		if err := e.o.Cache.IndexField(ctx, object, name, index); err != nil {
			return fmt.Errorf("indexing %s by %s: %w", kind.Kind, name, err)
		}
	}
	informer, err := e.o.Cache.GetInformer(ctx, object, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("reading %s: %w", kind.Kind, err)
	}
	registration, err := informer.AddEventHandler(listener{e})
	if err != nil {
		return fmt.Errorf("following %s: %w", kind.Kind, err)
	}
	ctx, cancel := context.WithTimeout(ctx, syncWithin)
	defer cancel()
	if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return fmt.Errorf("listing %s: not done within %s", kind.Kind, syncWithin)
	}
	return nil
}

// listener is what informers tell.
type listener struct{ e *Engine }

func (l listener) OnAdd(object any, _ bool) { l.e.heard(object, false) }

func (l listener) OnUpdate(before, after any) {
	if o, ok := before.(client.Object); ok {
		if n, ok := after.(client.Object); ok && o.GetResourceVersion() == n.GetResourceVersion() {
			return
		}
	}
	l.e.heard(after, false)
}

func (l listener) OnDelete(object any) {
	if unseen, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = unseen.Obj
	}
	l.e.heard(object, true)
}

// heard takes notice of what the caches hear.
func (e *Engine) heard(object any, deleted bool) {
	switch o := object.(type) {
	case *corev1.Pod:
		if deleted {
			e.memory.departed(o, e.o.Clock.Now())
		}
		for _, ip := range o.Status.PodIPs {
			e.arrivals.tell(canonical(ip.IP))
		}
		if k, ok := ownerKey(o); ok {
			e.queue.Add(k)
		}
		return
	case *khv1.KuberhealthyState:
		e.arrivals.tell(recordedRun(o))
		name := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
		e.queue.Add(key{kuberhealthy.KindCheck, name})
		e.queue.Add(key{kuberhealthy.KindJob, name})
	case *khv1.KuberhealthyCheck, *khv1.KuberhealthyJob, *khv2.HealthCheck:
		k := key{kindOf(o.(client.Object)).Kind, client.ObjectKeyFromObject(o.(client.Object))}
		e.arrivals.tell(recordedRun(o.(client.Object)))
		e.queue.Add(k)
		if sibling, ok := k.sibling(); ok {
			e.queue.Add(sibling)
		}
	}
	if o, ok := object.(client.Object); ok && deleted {
		e.memory.vanished(o)
	}
}

// arrivals lets those wait who look for what a cache has not heard of yet.
type arrivals struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]struct{}
}

// tell wakes who waits for a name.
func (a *arrivals) tell(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.waiting[name] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// wait returns a channel that gets a value when the name arrives, and what ends that.
func (a *arrivals) wait(name string) (arrived <-chan struct{}, done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := make(chan struct{}, 1)
	if a.waiting[name] == nil {
		a.waiting[name] = map[chan struct{}]struct{}{}
	}
	a.waiting[name][c] = struct{}{}
	return c, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.waiting[name], c)
		if len(a.waiting[name]) == 0 {
			delete(a.waiting, name)
		}
	}
}
