// Package checkobjects tests the controller of Checks against a real API server with a real etcd: what it
// writes into their status when, and what it leaves alone. What the Checks ask are real servers, on the
// loopback, which targets of Checks may not name: so questions are made here, and all else is the operator's
// own. The programs come from the lab's build cache: make test-controlplane builds what is missing and sets
// KUBEBUILDER_ASSETS to where they are.
package checkobjects

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	eventsv1client "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check"
	"github.com/maek-dev/maek/internal/operator/check/expect"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/check/podrun"
	"github.com/maek-dev/maek/internal/operator/check/vantage"
	"github.com/maek-dev/maek/internal/operator/record"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

var (
	// admin is allowed everything on the API server that all tests share but those that break theirs.
	admin *rest.Config
	// scheme has the kinds that tests read and write.
	scheme = runtime.NewScheme()
)

var definitions = filepath.Join("..", "..", "..", "config", "crd")

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	ctrllog.SetLogger(klog.Background())
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, eventsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // the types do not fit together
		}
	}
	if file := os.Getenv(envKubeconfig); file != "" {
		config, err := clientcmd.BuildConfigFromFlags("", file)
		if err != nil {
			panic(err) // TestKill wrote it
		}
		admin = config
		return m.Run()
	}
	env := &envtest.Environment{CRDDirectoryPaths: []string{definitions}, ErrorIfCRDPathMissing: true}
	return apiserver.Run(m, "test/controlplane/checkobjects", env, func(cfg *rest.Config) error {
		admin = cfg
		admin.QPS = -1
		return nil
	})
}

func newClient(t *testing.T, config *rest.Config) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newNamespace(t *testing.T, c client.Client) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "checks-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// requests counts what one replica asks of the API server.
type requests struct {
	http.RoundTripper
	mu     sync.Mutex
	counts map[string]int
	// cut makes every request fail.
	cut *atomic.Bool
}

func (r *requests) RoundTrip(request *http.Request) (*http.Response, error) {
	if r.cut.Load() {
		return nil, fmt.Errorf("%s %s: the wire is cut", request.Method, request.URL.Path)
	}
	kind := request.Method
	switch {
	case strings.Contains(request.URL.Path, "/checkrecords"):
		kind += " record"
	case strings.HasSuffix(request.URL.Path, "/status"):
		kind += " status"
	case strings.Contains(request.URL.Path, "/events"):
		kind += " event"
	}
	r.mu.Lock()
	r.counts[kind]++
	r.mu.Unlock()
	return r.RoundTripper.RoundTrip(request)
}

// writes is how many requests changed something.
func (r *requests) writes() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for kind, count := range r.counts {
		if !strings.HasPrefix(kind, http.MethodGet) {
			n += count
		}
	}
	return n
}

func (r *requests) count(kind string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[kind]
}

// replica is a controller with what it stands on.
type replica struct {
	controller *check.Controller
	requests   *requests
	registry   *prometheus.Registry
	// owned and held tell whether it owns, and holds, everything or nothing.
	owned, held atomic.Bool
	// others is how many more replicas there are.
	others atomic.Int64
	// refusal is what Resolve answers; nil lets it ask.
	refusal atomic.Pointer[error]
	// pods counts runs of pods.
	pods atomic.Int64
	stop context.CancelFunc
	// ended is closed when it has stopped.
	ended chan struct{}
}

// start runs a replica for the Checks of a namespace. owns says which it owns while owned is set; nil is all.
func start(t *testing.T, config *rest.Config, namespace, name string, owns func(types.UID) bool) *replica {
	t.Helper()
	r := &replica{registry: prometheus.NewRegistry(), ended: make(chan struct{})}
	r.owned.Store(true)
	r.held.Store(true)
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		r.requests = &requests{RoundTripper: next, counts: map[string]int{}, cut: &atomic.Bool{}}
		return r.requests
	})
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := dynamic.NewForConfigAndClient(config, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	typed, err := client.New(config, client.Options{Scheme: scheme, HTTPClient: httpClient})
	if err != nil {
		t.Fatal(err)
	}
	told, err := eventsv1client.NewForConfigAndClient(config, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: told})
	log := slog.New(slog.NewTextHandler(t.Output(), nil)).With("replica", name)
	mine := func(uid types.UID) bool { return owns == nil || owns(uid) }
	records := record.New(record.Options{
		Client: typed, Self: name, Clock: clock.RealClock{}, Log: log, Served: func() bool { return true },
		Owns:     func(uid types.UID) bool { return r.owned.Load() && mine(uid) },
		Exists:   func(_ context.Context, c record.Check) bool { return r.controller.Exists(c) },
		Replicas: r.replicas,
	})
	here := vantage.NewHere(vantage.HereOptions{Now: clock.RealClock{}.Now, Stalled: func() time.Duration { return r.controller.Stalled() }})
	r.controller, err = check.New(check.Options{
		Checks: objects.Resource(v1alpha1.GroupVersion.WithResource("checks")), Namespace: namespace,
		Served: func() bool { return true }, Prepare: func() bool { return true },
		Owns:     func(uid types.UID) bool { return r.owned.Load() && mine(uid) },
		Held:     func(uid types.UID) bool { return r.held.Load() && mine(uid) },
		Replicas: r.replicas,
		Resolve:  r.resolve, Here: here.Each, Nodes: here.Each, Judge: expect.Judge, Pods: r,
		Confirm: func(ctx context.Context, questions []plan.Question, timeout time.Duration, _ int) []plan.Answer {
			var answers []plan.Answer
			here.Each(ctx, questions, timeout, func(a plan.Answer) { answers = append(answers, a) })
			return answers
		},
		Records: records, Events: broadcaster.NewRecorder(scheme, "maek-operator"),
		Self: name, Clock: clock.RealClock{}, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.registry.MustRegister(r.controller.Collector())
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	if err := broadcaster.StartRecordingToSinkWithContext(context.WithoutCancel(ctx)); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.ended)
		if err := r.controller.Run(ctx); err != nil {
			t.Errorf("the controller ended: %v", err)
		}
		// Histories are written after that, as in the operator.
		if err := records.Run(ctx); err != nil {
			t.Errorf("the histories ended: %v", err)
		}
		broadcaster.Shutdown()
	}()
	t.Cleanup(func() { cancel(); <-r.ended })
	return r
}

func (r *replica) replicas() int { return 1 + int(r.others.Load()) }

// resolve asks the hosts that a check names, each at its port. A host of the form HOST,HOST is several targets.
func (r *replica) resolve(_ context.Context, c *v1alpha1.Check, _ uint64) ([]plan.Question, error) {
	if refusal := r.refusal.Load(); refusal != nil {
		return nil, *refusal
	}
	get := c.Spec.HTTPGet
	if get == nil {
		return nil, plan.Refuse("NoQuestion", "only httpGet is asked here")
	}
	hosts := []string{get.Host}
	if get.Host == "" {
		hosts = strings.Split(c.Annotations["hosts"], ",")
	}
	var questions []plan.Question
	for _, host := range hosts {
		action := get.DeepCopy()
		if _, _, named := strings.Cut(host, ":"); !named {
			host = fmt.Sprintf("%s:%s", host, get.Port.String())
		}
		request, err := http.NewRequest(http.MethodGet, "http://"+host+action.Path, http.NoBody)
		if err != nil {
			return nil, err
		}
		questions = append(questions, plan.Question{Name: host, Probe: probe.HTTP{URL: request.URL, Header: request.Header}, Addresses: []string{host}})
	}
	return questions, nil
}

// Run implements check.Pods: it counts the runs that are to be pods; each succeeds.
func (r *replica) Run(_ context.Context, _ *v1alpha1.Check, _ time.Time, _ time.Duration) (plan.Result, error) {
	r.pods.Add(1)
	return plan.Result{Result: v1alpha1.ResultSuccess, At: time.Now()}, nil
}

// Leftovers implements check.Pods.
func (r *replica) Leftovers(context.Context, *v1alpha1.Check) ([]podrun.Leftover, error) {
	return nil, nil
}

// Clear implements check.Pods.
func (r *replica) Clear(context.Context, *v1alpha1.Check) error { return nil }

// statusOf reads the status of a check.
func statusOf(t *testing.T, c client.Client, name types.NamespacedName) v1alpha1.CheckStatus {
	t.Helper()
	var found v1alpha1.Check
	if err := c.Get(t.Context(), name, &found); err != nil {
		t.Fatal(err)
	}
	return found.Status
}

// conditions are those of a status as Type=Status/Reason, in the order in which they are printed.
func conditions(status v1alpha1.CheckStatus) string {
	var all []string
	for _, kind := range []string{v1alpha1.CheckReady, v1alpha1.CheckHealthy, v1alpha1.CheckStalled} {
		if c := meta.FindStatusCondition(status.Conditions, kind); c != nil {
			all = append(all, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
		}
	}
	return strings.Join(all, " ")
}

// soon bounds what the operator does within seconds: only one that hangs takes so long, however busy the machine is.
const soon = 2 * time.Minute

// waitFor waits until something is so.
func waitFor(t *testing.T, what string, within time.Duration, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v not yet: %s", within, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// waitForConditions waits until the conditions of a check are these.
func waitForConditions(t *testing.T, c client.Client, name types.NamespacedName, want string, within time.Duration) v1alpha1.CheckStatus {
	t.Helper()
	var status v1alpha1.CheckStatus
	deadline := time.Now().Add(within)
	for {
		status = statusOf(t, c, name)
		if conditions(status) == want {
			return status
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v the conditions of %s are\n%s, want\n%s", within, name.Name, conditions(status), want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
