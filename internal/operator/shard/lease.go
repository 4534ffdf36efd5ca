package shard

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	coordinationv1apply "k8s.io/client-go/applyconfigurations/coordination/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// fieldManager owns the fields of the Leases.
const fieldManager = "maek-operator"

const (
	// cleanUpAfter is for how long a replica is dead before its Lease is removed: whoever looks why one
	// died finds when it was last alive.
	cleanUpAfter = 10 * time.Minute
	cleanUpEvery = time.Minute
	// releaseWithin bounds giving the Lease back; whoever cannot leaves it to lapse.
	releaseWithin = 2 * time.Second
)

// renew keeps the own Lease alive.
func (r *Ring) renew(ctx context.Context) {
	acquired := metav1.NewMicroTime(r.o.Clock.Now())
	failing := false
	for ctx.Err() == nil {
		sent := r.o.Clock.Now()
		err := r.apply(ctx, acquired, sent)
		pause := part(r.o.Duration, renewEvery)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause = part(r.o.Duration, retryEvery)
			r.unsettle()
			if !failing {
				r.o.Log.Warn("the own Lease cannot be renewed; without it this replica owns no checks", "error", err)
			}
		default:
			r.update(func(v *view, _ time.Time) { v.renewed(sent) })
			if failing {
				r.o.Log.Info("the own Lease is renewed again")
			}
		}
		failing = err != nil
		// A tenth each way, so that replicas that began together do not write together for ever.
		pause = time.Duration(float64(pause) * (0.9 + 0.2*rand.Float64())) //nolint:gosec // it spreads load; nobody gains by guessing it
		timer := r.o.Clock.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C():
		case <-r.renewNow:
		}
		timer.Stop()
	}
}

// apply writes the own Lease, and makes it where it is not there.
func (r *Ring) apply(ctx context.Context, acquired metav1.MicroTime, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, part(r.o.Duration, renewWithin))
	defer cancel()
	seconds := int32(max(r.o.Duration/time.Second, 1)) //nolint:gosec // a Lease lasts seconds, not lifetimes
	lease := coordinationv1apply.Lease(r.o.Name, r.o.Namespace).
		WithLabels(map[string]string{v1alpha1.LabelRing: v1alpha1.RingOperator}).
		WithSpec(coordinationv1apply.LeaseSpec().
			WithHolderIdentity(r.o.Name).
			WithLeaseDurationSeconds(seconds).
			WithAcquireTime(acquired).
			WithRenewTime(metav1.NewMicroTime(now)))
	_, err := r.o.Leases.Leases(r.o.Namespace).Apply(ctx, lease, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("renewing Lease %s/%s: %w", r.o.Namespace, r.o.Name, err)
	}
	return nil
}

// release gives the own Lease back when ctx has ended.
func (r *Ring) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
	defer cancel()
	r.update(func(v *view, _ time.Time) { v.gone(r.o.Name) })
	err := r.o.Leases.Leases(r.o.Namespace).Delete(ctx, r.o.Name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		r.o.Log.Warn("the own Lease is left to lapse", "error", err)
	}
}

// cleanUp removes the Leases of replicas that are long dead, until ctx ends.
func (r *Ring) cleanUp(ctx context.Context) {
	ticker := r.o.Clock.NewTicker(cleanUpEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			for _, s := range r.buried() {
				r.remove(ctx, s)
			}
		}
	}
}

// buried are the Leases that this replica has to remove: the first of the live ones does it.
func (r *Ring) buried() []sighting {
	r.mu.RLock()
	defer r.mu.RUnlock()
	now := r.o.Clock.Now()
	members := r.current.at(now)
	if len(members) == 0 || members[0] != r.o.Name {
		return nil
	}
	return r.view.buried(now, cleanUpAfter)
}

// remove removes a Lease, unless its replica came back to life.
func (r *Ring) remove(ctx context.Context, s sighting) {
	ctx, cancel := context.WithTimeout(ctx, part(r.o.Duration, renewWithin))
	defer cancel()
	err := r.o.Leases.Leases(r.o.Namespace).Delete(ctx, s.name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{ResourceVersion: &s.version},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		r.o.Log.Debug("the Lease of a replica that is long dead stays for now", "lease", s.name, "error", err)
	}
}

// watch follows all Leases of the ring.
func (r *Ring) watch(ctx context.Context) {
	selector := v1alpha1.LabelRing + "=" + v1alpha1.RingOperator
	leases := r.o.Leases.Leases(r.o.Namespace)
	reflector := cache.NewReflectorWithOptions(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return leases.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return leases.Watch(ctx, o)
		},
	}, &coordinationv1.Lease{}, (*sightings)(r), cache.ReflectorOptions{
		Name: "replicas", Clock: r.o.Clock,
		// The usual pauses grow to a minute, for which nobody would notice a replica's end.
		Backoff: &wait.Backoff{Duration: part(r.o.Duration, lookEvery), Factor: 2, Steps: 3, Jitter: 1},
	})
	reflector.RunWithContext(ctx)
}

// sightings is the ring as the store that its watch fills.
type sightings Ring

var _ cache.ReflectorStore = (*sightings)(nil)

// Add takes in a Lease.
func (s *sightings) Add(obj any) error {
	seen, err := sight(obj)
	if err != nil {
		return err
	}
	(*Ring)(s).update(func(v *view, now time.Time) { v.see(seen, now) })
	return nil
}

// Update takes in a Lease.
func (s *sightings) Update(obj any) error { return s.Add(obj) }

// Delete takes a Lease out.
func (s *sightings) Delete(obj any) error {
	seen, err := sight(obj)
	if err != nil {
		return err
	}
	r := (*Ring)(s)
	r.update(func(v *view, _ time.Time) { v.gone(seen.name) })
	if seen.name == r.o.Name {
		select {
		case r.renewNow <- struct{}{}:
		default:
		}
	}
	return nil
}

// Replace takes in all Leases there are.
func (s *sightings) Replace(objects []any, _ string) error {
	all := make([]sighting, 0, len(objects))
	for _, obj := range objects {
		seen, err := sight(obj)
		if err != nil {
			return err
		}
		all = append(all, seen)
	}
	(*Ring)(s).update(func(v *view, now time.Time) { v.replace(all, now) })
	return nil
}

// Resync has nothing to do.
func (s *sightings) Resync() error { return nil }

func sight(obj any) (sighting, error) {
	lease, ok := obj.(*coordinationv1.Lease)
	if !ok {
		return sighting{}, fmt.Errorf("a watch of Leases gave a %T", obj)
	}
	lasts := DefaultDuration
	if s := lease.Spec.LeaseDurationSeconds; s != nil && *s > 0 {
		lasts = time.Duration(*s) * time.Second
	}
	return sighting{name: lease.Name, version: lease.ResourceVersion, lasts: lasts}, nil
}
