package inservice

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// replica is one Keeper.
type replica struct {
	*Keeper
	clock *clocktesting.FakeClock
	// told by several at a time, which telling guards.
	told    []v1alpha1.Consequence
	telling sync.Mutex
	events  *events.FakeRecorder
	// owner owns everything; one of them does.
	owner bool
	// places from which it asks once more, and answers of those; nil asks the world.
	places  []string
	answers func(from string, p plan.Pod) v1alpha1.CheckResult
	// blind is why nothing but pods can be read; nil where all can.
	blind error
	// open are the windows that are, by their start; one that starts at no time cannot be read.
	open map[string]bool
	// since is when it began to look on.
	since time.Time
}

// account is no operator's by default.
var account = types.NamespacedName{Namespace: "maek-east", Name: "robot"}

// start begins a replica, which has looked on for long where settled says so.
func (w *world) start(owner, settled bool) *replica {
	w.t.Helper()
	r := &replica{clock: clocktesting.NewFakeClock(noon), events: events.NewFakeRecorder(100000), owner: owner, places: []string{"", "node-a", "node-b"}}
	if len(w.replicas) > 0 {
		r.clock.SetTime(w.replicas[0].clock.Now())
	}
	r.since = r.clock.Now()
	var err error
	r.Keeper, err = New(Options{
		Reader: reader{w.api, &r.blind}, Informers: &informertest.FakeInformers{}, Client: w.api, ServiceAccount: account, Self: "operator",
		Owns:    func(types.UID) bool { return r.owner },
		Settled: func() time.Time { return r.since },
		Within: func(windows []v1alpha1.MaintenanceWindow, _ time.Time) (bool, error) {
			for _, window := range windows {
				if window.Start == "" {
					return false, errors.New("windows[0] begins at no time")
				}
				if r.open[window.Start] {
					return true, nil
				}
			}
			return false, nil
		},
		Confirm: func(_ context.Context, check *v1alpha1.Check, pods []plan.Pod) ([]plan.Result, error) {
			return w.results(check, pods, r.places, r.answers), nil
		},
		Tell: func(_ types.UID, done []v1alpha1.Consequence) {
			r.telling.Lock()
			defer r.telling.Unlock()
			r.told = append(r.told, done...)
		},
		Events: r.events, Metrics: prometheus.NewRegistry(), Clock: r.clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if settled {
		r.since = noon.Add(-time.Hour)
		r.mu.Lock()
		r.gap = -time.Hour
		r.mu.Unlock()
	}
	w.replicas = append(w.replicas, r)
	w.watch()
	return r
}

// reader is a cache that may be unable to read.
type reader struct {
	client.Reader

	blind *error
}

func (r reader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if *r.blind != nil {
		return *r.blind
	}
	return r.Reader.Get(ctx, key, object, options...)
}

func (r reader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if *r.blind != nil {
		return *r.blind
	}
	return r.Reader.List(ctx, list, options...)
}

// reasons are those of the consequences of one kind that a replica told of.
func (r *replica) reasons(action v1alpha1.ConsequenceAction) []string {
	var out []string
	for _, c := range r.told {
		if c.Action == action {
			out = append(out, c.Reason)
		}
	}
	return out
}
