// Package operator tests replicas of the operator, as processes would run them, against a real API
// server with a real etcd: definitions that come and go, a replica that is killed, an API server that is
// away. There are no nodes; where a checker pod has to run, the test plays its kubelet.
package operator

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	maek "github.com/maek-dev/maek/internal/operator"
	"github.com/maek-dev/maek/internal/statuspage"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// environment is the API server that all tests share but those that break theirs, and admin is allowed
// everything on it.
var (
	environment *envtest.Environment
	admin       *rest.Config
)

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	log.SetLogger(klog.Background())
	environment = &envtest.Environment{CRDDirectoryPaths: []string{definitions}, ErrorIfCRDPathMissing: true}
	return apiserver.Run(m, "test/controlplane/operator", environment, func(cfg *rest.Config) error {
		admin = cfg
		return nil
	})
}

// definitions of all kinds.
const definitions = "../../../config/crd"

func newClient(t *testing.T, config *rest.Config) client.WithWatch {
	t.Helper()
	c, err := apiserver.Client(config, corev1.AddToScheme, khv1.AddToScheme, khv2.AddToScheme, v1alpha1.AddToScheme, apiextensionsv1.AddToScheme, coordination)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newNamespace makes one that no other test has.
func newNamespace(t *testing.T, c client.Client) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "operator-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// replica is one that runs.
type replica struct {
	op      *maek.Operator
	address string
	log     *buffer
	// wire is cut to kill the replica: nothing that it sends arrives any more.
	wire *apiserver.Wire
	// made counts the pods that it made.
	made atomic.Int64
	stop context.CancelFunc
	// ended is closed when Run has returned err.
	ended chan struct{}
	err   error
}

// start runs a replica of the operator in a namespace of its own, for checks of that namespace alone.
func start(t *testing.T, config *rest.Config, namespace, pod string, change ...func(*maek.Options)) *replica {
	t.Helper()
	r := &replica{address: freeAddress(t), log: &buffer{}, wire: &apiserver.Wire{}, ended: make(chan struct{})}
	config = rest.CopyConfig(config)
	config.Dial = r.wire.Dial
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counting{next, &r.made} })
	o := maek.Options{
		Config: config, Namespace: namespace, Pod: pod, Version: "test", Listen: r.address, Clock: clock.RealClock{},
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Getenv: func(name string) string {
			return map[string]string{"TARGET_NAMESPACE": namespace, "POD_NAMESPACE": namespace}[name]
		},
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	if r.op, err = maek.New(o); err != nil {
		t.Fatal(err)
	}
	page := statuspage.New(statuspage.Options{
		Board: r.op, Standing: r.op.Standing, Reporter: r.op, Runner: r.op, Cluster: statuspage.NewCluster(r.op.Core()),
		Settings: func() statuspage.Settings {
			return statuspage.Settings{Compatibility: true, Labels: r.op.Settings().Labels}
		},
		Metrics: r.op.Metrics(), Clock: o.Clock, Log: o.Log,
	})
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() {
		defer close(r.ended)
		r.err = r.op.Run(ctx, page.Server)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.ended
		if t.Failed() {
			t.Logf("log of %s:\n%s", pod, r.log)
		}
	})
	return r
}

func (r *replica) get(t *testing.T, path string) int {
	t.Helper()
	response, err := http.Get("http://" + r.address + path)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// waitFor waits until something is so.
func waitFor(t *testing.T, what string, within time.Duration, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v not yet: %s", within, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// counting counts the pods that are made.
type counting struct {
	http.RoundTripper
	made *atomic.Int64
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.RoundTripper.RoundTrip(r)
	if err == nil && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/pods") && response.StatusCode == http.StatusCreated {
		c.made.Add(1)
	}
	return response, err
}

// ports lie below the range from which the kernel takes ports for connections.
var ports atomic.Int32

func freeAddress(t *testing.T) string {
	t.Helper()
	const first, many = 20000, 12000
	for range many {
		address := fmt.Sprintf("127.0.0.1:%d", first+(os.Getpid()*100+int(ports.Add(1)))%many)
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = l.Close()
		return address
	}
	t.Fatal("no port is free")
	return ""
}

// buffer is a log that is read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// readDefinitions returns the definitions in files whose names begin so.
func readDefinitions(t *testing.T, prefix string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(definitions, prefix+"*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("definitions %s*: %v, %v", prefix, paths, err)
	}
	return paths
}
