// Package shard says which of the operator's replicas owns a check, without anybody being in charge.
//
// Each replica keeps a Lease of its own alive and watches those of the others; the owner of a check is
// the live replica that scores highest for its UID (rendezvous hashing), so that a replica that comes
// or goes moves its own checks only, and all who see the same Leases agree.
//
// Clocks of machines are never compared: a replica is dead when this process, by its own monotonic
// clock, has not seen its Lease renewed for as long as the Lease lasts. That is only said while this
// process hears: its own renewals come back to it through the watch, and while they do not, silence
// may be its own. A replica that cannot renew its own Lease owns nothing, and stops before anybody
// else may take over.
//
// Views differ for moments. So two replicas may both think that they own a check; that no run is
// doubled then is due to the compare-and-swap by which runs are recorded.
package shard

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"
)

// DefaultDuration is how long a Lease lasts. A lost replica's checks are owned by others a little later.
const DefaultDuration = 10 * time.Second

// Of a Lease's duration: how often it is renewed, how long one attempt may take, when the next attempt
// comes after one that failed, and after how long without success the own replica owns nothing. The
// last leaves a third of the duration between this replica's end and the others' beginning.
const (
	renewEvery  = 0.3
	renewWithin = 0.25
	retryEvery  = 0.1
	fenceAfter  = 2.0 / 3
	lookEvery   = 0.05
)

// Options of a Ring.
type Options struct {
	// Leases of the API server.
	Leases coordinationv1client.LeasesGetter
	// Namespace that the operator's Leases are in.
	Namespace string
	// Name of this replica: its pod's. The Lease is called so too.
	Name string
	// Duration of a Lease, in whole seconds; zero stands for DefaultDuration.
	Duration time.Duration
	Clock    clock.WithTicker
	Log      *slog.Logger
}

// Ring is the set of live replicas, as this one sees it. It is safe for concurrent use.
type Ring struct {
	o       Options
	changed chan struct{}
	// renewNow asks for a renewal out of turn.
	renewNow chan struct{}

	mu      sync.RWMutex
	view    view
	current membership
	// told is the membership that Changed last told of.
	told []string
	// settled is since when nothing has disturbed the view.
	settled time.Time
}

// New returns a ring that owns nothing until it runs.
func New(o Options) *Ring {
	if o.Duration == 0 {
		o.Duration = DefaultDuration
	}
	return &Ring{
		o: o, changed: make(chan struct{}, 1), renewNow: make(chan struct{}, 1),
		view: newView(o.Name, o.Duration), settled: o.Clock.Now(),
	}
}

// Self is the name of this replica.
func (r *Ring) Self() string { return r.o.Name }

// Members are the live replicas by name, as this one sees them. It contains Self only while this replica
// may own checks.
func (r *Ring) Members() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.current.at(r.o.Clock.Now()))
}

// Owns tells whether this replica is the owner of what has the UID.
func (r *Ring) Owns(uid types.UID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	members := r.current.at(r.o.Clock.Now())
	return len(members) > 0 && owner(uid, members) == r.o.Name
}

// Held tells whether this replica owns what has the UID, or would if it could keep its own Lease alive as it
// did before. What harms nobody when it is done twice may go on by it through an outage of the API server;
// what is written must go by Owns.
func (r *Ring) Held(uid types.UID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	members := r.current.members
	return len(members) > 0 && owner(uid, members) == r.o.Name
}

// Settled is since when, by its own clock, this replica has looked on undisturbed: Members are those that they
// are, and the API server was not away. It is taken to be away while a renewal of the own Lease fails, or while
// renewals do not come back through the watch; an outage that falls between two renewals is not seen.
func (r *Ring) Settled() time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.settled
}

// unsettle notes that a renewal failed.
func (r *Ring) unsettle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled = r.o.Clock.Now()
}

// Changed gets a value after Members has changed; changes that nobody has taken notice of yet become
// one. It is one channel, for one reader.
func (r *Ring) Changed() <-chan struct{} { return r.changed }

// Run keeps this replica's Lease alive and follows the others' until ctx ends; then it gives the Lease
// back, so that the others need not wait. It returns nil then, and sooner only with an error of its
// options.
func (r *Ring) Run(ctx context.Context) error {
	if r.o.Name == "" || r.o.Namespace == "" {
		return fmt.Errorf("keeping a Lease: name %q and namespace %q must both be known", r.o.Name, r.o.Namespace)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() { r.watch(ctx) })
	tasks.Go(func() { r.renew(ctx) })
	tasks.Go(func() { r.look(ctx) })
	tasks.Go(func() { r.cleanUp(ctx) })
	tasks.Wait()
	r.release(ctx)
	return nil
}

// look lets silence have its consequences.
func (r *Ring) look(ctx context.Context) {
	ticker := r.o.Clock.NewTicker(part(r.o.Duration, lookEvery))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			r.update(func(v *view, now time.Time) { v.look(now) })
		}
	}
}

// update changes the view, and tells of it where the membership is another than was told last.
func (r *Ring) update(change func(v *view, now time.Time)) {
	r.mu.Lock()
	now := r.o.Clock.Now()
	change(&r.view, now)
	r.current = r.view.membership()
	members := r.current.at(now)
	same := slices.Equal(r.told, members)
	if !same || r.view.deaf(now) {
		r.settled = now
	}
	r.told = members
	r.mu.Unlock()
	if same {
		return
	}
	r.o.Log.Info("other replicas share the checks than before", "members", members, "self", r.o.Name)
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func part(d time.Duration, share float64) time.Duration { return time.Duration(float64(d) * share) }
