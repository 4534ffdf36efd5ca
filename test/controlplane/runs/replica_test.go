package runs

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
	runengine "github.com/maek-dev/maek/internal/operator/run"
)

// ring shares checks among replicas by name, as their Leases would.
type ring struct {
	mu      sync.Mutex
	members []*replica
}

func (r *ring) owns(self *replica, uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.members) == 0 {
		return false
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid))
	return r.members[int(h.Sum32()%uint32(len(r.members)))] == self
}

func (r *ring) change(change func([]*replica) []*replica) {
	r.mu.Lock()
	r.members = change(r.members)
	members := slices.Clone(r.members)
	r.mu.Unlock()
	for _, m := range members {
		m.engine.Wake()
	}
}

// live are the replicas that take in reports.
func (r *ring) live() []*replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.members)
}

// replica is one operator's engine with its own connection to the API server.
type replica struct {
	engine   *runengine.Engine
	wire     *wire
	outcomes *outcomes
	// life ends with the replica.
	life    context.Context //nolint:containedctx // it is the process's own
	stop    context.CancelFunc
	stopped chan struct{}
}

// start starts a replica that joins a ring, and stops it with the test.
func start(t *testing.T, namespace string, r *ring) *replica {
	t.Helper()
	self := &replica{wire: &wire{}, outcomes: &outcomes{}, stopped: make(chan struct{})}
	config := rest.CopyConfig(admin)
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		self.wire.next = next
		return self.wire
	})
	writer, err := client.New(config, client.Options{Scheme: cluster.Scheme()})
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}
	caches, err := cache.New(config, cache.Options{
		Scheme: cluster.Scheme(), ByObject: runengine.ByObject(),
		DefaultNamespaces: map[string]cache.Config{namespace: {}},
	})
	if err != nil {
		t.Fatalf("making the caches: %v", err)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatalf("making a client of pods: %v", err)
	}
	settings := kuberhealthy.Settings{
		Pods:        kuberhealthy.PodSettings{ReportingURLV2: "http://kuberhealthy.maek-system/externalCheckStatus", ReportingURLV3: "http://kuberhealthy.maek-system/check"},
		RetentionV2: kuberhealthy.DefaultRetentionV2(), RetentionV3: kuberhealthy.DefaultRetentionV3(),
	}
	settings.RetentionV2.MinAge = 0
	settings.RetentionV2.MaxCompleted = 1
	self.engine, err = runengine.New(runengine.Options{
		Client: writer, Cache: caches,
		Owns:    func(uid types.UID) bool { return r.owns(self, uid) },
		Served:  func(schema.GroupVersionKind) bool { return true },
		Adopted: func() bool { return true },
		Self:    "operator", Settings: func() kuberhealthy.Settings { return settings },
		Logs: checkerpod.PodLogs{Pods: clientset.CoreV1()}, Witness: checkerpod.APIWitness{Core: clientset.CoreV1()}, Outcomes: self.outcomes,
		Clock: clock.RealClock{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatalf("making an engine: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	self.life, self.stop = ctx, cancel
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = caches.Start(ctx) })
	tasks.Go(func() { _ = self.engine.Run(ctx) })
	go func() {
		tasks.Wait()
		close(self.stopped)
	}()
	t.Cleanup(func() {
		cancel()
		<-self.stopped
	})
	r.change(func(all []*replica) []*replica { return append(all, self) })
	return self
}

// die ends a replica as SIGKILL does: nothing that it sends arrives any more.
func (one *replica) die(r *ring) {
	one.wire.cut()
	one.stop()
	<-one.stopped
	r.change(func(all []*replica) []*replica {
		return slices.DeleteFunc(all, func(m *replica) bool { return m == one })
	})
}

// outcomes remembers how runs ended.
type outcomes struct {
	mu  sync.Mutex
	all []runengine.Outcome
}

func (o *outcomes) Ended(outcome runengine.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, outcome)
}

func (o *outcomes) of(check string) []runengine.Outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(o.all), func(one runengine.Outcome) bool { return one.Check.Name != check })
}

// wire is a replica's connection to the API server: it counts, and it breaks.
type wire struct {
	next http.RoundTripper

	mu       sync.Mutex
	requests []string
	down     bool
	// fault decides about each request; nil lets all pass.
	fault func(request string) verdict
}

// verdict is what becomes of a request.
type verdict int

const (
	pass verdict = iota
	// lose sends nothing, and breaks the wire for good.
	lose
	// deafen sends the request, loses the answer and breaks the wire for good.
	deafen
)

var errCut = errors.New("the wire is cut")

// RoundTrip sends a request, unless the wire is broken.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	name := request(r)
	w.mu.Lock()
	if w.down {
		w.mu.Unlock()
		return nil, errCut
	}
	w.requests = append(w.requests, name)
	verdict := pass
	if w.fault != nil {
		verdict = w.fault(name)
	}
	w.down = verdict != pass
	w.mu.Unlock()
	if verdict == lose {
		return nil, errCut
	}
	response, err := w.next.RoundTrip(r)
	if verdict == deafen && err == nil {
		_ = response.Body.Close()
		return nil, errCut
	}
	return response, err
}

// judge has each request that is sent from now on decided about.
func (w *wire) judge(fault func(request string) verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}

func (w *wire) cut() { w.set(true) }

func (w *wire) mend() { w.set(false) }

func (w *wire) set(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

func (w *wire) broken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down
}

// sent are the requests so far, but for those by which caches are filled.
func (w *wire) sent() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.requests), func(name string) bool {
		return strings.HasPrefix(name, "WATCH") || strings.HasPrefix(name, "LIST") || strings.HasPrefix(name, "DISCOVER")
	})
}

// request names a request: CREATE pods, UPDATE healthchecks/status.
func request(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	at := slices.Index(parts, "namespaces")
	if at < 0 || len(parts) < at+3 {
		return "DISCOVER " + r.URL.Path
	}
	rest := parts[at+2:]
	resource := rest[0]
	if len(rest) > 2 {
		resource += "/" + rest[2]
	}
	switch {
	case r.URL.Query().Get("watch") != "":
		return "WATCH " + resource
	case r.Method == http.MethodGet && len(rest) == 1:
		return "LIST " + resource
	case r.Method == http.MethodPost:
		return "CREATE " + resource
	case r.Method == http.MethodPut:
		return "UPDATE " + resource
	}
	return r.Method + " " + resource
}
