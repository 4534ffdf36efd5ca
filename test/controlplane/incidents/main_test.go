// Package incidents tests against a real API server how the operator diagnoses on change and keeps
// Incident objects. Faults are written into objects; there are no nodes.
package incidents

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/incident"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// admin is allowed everything on the API server that the tests of this package share.
var admin *rest.Config

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	return apiserver.Run(m, "test/controlplane/incidents", newEnvironment(), func(cfg *rest.Config) error {
		admin = cfg
		return nil
	})
}

func newEnvironment() *envtest.Environment {
	return &envtest.Environment{CRDDirectoryPaths: []string{"../../../config/crd"}, ErrorIfCRDPathMissing: true}
}

// patience is how long a test waits for what should take a second or ten.
const patience = time.Minute

func eventually(t *testing.T, what string, done func(ctx context.Context) (bool, error)) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		ok, err := done(ctx)
		last = err
		return ok && err == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v (%v)", what, err, last)
	}
}

func clientOf(t *testing.T, cfg *rest.Config) client.Client {
	t.Helper()
	c, err := apiserver.Client(cfg, corev1.AddToScheme, rbacv1.AddToScheme, eventsv1.AddToScheme, v1alpha1.AddToScheme)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// running is a diagnoser that runs until it is stopped or the test ends.
type running struct {
	stop    func()
	metrics *prometheus.Registry
	log     *testLog
}

// testLog keeps what is logged.
type testLog struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *testLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func diagnose(t *testing.T, cfg *rest.Config, change ...func(*incident.Options)) *running {
	t.Helper()
	r := &running{metrics: prometheus.NewRegistry(), log: &testLog{}}
	o := incident.Options{
		Config: cfg, Rules: rules.All(), Name: "test", Identity: t.Name(), Version: "test", Metrics: r.metrics, WatchTime: 3 * time.Second,
		Log: slog.New(slog.NewTextHandler(r.log, nil)), Now: time.Now,
	}
	for _, f := range change {
		f(&o)
	}
	d, err := incident.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the diagnoser ended with %v", err)
		}
	}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("the diagnoser's log:\n%s", r.log)
			var all v1alpha1.IncidentList
			err := clientOf(t, admin).List(context.WithoutCancel(t.Context()), &all)
			t.Logf("incidents: %v", err)
			for _, i := range all.Items {
				t.Logf("%s %s %s %s", i.Name, i.Status.Phase, i.Status.Title, i.Status.Unverified)
			}
		}
	})
	return r
}

// value of a metric, by the text of its labels; false where it is not told.
func (r *running) value(t *testing.T, name, labels string) (float64, bool) {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var told []string
			for _, l := range m.GetLabel() {
				told = append(told, l.GetName()+"="+l.GetValue())
			}
			if f.GetName() == name && strings.Join(told, ",") == labels {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

// sickNode makes a Node whose disk has been too full for an hour, and has it deleted when the test ends.
func sickNode(t *testing.T, c client.Client, name, message string) *corev1.Node {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := c.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.WithoutCancel(t.Context()), n); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("deleting %s: %v", name, err)
		}
	})
	setPressure(t, c, n, corev1.ConditionTrue, message)
	return n
}

func setPressure(t *testing.T, c client.Client, n *corev1.Node, pressure corev1.ConditionStatus, message string) {
	t.Helper()
	since := metav1.NewTime(time.Now().Add(-time.Hour))
	n.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeDiskPressure, Status: pressure, Reason: "KubeletHasDiskPressure", Message: message,
		LastHeartbeatTime: metav1.NewTime(time.Now()), LastTransitionTime: since,
	}}
	if err := c.Status().Update(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// about returns the Incident whose root is a Node; nil where there is none.
func about(ctx context.Context, c client.Client, node string) (*v1alpha1.Incident, error) {
	var all v1alpha1.IncidentList
	if err := c.List(ctx, &all); err != nil {
		return nil, err
	}
	for i := range all.Items {
		if s := all.Items[i].Status.Subject; s.Kind == "Node" && s.Name == node {
			return &all.Items[i], nil
		}
	}
	return nil, nil
}

// awaitPhase waits until a Node's Incident has a phase, and returns it.
func awaitPhase(t *testing.T, c client.Client, node string, phase v1alpha1.IncidentPhase) *v1alpha1.Incident {
	t.Helper()
	var found *v1alpha1.Incident
	eventually(t, fmt.Sprintf("waiting until the incident of %s is %s", node, phase), func(ctx context.Context) (bool, error) {
		i, err := about(ctx, c, node)
		if err != nil || i == nil {
			return false, err
		}
		found = i
		return i.Status.Phase == phase, nil
	})
	return found
}
