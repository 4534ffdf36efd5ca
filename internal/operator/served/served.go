// Package served knows which kinds of checks the API server serves now. Definitions of either version
// of Kuberhealthy, and Maek's own, may be absent, come later, and go: nothing is restarted for that.
//
// CustomResourceDefinitions are watched, their metadata alone; each change, and every few minutes where
// nothing changes, discovery is asked what it comes to, for a definition that exists is not always
// served, and what is served was not always defined here. What was served stays so while nobody answers.
package served

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Kind is one that checks need, and its resource.
type Kind struct {
	schema.GroupVersionKind
	// Resource is the plural that paths have.
	Resource string
}

// The kinds.
var (
	KuberhealthyCheck = Kind{khv1.GroupVersion.WithKind("KuberhealthyCheck"), "khchecks"}
	KuberhealthyJob   = Kind{khv1.GroupVersion.WithKind("KuberhealthyJob"), "khjobs"}
	KuberhealthyState = Kind{khv1.GroupVersion.WithKind("KuberhealthyState"), "khstates"}
	HealthCheck       = Kind{khv2.GroupVersion.WithKind("HealthCheck"), "healthchecks"}
	Check             = Kind{v1alpha1.GroupVersion.WithKind("Check"), "checks"}
	CheckPolicy       = Kind{v1alpha1.GroupVersion.WithKind("CheckPolicy"), "checkpolicies"}
	CheckRecord       = Kind{v1alpha1.GroupVersion.WithKind("CheckRecord"), "checkrecords"}
	Incident          = Kind{v1alpha1.GroupVersion.WithKind("Incident"), "incidents"}
)

// Kinds are all of them.
var Kinds = []Kind{KuberhealthyCheck, KuberhealthyJob, KuberhealthyState, HealthCheck, Check, CheckPolicy, CheckRecord, Incident}

const (
	// refreshEvery is how often discovery is asked where no definition changes: some clusters do not let
	// the operator read definitions.
	refreshEvery = 5 * time.Minute
	// settleEvery is how often it is asked after a change until its answer fits the definitions, and
	// settleFor for how long: a definition is served some moments after it was made.
	settleEvery = time.Second
	settleFor   = 30 * time.Second
)

// Options of a Watcher. All are needed.
type Options struct {
	// Definitions reads the metadata of CustomResourceDefinitions.
	Definitions metadata.Interface
	// Discovery tells what a group and version has.
	Discovery discovery.ServerResourcesInterface
	Clock     clock.WithTicker
	Log       *slog.Logger
}

// Watcher follows what is served. It is safe for concurrent use.
type Watcher struct {
	o       Options
	changed chan struct{}
	// look asks for discovery to be asked.
	look chan struct{}
	// known is closed when discovery answered for the first time.
	known     chan struct{}
	knownOnce sync.Once

	mu      sync.RWMutex
	served  map[schema.GroupVersionKind]bool
	defined map[string]bool
}

// New returns a Watcher to which nothing is served until it runs.
func New(o Options) *Watcher {
	return &Watcher{
		o: o, changed: make(chan struct{}, 1), look: make(chan struct{}, 1), known: make(chan struct{}),
		served: map[schema.GroupVersionKind]bool{}, defined: map[string]bool{},
	}
}

// Served tells whether the API server has a kind now, or had when it last answered.
func (w *Watcher) Served(kind schema.GroupVersionKind) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.served[kind]
}

// Changed gets a value after the answer of Served has changed for some kind. It is for one reader.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Known is closed when the API server has first said what it serves.
func (w *Watcher) Known() <-chan struct{} { return w.known }

// Run follows definitions until ctx ends, and returns nil then.
func (w *Watcher) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { w.watch(ctx) })
	tasks.Go(func() { w.follow(ctx) })
	tasks.Wait()
	return nil
}

// follow asks discovery whenever there is a reason to.
func (w *Watcher) follow(ctx context.Context) {
	failing := false
	settled := w.o.Clock.Now()
	for ctx.Err() == nil {
		err := w.ask()
		if err != nil && !failing && ctx.Err() == nil {
			w.o.Log.Warn("what the API server serves cannot be told; what was known holds", "error", err)
		}
		failing = err != nil
		pause := refreshEvery
		if now := w.o.Clock.Now(); err != nil || !w.fits() && now.Sub(settled) < settleFor {
			pause = settleEvery
			if err != nil {
				pause = 5 * settleEvery
			}
		}
		timer := w.o.Clock.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C():
		case <-w.look:
			settled = w.o.Clock.Now()
		}
		timer.Stop()
	}
}

// ask learns what is served.
func (w *Watcher) ask() error {
	now := map[schema.GroupVersionKind]bool{}
	versions := map[schema.GroupVersion]bool{}
	for _, kind := range Kinds {
		versions[kind.GroupVersion()] = true
	}
	for version := range versions {
		resources, err := w.o.Discovery.ServerResourcesForGroupVersion(version.String())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("asking for the resources of %s: %w", version, err)
		}
		for _, r := range resources.APIResources {
			now[version.WithKind(r.Kind)] = true
		}
	}
	w.take(now)
	return nil
}

func (w *Watcher) take(now map[schema.GroupVersionKind]bool) {
	var come, gone []string
	w.mu.Lock()
	for _, kind := range Kinds {
		was, is := w.served[kind.GroupVersionKind], now[kind.GroupVersionKind]
		w.served[kind.GroupVersionKind] = is
		switch {
		case is && !was:
			come = append(come, kind.Resource+"."+kind.Group)
		case was && !is:
			gone = append(gone, kind.Resource+"."+kind.Group)
		}
	}
	w.mu.Unlock()
	w.knownOnce.Do(func() { close(w.known) })
	if len(come)+len(gone) == 0 {
		return
	}
	w.o.Log.Info("the API server serves other kinds than before", "come", come, "gone", gone)
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// fits tells that what is served is what is defined.
func (w *Watcher) fits() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, kind := range Kinds {
		if w.served[kind.GroupVersionKind] != w.defined[kind.Resource+"."+kind.Group] {
			return false
		}
	}
	return true
}

// definitions is the resource of CustomResourceDefinitions.
var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// watch keeps which definitions there are.
func (w *Watcher) watch(ctx context.Context) {
	all := w.o.Definitions.Resource(definitions)
	reflector := cache.NewReflectorWithOptions(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return all.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return all.Watch(ctx, o)
		},
	}, &metav1.PartialObjectMetadata{}, (*names)(w), cache.ReflectorOptions{Name: "definitions", Clock: w.o.Clock})
	reflector.RunWithContext(ctx)
}

// names is the watcher as the store that the watch fills: of objects, their names are kept.
type names Watcher

var _ cache.ReflectorStore = (*names)(nil)

// wanted are the names of the kinds' definitions.
var wanted = func() map[string]bool {
	all := map[string]bool{}
	for _, kind := range Kinds {
		all[kind.Resource+"."+kind.Group] = true
	}
	return all
}()

// Add takes in a definition. Any change of it may change what is served.
func (n *names) Add(obj any) error {
	return n.one(obj, func(name string) { n.defined[name] = true })
}

// Update takes in a definition.
func (n *names) Update(obj any) error { return n.Add(obj) }

// Delete takes one out.
func (n *names) Delete(obj any) error {
	return n.one(obj, func(name string) { delete(n.defined, name) })
}

// Replace takes in all there are.
func (n *names) Replace(objects []any, _ string) error {
	now := map[string]bool{}
	for _, obj := range objects {
		name, err := nameOf(obj)
		if err != nil {
			return err
		}
		if wanted[name] {
			now[name] = true
		}
	}
	n.mu.Lock()
	same := slices.Equal(slices.Sorted(maps.Keys(n.defined)), slices.Sorted(maps.Keys(now)))
	n.defined = now
	n.mu.Unlock()
	if !same {
		n.ask()
	}
	return nil
}

// Resync has nothing to do.
func (n *names) Resync() error { return nil }

func (n *names) one(obj any, change func(name string)) error {
	name, err := nameOf(obj)
	if err != nil || !wanted[name] {
		return err
	}
	n.mu.Lock()
	change(name)
	n.mu.Unlock()
	n.ask()
	return nil
}

func (n *names) ask() {
	select {
	case n.look <- struct{}{}:
	default:
	}
}

func nameOf(obj any) (string, error) {
	o, ok := obj.(metav1.Object)
	if !ok {
		return "", fmt.Errorf("a watch of CustomResourceDefinitions gave a %T", obj)
	}
	return o.GetName(), nil
}
