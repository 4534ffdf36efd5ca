package operator

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/operator/served"
)

const (
	// beatEvery is how often the operator shows to itself that it moves, and stuckAfter is after how long
	// without it does not. Neither asks the API server anything: a restart mends no outage.
	beatEvery  = time.Second
	stuckAfter = 30 * time.Second
	// lookEvery is how often it is looked whether the caches are filled.
	lookEvery = 200 * time.Millisecond
)

// health is what probes are answered by.
type health struct {
	// ready tells that the caches were filled once.
	ready atomic.Bool
	// beatAt is when the operator last moved, in nanoseconds since started.
	beatAt  atomic.Int64
	started time.Time
}

// beat takes the locks that everything else takes, again and again: where one is never given back, this
// stands still too.
func (o *Operator) beat(ctx context.Context) error {
	ticker := o.o.Clock.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		o.ring.Members()
		o.takeover.Adopted()
		o.served.Served(checkKinds[0].kind)
		o.records.Len()
		o.health.beatAt.Store(int64(o.o.Clock.Since(o.health.started)))
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// becomeReady notes when all that is served was read for the first time.
func (o *Operator) becomeReady(ctx context.Context) error {
	defer func() { <-ctx.Done() }()
	select {
	case <-ctx.Done():
		return nil
	case <-o.served.Known():
	}
	ticker := o.o.Clock.NewTicker(lookEvery)
	defer ticker.Stop()
	for !o.filled(ctx) {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
	o.health.ready.Store(true)
	o.o.Log.Info("ready: all checks are known", "checks", len(o.engine.Entries()))
	return nil
}

// filled tells that every kind that is served is in the cache. It waits for informers that are there,
// and a kind without one is not in it.
func (o *Operator) filled(ctx context.Context) bool {
	some := false
	for _, k := range checkKinds {
		if !o.served.Served(k.kind) {
			continue
		}
		some = true
		if err := o.cache.List(ctx, k.list(), client.Limit(1)); err != nil {
			return false
		}
	}
	if o.served.Served(served.Check.GroupVersionKind) && !o.checks.Synced() {
		return false
	}
	return !some || o.cache.List(ctx, &corev1.PodList{}, client.Limit(1)) == nil
}

// withHealth answers probes before a page answers the rest.
func (o *Operator) withHealth(page http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", page)
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		still := o.o.Clock.Since(o.health.started) - time.Duration(o.health.beatAt.Load())
		answer(w, still < stuckAfter, "the operator stands still")
	})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, o.health.ready.Load(), "the API server has not given all checks yet")
	})
	return mux
}

func answer(w http.ResponseWriter, good bool, otherwise string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	text := "ok\n"
	if !good {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = otherwise + "\n"
	}
	_, _ = io.WriteString(w, text) // whoever asked is gone
}
