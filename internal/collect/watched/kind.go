package watched

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/maek-dev/maek/internal/collect/live"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// pageSize is the limit of a LIST, in objects, where the API server does not stream the first state.
	pageSize = live.DefaultPageSize
	// pageTimeout bounds a page: as long as the API server allows itself (--request-timeout).
	pageTimeout = time.Minute
	// grace is how long a kind counts as it was last seen after its stream broke: an API server that
	// restarts behind a load balancer is reached again well within that.
	grace = 20 * time.Second
	// busy is how long a kind that was never read is waited for while the API server says that it is to be asked later. It
	// does so where it is just making ready to serve a kind, as after a definition was made
	// (k8s.io/apiserver/pkg/storage/cacher, "storage is (re)initializing"), and where it has too much to do.
	busy = 15 * time.Second
	// unserved is how long a kind that is not served is left alone, unless a definition changes.
	unserved = 2 * time.Minute
)

// kind follows the objects of one kind.
type kind struct {
	snapshot.Kind

	watcher *Watcher
	store   *store
	list    func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error)
	watch   func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)

	mu sync.Mutex
	// synced tells that all objects were read once.
	synced bool
	// state and reason say what is wrong with the kind now; State "" means nothing.
	state  snapshot.State
	reason string
	// broken is when that began, by this machine's clock.
	broken time.Time
	// deferred is when the API server first said to ask later, where nothing was read yet.
	deferred time.Time
}

// run follows the kind until ctx ends.
func (k *kind) run(ctx context.Context) {
	ctx = klog.NewContext(ctx, logr.Discard())
	quiet := klog.FromContext(ctx)
	r := cache.NewReflectorWithOptions(&cache.ListWatch{
		ListWithContextFunc:  k.listing,
		WatchFuncWithContext: k.watching,
	}, nil, k.store, cache.ReflectorOptions{
		Logger: &quiet, Name: "maek", TypeDescription: k.GroupResource(),
		// After an outage every kind is there again within seconds; the jitter spreads them.
		Backoff: &wait.Backoff{Duration: 500 * time.Millisecond, Cap: 8 * time.Second, Steps: 16, Factor: 2, Jitter: 1},
	})
	r.WatchListPageSize = pageSize
	r.RunWithContext(ctx)
}

// listing reads one page, trimmed.
func (k *kind) listing(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	bounded, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	// A cache may answer for version 0, in one piece however large, and be old.
	if o.ResourceVersion == "0" {
		o.ResourceVersion, o.ResourceVersionMatch = "", ""
	}
	list, err := k.list(bounded, o)
	if err != nil {
		k.failed(ctx, err)
		return nil, err
	}
	if err := k.trim(list); err != nil {
		return nil, err
	}
	return list, nil
}

// watching opens a stream.
func (k *kind) watching(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if t := k.watcher.options.WatchTime; t > 0 {
		o.TimeoutSeconds = new(int64(t / time.Second))
	}
	w, err := k.watch(ctx, o)
	if err != nil {
		k.failed(ctx, err)
		return nil, err
	}
	if o.SendInitialEvents == nil {
		// It goes on where it was, or after a list.
		k.current()
	}
	return w, nil
}

// failed takes note of an error of reading the kind. A kind that is not served is left alone for a while.
func (k *kind) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if k.early(err) {
		return
	}
	state, reason := k.watcher.client.Outcome(ctx, k.Kind, err)
	k.mu.Lock()
	first := k.state != state
	if k.state == "" {
		k.broken = k.watcher.options.Now()
	}
	k.state, k.reason = state, reason
	k.mu.Unlock()
	if first {
		k.watcher.options.Log.LogAttrs(ctx, level(state), "kind not readable", slog.String("kind", k.GroupResource()), slog.String("state", string(state)), slog.String("reason", reason))
		k.watcher.tell()
		k.watcher.doubt()
	}
	if state == snapshot.NotServed {
		k.watcher.awaitDefinitions(ctx, unserved)
	}
}

// early tells whether an error only says that it is too early to read the kind. The reflector asks again by
// itself.
func (k *kind) early(err error) bool {
	if !apierrors.IsTooManyRequests(err) {
		return false
	}
	now := k.watcher.options.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.deferred.IsZero() {
		k.deferred = now
	}
	return !k.synced && k.state == "" && now.Sub(k.deferred) < busy
}

// level is how loudly it is told that a kind cannot be read. That it failed mostly means that the API server
// did, which is told once for all kinds.
func level(state snapshot.State) slog.Level {
	if state == snapshot.Forbidden {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// current takes note that the kind is followed.
func (k *kind) current() {
	k.mu.Lock()
	was := k.state
	k.state, k.reason, k.broken, k.deferred = "", "", time.Time{}, time.Time{}
	k.mu.Unlock()
	if was != "" {
		if was == snapshot.Forbidden {
			k.watcher.options.Log.Info("kind readable again", "kind", k.GroupResource())
		}
		k.watcher.tell()
	}
}

// replaced takes note that all objects were read.
func (k *kind) replaced() {
	k.mu.Lock()
	k.synced = true
	k.mu.Unlock()
	k.current()
	k.watcher.tell()
}

// settled tells whether there is an answer about the kind: its objects, or why there are none.
func (k *kind) settled() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.synced || k.state != ""
}

// read returns the objects and how far they can be believed.
func (k *kind) read(now time.Time) (snapshot.Table, snapshot.Coverage) {
	k.mu.Lock()
	synced, state, reason, broken := k.synced, k.state, k.reason, k.broken
	k.mu.Unlock()
	at := k.watcher.client.ServerTime
	switch {
	case state == snapshot.Failed && synced && now.Sub(broken) < grace:
		t, _ := k.store.read()
		return t, snapshot.Coverage{State: snapshot.Complete, ReadAt: at(broken)}
	case state == snapshot.Failed && synced:
		reason = fmt.Sprintf("not followed since %s: %s", at(broken).Format(time.RFC3339), reason)
		return snapshot.Table{}, snapshot.Coverage{State: state, Reason: reason, ReadAt: at(broken)}
	case state != "":
		return snapshot.Table{}, snapshot.Coverage{State: state, Reason: reason, ReadAt: at(now)}
	case !synced:
		return snapshot.Table{}, snapshot.Coverage{State: snapshot.Failed, Reason: "not read yet", ReadAt: at(now)}
	}
	t, cut := k.store.read()
	c := snapshot.Coverage{State: snapshot.Complete, ReadAt: at(now)}
	if cut {
		c.State, c.Reason = snapshot.Partial, fmt.Sprintf("only the newest %d objects are kept", t.Len())
	}
	return t, c
}
