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

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"
)

// TestEveryOutageIsNoted takes the API server away from a replica, for less time than makes others of its
// Lease and for more: whoever decides by what was seen without a gap must know of both.
func TestEveryOutageIsNoted(t *testing.T) {
	tests := map[string]struct {
		// outage lasts so long, or until one renewal was refused.
		outage time.Duration
		// wantChanged tells that the replicas are others meanwhile.
		wantChanged bool
	}{
		"one renewal long": {},
		"longer":           {outage: 30 * time.Second, wantChanged: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newAPI(t)
				r := New(Options{
					Leases: api.CoordinationV1(), Name: "a", Namespace: "maek-system", Duration: lasts, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler),
				})
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- r.Run(ctx) }()
				time.Sleep(time.Minute)
				synctest.Wait()
				quiet := r.Apart()
				if since := time.Since(quiet); since < 50*time.Second || len(r.Members()) != 1 {
					t.Fatalf("after a quiet minute the API server was away %s ago, for members %v", since, r.Members())
				}
				<-r.Changed()
				api.cut(true)
				time.Sleep(tc.outage)
				for !api.refused() {
					time.Sleep(10 * time.Millisecond)
				}
				api.cut(false)
				time.Sleep(time.Minute)
				synctest.Wait()
				noted := time.Since(r.Apart()) - time.Minute
				if noted > 2*time.Second || noted < -15*time.Second {
					t.Errorf("the end of the outage was noted %s before it was over", noted)
				}
				select {
				case <-r.Changed():
					if !tc.wantChanged {
						t.Error("the replicas are others")
					}
				default:
					if tc.wantChanged {
						t.Error("nobody was told that the replicas were others")
					}
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

	mu   sync.Mutex
	away bool
	// refusals are renewals that failed while it was.
	refusals int
	version  int
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{Clientset: fake.NewClientset()}
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
