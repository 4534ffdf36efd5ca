package check

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/check/podrun"
	"github.com/maek-dev/maek/internal/operator/record"
)

// wallClock is a clock whose wall time is put forward and back, in a bubble of synctest. Its steady time is the
// bubble's.
type wallClock struct {
	clock.RealClock

	mu    sync.Mutex
	began time.Time
	off   time.Duration
}

// Now implements [clock.PassiveClock].
func (w *wallClock) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.RealClock.Now().Round(0).Add(w.off)
}

// Since implements [clock.PassiveClock], for the time at which it began.
func (w *wallClock) Since(time.Time) time.Duration { return w.RealClock.Since(w.began) }

func (w *wallClock) put(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off += by
}

// bed is a Controller beside an API server that has Checks and a cluster that runs pods. It is the server and the
// cluster itself.
type bed struct {
	dynamic.NamespaceableResourceInterface
	*Controller

	clock *wallClock
	mu    sync.Mutex
	// checks by name, and their versions.
	checks  map[string]*v1alpha1.Check
	version int
	// busy has somebody else write each Check whenever its status is to be written.
	busy bool
	// updates and gets are requests, and ran when the pods of each Check began.
	updates, gets int
	ran           map[string][]time.Time
	// hangs is how long pods take, by namespace.
	hangs map[string]time.Duration
	// told are the verdicts that were written, in their order.
	told map[string][]string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{
		checks: map[string]*v1alpha1.Check{}, ran: map[string][]time.Time{}, told: map[string][]string{}, hangs: map[string]time.Duration{},
		clock: &wallClock{began: clock.RealClock{}.Now()},
	}
	yes := func(types.UID) bool { return true }
	nobody := func(context.Context, []plan.Question, time.Duration, func(plan.Answer)) {}
	c, err := New(Options{
		Checks: b, Served: func() bool { return true }, Owns: yes, Held: yes, Replicas: func() int { return 1 }, Prepare: func() bool { return true },
		Resolve: func(context.Context, *v1alpha1.Check, uint64) ([]plan.Question, error) { return nil, nil },
		Here:    nobody, Nodes: nobody, Judge: func(*v1alpha1.CheckSpec, plan.Answer) plan.Result { return plan.Result{} },
		Confirm: func(context.Context, []plan.Question, time.Duration, int) []plan.Answer { return nil },
		Pods:    b, Records: b, Self: "a", Clock: b.clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Controller = c
	return b
}

// operate runs all parts of the controller but the watch, which the bed is itself, until the test is over.
func (b *bed) operate(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := b.runScheduler(ctx); err != nil {
			t.Errorf("running Checks: %v", err)
		}
	})
	tasks.Go(func() { b.write(ctx) })
	tasks.Go(func() {
		ticker := b.clock.NewTicker(lookEvery)
		defer ticker.Stop()
		for {
			b.lookAtAll()
			select {
			case <-ctx.Done():
				return
			case <-ticker.C():
			}
		}
	})
	t.Cleanup(func() { cancel(); tasks.Wait() })
}

// pass lets time pass.
func pass(d time.Duration) {
	<-clock.RealClock{}.After(d)
	synctest.Wait()
}

// make makes a Check of a pod.
func (b *bed) make(namespace, name string, spec v1alpha1.CheckSpec) {
	spec.PodTemplate = &corev1.PodTemplateSpec{}
	b.change(name, func(c *v1alpha1.Check) {
		c.Namespace, c.Name, c.UID, c.Generation = namespace, name, types.UID("uid-"+name), 1
		c.Spec = spec
	})
}

// change changes a Check, and has the controller hear of it.
func (b *bed) change(name string, how func(*v1alpha1.Check)) {
	b.mu.Lock()
	check := &v1alpha1.Check{}
	if found := b.checks[name]; found != nil {
		check = found.DeepCopy()
	}
	how(check)
	b.version++
	check.ResourceVersion = strconv.Itoa(b.version)
	b.checks[name] = check
	seen := check.DeepCopy()
	b.mu.Unlock()
	b.take(decoded{Check: seen})
}

// runNow wishes for a run.
func (b *bed) runNow(name string, at time.Time) {
	b.change(name, func(c *v1alpha1.Check) {
		c.Annotations = map[string]string{v1alpha1.AnnotationRunNow: at.UTC().Format(time.RFC3339Nano)}
	})
}

// healthy is the verdict of a Check as it is written.
func (b *bed) healthy(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return says(&b.checks[name].Status)
}

func says(status *v1alpha1.CheckStatus) string {
	var text strings.Builder
	for _, c := range status.Conditions {
		if c.Type == v1alpha1.CheckHealthy || c.Type == v1alpha1.CheckReady {
			fmt.Fprintf(&text, "%s=%s/%s ", c.Type, c.Status, c.Reason)
		}
	}
	return text.String()
}

// statusWrites is how many statuses were written, or were to be.
func (b *bed) statusWrites() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.updates
}

// disturb has somebody else write all Checks, or leave them alone.
func (b *bed) disturb(busy bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = busy
}

// saidOf are the verdicts of a Check that were written, in their order.
func (b *bed) saidOf(name string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told[name]
}

// statusOf is the status of a Check as it is written.
func (b *bed) statusOf(name string) v1alpha1.CheckStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.checks[name].Status
}

func (b *bed) runsOf(name string) []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ran[name]
}

func (b *bed) runs() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, runs := range maps.All(b.ran) {
		n += len(runs)
	}
	return n
}

// Namespace implements [dynamic.NamespaceableResourceInterface].
func (b *bed) Namespace(string) dynamic.ResourceInterface { return b }

// UpdateStatus implements [dynamic.ResourceInterface].
func (b *bed) UpdateStatus(_ context.Context, object *unstructured.Unstructured, _ metav1.UpdateOptions) (*unstructured.Unstructured, error) {
	written, err := convert(object.Object)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.updates++
	check := b.checks[written.Name]
	b.version++
	if b.busy || check.ResourceVersion != written.ResourceVersion {
		check.ResourceVersion = strconv.Itoa(b.version)
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: "checks"}, written.Name, nil)
	}
	check.Status, check.ResourceVersion = written.Status, strconv.Itoa(b.version)
	b.told[check.Name] = append(b.told[check.Name], says(&check.Status))
	return objectOf(check)
}

// Get implements [dynamic.ResourceInterface].
func (b *bed) Get(_ context.Context, name string, _ metav1.GetOptions, _ ...string) (*unstructured.Unstructured, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gets++
	return objectOf(b.checks[name])
}

func objectOf(check *v1alpha1.Check) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(check)
	return &unstructured.Unstructured{Object: fields}, err
}

// Run implements [Pods].
func (b *bed) Run(ctx context.Context, check *v1alpha1.Check, _ time.Time, _ time.Duration) (plan.Result, error) {
	b.mu.Lock()
	b.ran[check.Name] = append(b.ran[check.Name], clock.RealClock{}.Now())
	hangs := b.hangs[check.Namespace]
	b.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-b.clock.After(hangs):
	}
	return plan.Result{Result: v1alpha1.ResultSuccess, At: b.clock.Now()}, nil
}

// Leftovers implements [Pods].
func (b *bed) Leftovers(context.Context, *v1alpha1.Check) ([]podrun.Leftover, error) { return nil, nil }

// Clear implements [Pods].
func (b *bed) Clear(context.Context, *v1alpha1.Check) error { return nil }

// Ended implements [Records].
func (b *bed) Ended(record.Run) {}

// Streak implements [Records].
func (b *bed) Streak(context.Context, record.Check) (int32, error) { return 0, nil }
