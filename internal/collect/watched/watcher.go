package watched

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/collect/live"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Options say how to watch a cluster.
type Options struct {
	// Name under which people know the cluster.
	Name string
	// CustomResources reads, beside the given kinds, the objects of all kinds that the
	// CustomResourceDefinitions among them define.
	CustomResources bool
	// Program and Version of this program, for the User-Agent.
	Program, Version string
	// WatchTime is how long one stream lasts before it is opened anew, in whole seconds; 0 leaves it to
	// client-go, which takes five to ten minutes. That long it takes to see that a right was withdrawn.
	WatchTime time.Duration
	// Log of kinds that become readable or unreadable. It is needed.
	Log *slog.Logger
	// Now is this machine's clock. It is needed.
	Now func() time.Time
}

// requestTimeout bounds one request that is no watch. The API server is asked again soon, so that less
// patience is needed than where somebody asks once.
const requestTimeout = 10 * time.Second

// Watcher follows a cluster.
type Watcher struct {
	options Options
	client  *live.Client
	kinds   []*kind
	// changed, doubted and defined are signals; each holds one.
	changed, doubted, defined chan struct{}

	mu sync.Mutex
	// met tells that the API server was looked at.
	met bool
	api snapshot.API
	// custom and coverage are what was last read of custom resources; nil coverage means nothing yet.
	custom   []*snapshot.CustomResource
	coverage map[snapshot.Kind]snapshot.Coverage
	// definitions is closed and made anew when definitions change.
	definitions chan struct{}
}

// New makes a watcher of the given kinds. The error tells of a configuration that cannot be used.
func New(cfg *rest.Config, kinds []snapshot.Kind, o Options) (*Watcher, error) {
	if o.Log == nil {
		return nil, errors.New("watching: no log was given")
	}
	client, err := live.New(cfg, live.Options{Name: o.Name, Program: o.Program, Version: o.Version, RequestTimeout: requestTimeout, Now: o.Now})
	if err != nil {
		return nil, err
	}
	w := &Watcher{
		options: o, client: client, definitions: make(chan struct{}),
		changed: make(chan struct{}, 1), doubted: make(chan struct{}, 1), defined: make(chan struct{}, 1),
	}
	for _, one := range kinds {
		k := &kind{Kind: one, watcher: w}
		changed := w.tell
		if one == definitionKind() {
			changed = func() { w.redefined(); w.tell() }
		}
		k.store = newStore(one, changed, func() {
			if one == definitionKind() {
				w.redefined()
			}
			k.replaced()
		})
		w.kinds = append(w.kinds, k)
	}
	if err := w.connect(); err != nil {
		return nil, err
	}
	return w, nil
}

func definitionKind() snapshot.Kind {
	return snapshot.KindOf[*apiextensionsv1.CustomResourceDefinition]()
}

// Run follows the cluster until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { w.meetAgain(ctx) })
	for _, k := range w.kinds {
		wg.Go(func() { k.run(ctx) })
	}
	if w.options.CustomResources {
		wg.Go(func() { w.readCustomAgain(ctx) })
	}
	wg.Wait()
}

// Changed gives a signal after something changed that can alter what rules say. Signals are not counted:
// several changes may give one.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Client that answers questions about the cluster. It must be told which snapshot they are about.
func (w *Watcher) Client() *live.Client { return w.client }

// Unread are the kinds about which nothing is known yet. Once there are none a snapshot says as much as
// one that live.Collect made.
func (w *Watcher) Unread() []snapshot.Kind {
	var out []snapshot.Kind
	for _, k := range w.kinds {
		if !k.settled() {
			out = append(out, k.Kind)
		}
	}
	return out
}

// Ready tells whether the API server was looked at, and all kinds are read or there is a reason why not.
func (w *Watcher) Ready() bool {
	w.mu.Lock()
	met, down := w.met, !followed(w.api)
	known := !w.options.CustomResources || w.coverage != nil
	w.mu.Unlock()
	return down || met && known && len(w.Unread()) == 0
}

// Snapshot is the cluster as it is known now. It costs what changed since the last.
func (w *Watcher) Snapshot() *snapshot.Snapshot {
	now := w.options.Now()
	w.mu.Lock()
	api, custom, coverage := w.api, w.custom, w.coverage
	w.mu.Unlock()
	b := snapshot.NewBuilder(w.client.ServerTime(now), snapshot.Source{Name: w.options.Name, Live: true})
	b.SetAPI(api)
	believable := followed(api)
	for _, k := range w.kinds {
		if !believable {
			b.SetCoverage(k.Kind, snapshot.Coverage{State: snapshot.Failed, Reason: api.Failure.Message, ReadAt: w.client.ServerTime(now)})
			continue
		}
		t, c := k.read(now)
		c.FromCache = c.State == snapshot.Complete && live.FromCache(api)
		b.SetTable(k.Kind, t, c)
	}
	if believable {
		for k, c := range coverage {
			b.SetCustomCoverage(k, c)
		}
		for _, r := range custom {
			b.AddCustom(r)
		}
	}
	return b.Build()
}

// followed tells whether open streams can be believed: nothing comes over them either from an API server
// that does not answer.
func followed(api snapshot.API) bool {
	return live.Listable(api) && (api.Failure == nil || api.Failure.Reason != snapshot.NoAnswer)
}

// tell gives the signal of Changed.
func (w *Watcher) tell() { signal(w.changed) }

// doubt has the API server looked at soon.
func (w *Watcher) doubt() { signal(w.doubted) }

// redefined takes note that definitions of custom resources changed.
func (w *Watcher) redefined() {
	w.mu.Lock()
	close(w.definitions)
	w.definitions = make(chan struct{})
	w.mu.Unlock()
	signal(w.defined)
}

// awaitDefinitions waits until definitions change, or for some time.
func (w *Watcher) awaitDefinitions(ctx context.Context, most time.Duration) {
	w.mu.Lock()
	changed := w.definitions
	w.mu.Unlock()
	pause(ctx, most, changed)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause waits for some time, or until a channel gives something; false where ctx ended.
func pause(ctx context.Context, most time.Duration, until <-chan struct{}) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-until:
	}
	return ctx.Err() == nil
}

// slices are the EndpointSlices that are known.
func (w *Watcher) slices() []*discoveryv1.EndpointSlice {
	return objectsOf[*discoveryv1.EndpointSlice](w)
}

func objectsOf[T snapshot.Object](w *Watcher) []T {
	i := slices.IndexFunc(w.kinds, func(k *kind) bool { return k.Kind == snapshot.KindOf[T]() })
	if i < 0 {
		return nil
	}
	t, _ := w.kinds[i].store.read()
	var out []T
	for _, o := range t.All() {
		if v, ok := o.(T); ok {
			out = append(out, v)
		}
	}
	return out
}
