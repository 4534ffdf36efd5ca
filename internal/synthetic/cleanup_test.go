package synthetic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// acting are the scenarios that make objects, with options that have them make all that they can.
var acting = map[string]struct {
	run     func(context.Context, Environment) (Result, error)
	options map[string]string
}{
	daemonSetScenario: {run: runDaemonSet},
	deploymentScenario: {
		run:     func(ctx context.Context, env Environment) (Result, error) { return runDeployment(ctx, env, noDial) },
		options: map[string]string{"CHECK_DEPLOYMENT_ROLLING_UPDATE": "true"},
	},
	namespacePodScenario: {run: runNamespacePod},
	imageDownloadScenario: {
		run:     runImageDownload,
		options: map[string]string{"FULL_IMAGE_URL": "example.com/a:1", "TIMEOUT_LIMIT": "1m", "EVERY_NODE": "true"},
	},
	storageScenario: {run: runStorage},
}

// fault is what happens to a request.
type fault struct {
	// after tells that the request is served, and its answer lost.
	after bool
	// dies tells that no later request is sent: the process is gone.
	dies bool
}

// failing gives a client that meets with a fault at one of its requests, by number.
func failing(c client.WithWatch, at int, f fault, happens func()) (failing client.WithWatch, requests func() int) {
	var mu sync.Mutex
	n := 0
	call := func(do func() error) error {
		mu.Lock()
		n++
		now := n
		mu.Unlock()
		if now < at || now > at && !f.dies {
			return do()
		}
		if now > at {
			return errors.New("this process is gone")
		}
		happens()
		if f.after {
			if err := do(); err != nil {
				return err
			}
		}
		return context.Canceled
	}
	funcs := interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return call(func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return call(func() error { return c.List(ctx, list, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return call(func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return call(func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return call(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) (w watch.Interface, err error) {
			err = call(func() (err error) { w, err = c.Watch(ctx, list, opts...); return err })
			if err != nil && w != nil {
				w.Stop()
				return nil, err
			}
			return w, err
		},
	}
	return interceptor.NewClient(c, funcs), func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func actingCluster(t *testing.T) *simulated {
	t.Helper()
	active := corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
	return newSimulated(t, node("n1"), node("n2"),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: checks}, Status: active},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Status: active})
}

// TestNothingIsLeft stops and kills runs at each of their requests, whatever it is.
func TestNothingIsLeft(t *testing.T) {
	faults := map[string]fault{
		"stopped before a request":            {},
		"stopped while a request is answered": {after: true},
		"killed before a request":             {dies: true},
		"killed while a request is answered":  {after: true, dies: true},
	}
	for name, scenario := range acting {
		for how, f := range faults {
			t.Run(name+" "+how, func(t *testing.T) {
				tried := 0
				for at := 1; ; at++ {
					met := false
					synctest.Test(t, func(t *testing.T) { met = stopAt(t, scenario.run, scenario.options, at, f) })
					if !met {
						break
					}
					tried++
				}
				// Fewer would mean that the scenario ended before it made anything.
				if tried < 6 {
					t.Errorf("stopped at %d requests only", tried)
				}
			})
		}
	}
}

// stopAt plays a scenario that meets with a fault at a request, and tells whether it came so far.
func stopAt(t *testing.T, run func(context.Context, Environment) (Result, error), options map[string]string, at int, f fault) bool {
	t.Helper()
	cluster := actingCluster(t)
	env := cluster.environment(options)
	env.Pod = "" // No requests through Services, which nobody would answer.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	met := false
	var requests func() int
	env.Client, requests = failing(cluster, at, f, func() { met = true; cancel() })
	if _, err := run(ctx, env); err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("request %d of %d", at, requests())
	if !f.dies {
		if left := cluster.left(t); len(left) > 0 {
			t.Errorf("%s: left %v", where, left)
		}
		return met
	}
	<-time.After(time.Hour)
	next := cluster.environment(options)
	next.Pod, next.RunID = "", "next"
	result := playFor(t, 10*time.Minute, next, run)
	if !result.OK() {
		t.Errorf("%s: the next run failed: %v", where, result.Errors)
	}
	if left := cluster.left(t); len(left) > 0 {
		t.Errorf("%s: the next run left %v", where, left)
	}
	return met
}

// TestRunsDoNotTouchEachOther has a run find the objects of another that is still going on.
func TestRunsDoNotTouchEachOther(t *testing.T) {
	for name, scenario := range acting {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := actingCluster(t)
				other := cluster.environment(scenario.options)
				other.RunID, other.Pod = "other", ""
				other.Client, _ = failing(cluster, 9, fault{dies: true}, func() {})
				playFor(t, 10*time.Minute, other, scenario.run)
				before := cluster.left(t)
				env := cluster.environment(scenario.options)
				env.Pod = ""
				if result := playFor(t, time.Minute, env, scenario.run); !result.OK() {
					t.Errorf("errors: %v", result.Errors)
				}
				if after := cluster.left(t); len(after) != len(before) {
					t.Errorf("before %v, after %v", before, after)
				}
			})
		})
	}
}
