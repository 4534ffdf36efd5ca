package shard

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"
)

// TestWhatUnsettles disturbs a replica: whoever decides by what was seen without a gap must know of every time
// without the API server, however short, and of every replica that comes or goes.
func TestWhatUnsettles(t *testing.T) {
	tests := map[string]struct {
		disturb func(a *api)
		// wantMembers in the end.
		wantMembers []string
	}{
		"an API server that refuses one renewal": {
			disturb: func(a *api) {
				a.cut(true)
				for !a.refused() {
					a.clock.Sleep(10 * time.Millisecond)
				}
				a.cut(false)
			},
			wantMembers: []string{"a"},
		},
		"an API server that is away for longer than a Lease lasts": {
			disturb: func(a *api) {
				a.cut(true)
				a.clock.Sleep(30 * time.Second)
				a.cut(false)
			},
			wantMembers: []string{"a"},
		},
		"another replica that comes and dies": {
			disturb: func(a *api) {
				a.add(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "maek-system", Name: "b"}, Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: new(int32(10))}})
				a.clock.Sleep(10 * time.Second)
			},
			wantMembers: []string{"a"},
		},
		"another replica that comes": {
			disturb: func(a *api) {
				a.add(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "maek-system", Name: "b"}, Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: new(int32(1000))}})
			},
			wantMembers: []string{"a", "b"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI(t)
				r := New(Options{
					Leases: a.CoordinationV1(), Name: "a", Namespace: "maek-system", Duration: lasts, Clock: a.clock, Log: slog.New(slog.DiscardHandler),
				})
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- r.Run(ctx) }()
				a.clock.Sleep(time.Minute)
				synctest.Wait()
				if quiet := a.clock.Since(r.Settled()); quiet < 59*time.Second {
					t.Fatalf("after a quiet minute it is settled for %s", quiet)
				}
				tc.disturb(a)
				a.clock.Sleep(time.Minute)
				synctest.Wait()
				// It is over at once, or when the next renewal comes back.
				if quiet := a.clock.Since(r.Settled()); quiet < 50*time.Second || quiet > time.Minute+time.Second {
					t.Errorf("a minute after the disturbance it is settled for %s", quiet)
				}
				if diff := cmp.Diff(tc.wantMembers, r.Members()); diff != "" {
					t.Errorf("members (-want +got):\n%s", diff)
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// api is an API server of Leases alone, which can be away.
type api struct {
	*fake.Clientset
	t     *testing.T
	clock clock.RealClock

	mu   sync.Mutex
	away bool
	// refusals are renewals that failed while it was.
	refusals int
	version  int
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{Clientset: fake.NewClientset(), t: t}
	a.PrependReactor("patch", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch, ok := action.(clienttesting.PatchAction)
		if !ok {
			return false, nil, nil
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.away {
			a.refusals++
			return true, nil, errors.New("connection refused")
		}
		lease := &coordinationv1.Lease{}
		if err := json.Unmarshal(patch.GetPatch(), lease); err != nil {
			return true, nil, err
		}
		a.version++
		lease.ResourceVersion = strconv.Itoa(a.version)
		leases := coordinationv1.SchemeGroupVersion.WithResource("leases")
		if err := a.Tracker().Update(leases, lease, lease.Namespace); err != nil {
			return true, lease, a.Tracker().Create(leases, lease, lease.Namespace)
		}
		return true, lease, nil
	})
	// It has no watches that begin with a list; the reflector lists then.
	a.PrependWatchReactor("leases", func(action clienttesting.Action) (bool, watch.Interface, error) {
		if w, ok := action.(clienttesting.WatchActionImpl); ok && w.ListOptions.SendInitialEvents != nil {
			return true, nil, apierrors.NewInvalid(coordinationv1.SchemeGroupVersion.WithKind("Lease").GroupKind(), "", nil)
		}
		return false, nil, nil
	})
	return a
}

// add makes a Lease of another replica.
func (a *api) add(lease *coordinationv1.Lease) {
	a.mu.Lock()
	a.version++
	lease.ResourceVersion = strconv.Itoa(a.version)
	a.mu.Unlock()
	if err := a.Tracker().Add(lease); err != nil {
		a.t.Error(err)
	}
}

// cut takes the API server away, or gives it back.
func (a *api) cut(away bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away = away
}

// refused tells that a renewal failed.
func (a *api) refused() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refusals > 0
}
