package podrun

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/check/podrun"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
	runengine "github.com/maek-dev/maek/internal/operator/run"
)

const soon = 30 * time.Second

// slot of the runs of most tests.
var slot = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)

var errKilled = errors.New("the replica was killed")

// wire counts the requests of a replica, and cuts it off at one of them.
type wire struct {
	next http.RoundTripper
	sent atomic.Int32
	// at is the request, counted from 1, that the replica dies at; before tells that it is not sent.
	at     int32
	before bool
	die    context.CancelFunc
	cut    atomic.Bool
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("watch") != "" || r.Method == http.MethodGet && r.URL.Query().Has("labelSelector") {
		if w.cut.Load() {
			return nil, errKilled
		}
		return w.next.RoundTrip(r)
	}
	n := w.sent.Add(1)
	if w.cut.Load() || n == w.at && w.before {
		w.kill()
		return nil, errKilled
	}
	response, err := w.next.RoundTrip(r)
	if n == w.at {
		w.kill()
		if err == nil {
			_ = response.Body.Close()
		}
		return nil, errKilled
	}
	return response, err
}

func (w *wire) kill() {
	w.cut.Store(true)
	if w.die != nil {
		w.die()
	}
}

// replica is a runner with its own connection to the API server.
type replica struct {
	*podrun.Runner

	wire *wire
	// caches that the runner reads, and client that it writes with.
	caches cache.Cache
	client client.Client
	life   context.Context //nolint:containedctx // it is the process's own
	stop   context.CancelFunc
}

// said is the log of every pod: there is no kubelet to ask for one.
type said string

func (s said) Tail(context.Context, types.NamespacedName, string, int) ([]byte, error) {
	return []byte(s), nil
}

// start starts a replica, which may die at a request.
func start(t *testing.T, namespace, image string, dieAt int32, before bool) *replica {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	self := &replica{wire: &wire{at: dieAt, before: before, die: cancel}, life: ctx, stop: cancel}
	config := rest.CopyConfig(admin)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		self.wire.next = next
		return self.wire
	})
	writer, err := client.New(config, client.Options{Scheme: cluster.Scheme(), Mapper: cluster.RESTMapper()})
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}
	caches, err := cache.New(config, cache.Options{
		Scheme: cluster.Scheme(), Mapper: cluster.RESTMapper(), ByObject: runengine.ByObject(), DefaultNamespaces: map[string]cache.Config{namespace: {}},
	})
	if err != nil {
		t.Fatalf("making a cache: %v", err)
	}
	self.client, self.caches = writer, caches
	clientset, err := kubernetes.NewForConfig(admin)
	if err != nil {
		t.Fatalf("making a client of nodes and Events: %v", err)
	}
	self.Runner, err = podrun.New(podrun.Options{
		Client: writer, Cache: caches, Image: image, Logs: said("line 1\npassword=hunter22secret\nthe end"),
		Witness: checkerpod.APIWitness{Core: clientset.CoreV1()},
		Clock:   clock.RealClock{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatalf("making a runner: %v", err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = caches.Start(ctx) })
	t.Cleanup(func() {
		cancel()
		tasks.Wait()
	})
	return self
}

// ran is what came of a run.
type ran struct {
	result plan.Result
	err    error
}

// begin runs a check in the background.
func (r *replica) begin(check *v1alpha1.Check, slot time.Time, timeout time.Duration) <-chan ran {
	done := make(chan ran, 1)
	go func() {
		result, err := r.Run(r.life, check, slot, timeout)
		done <- ran{result, err}
	}()
	return done
}

// ends waits for a run.
func ends(t *testing.T, done <-chan ran) ran {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(soon):
		t.Fatal("the run does not end")
		return ran{}
	}
}

// namespace makes one with its default ServiceAccount, as a cluster's controllers do, and a node.
func namespace(t *testing.T, labels map[string]string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "podrun-", Labels: labels}}
	create(t, ns)
	create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "default"}})
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: worker}}
	if err := cluster.Create(t.Context(), node); err == nil {
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		if err := cluster.Status().Update(t.Context(), node); err != nil {
			t.Fatalf("making a node ready: %v", err)
		}
	} else if !apierrors.IsAlreadyExists(err) {
		t.Fatalf("making a node: %v", err)
	}
	return ns.Name
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := cluster.Create(t.Context(), object); err != nil {
		t.Fatalf("making %T: %v", object, err)
	}
}

// podCheck makes a check with a pod of its own.
func podCheck(t *testing.T, namespace, image string, change func(*corev1.PodTemplateSpec)) *v1alpha1.Check {
	t.Helper()
	template := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}}}
	if change != nil {
		change(template)
	}
	check := &v1alpha1.Check{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "shop.open"},
		Spec:       v1alpha1.CheckSpec{PeriodSeconds: 600, CheckAction: v1alpha1.CheckAction{PodTemplate: template}},
	}
	create(t, check)
	return check
}

// scenario makes a check that plays one.
func scenario(t *testing.T, namespace string, action v1alpha1.SyntheticAction) *v1alpha1.Check {
	t.Helper()
	check := &v1alpha1.Check{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "names"},
		Spec:       v1alpha1.CheckSpec{PeriodSeconds: 600, CheckAction: v1alpha1.CheckAction{Synthetic: &action}},
	}
	create(t, check)
	return check
}

// left are the pods of a namespace.
func left(t *testing.T, namespace string) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := cluster.List(t.Context(), &pods, client.InNamespace(namespace)); err != nil {
		t.Fatalf("listing pods: %v", err)
	}
	return pods.Items
}

// eventually waits for something to come true.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
