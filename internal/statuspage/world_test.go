package statuspage_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/statuspage"
)

// runID is the run of both checks of a world, and of all recorded clients.
const runID = "6f1d8f0e-3c57-4c43-9a53-2b7b5a4a9e10"

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// world is a cluster with a check of each API whose run goes on. It takes reports by the rules of
// package kuberhealthy, and keeps what came of them in memory instead of in objects.
type world struct {
	mu      sync.Mutex
	entries []kuberhealthy.Entry
	// pods are the checker pods of version 2, by address.
	pods map[netip.Addr]string
	// down tells that nothing can be stored.
	down    bool
	reports []kuberhealthy.Report
	begun   []string
	log     string
	events  []corev1.Event
	logs    strings.Builder
}

func newWorld() *world {
	started := noon.Add(-time.Minute)
	state := kuberhealthy.State{
		Run: kuberhealthy.Run{ID: runID, Started: started}, Running: true,
		Ended: true, EndedAt: started.Add(-time.Minute), OK: true, LastOK: started.Add(-time.Minute), Writer: "kuberhealthy-0",
	}
	check := func(api kuberhealthy.API, kind, name string) kuberhealthy.Entry {
		return kuberhealthy.Entry{
			Check: kuberhealthy.Check{
				API: api, Kind: kind, NamespacedName: types.NamespacedName{Namespace: "kuberhealthy", Name: name},
				UID: types.UID(name), Interval: 10 * time.Minute, Timeout: 5 * time.Minute,
			},
			State: state, Pod: name + "-pod", Next: started.Add(10 * time.Minute),
		}
	}
	return &world{
		entries: []kuberhealthy.Entry{
			check(kuberhealthy.V2, "KuberhealthyCheck", "daemonset"), check(kuberhealthy.V3, "HealthCheck", "dns"),
		},
		pods: map[netip.Addr]string{},
	}
}

func (w *world) Entries() []kuberhealthy.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.entries)
}

func (w *world) Report(_ context.Context, from kuberhealthy.Origin, report kuberhealthy.Report) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return errors.New("the API server is away from run " + from.RunID)
	}
	for i := range w.entries {
		e := &w.entries[i]
		id := from.RunID
		if id != e.State.Run.ID && w.pods[from.Address] == e.Check.Name && e.Check.API == kuberhealthy.V2 {
			id = e.State.Run.ID
		}
		if e.Check.API != from.API {
			continue
		}
		if err := kuberhealthy.Accept(e.Check, e.State, id, noon); err != nil {
			return err
		}
		e.State = e.State.Reported(e.Check, report, kuberhealthy.End{At: noon, Writer: "kuberhealthy-0"})
		w.reports = append(w.reports, report)
		return nil
	}
	return kuberhealthy.Unknown(from.API, from.RunID)
}

func (w *world) RunNow(_ context.Context, check kuberhealthy.Check) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return errors.New("the API server is away")
	}
	w.begun = append(w.begun, check.String())
	return nil
}

// Allow knows four tokens: of one who may do all, of one who may do nothing, of one who may get what
// everybody may in a cluster, and one for which the API server does not answer.
func (w *world) Allow(_ context.Context, token string, deed statuspage.Deed) error {
	switch token {
	case "admin":
		return nil
	case "nobody":
		return statuspage.ErrForbidden
	case "anybody":
		if deed.Path != nil && (deed.Path.Path == "/version" || strings.HasPrefix(deed.Path.Path, "/apis/")) {
			return nil
		}
		return statuspage.ErrForbidden
	case "slow":
		return errors.New("the API server is away: " + deed.String())
	}
	return statuspage.ErrUnknownToken
}

func (w *world) Pod(_ context.Context, name types.NamespacedName) (*corev1.Pod, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	switch name.Name {
	case "dns-pod":
		pod.Labels = map[string]string{v1alpha1.LabelRunOf: "dns", khv2.LabelRunID: runID}
	case "dns-old":
		pod.Labels = map[string]string{v1alpha1.LabelRunOf: "dns"}
		pod.Status.Phase = corev1.PodSucceeded
	case "other":
		pod.Labels = map[string]string{khv2.LabelCheck: "dns"}
	default:
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, name.Name)
	}
	return pod, nil
}

func (w *world) Events(context.Context, kuberhealthy.Check) ([]corev1.Event, error) {
	return w.events, nil
}

func (w *world) Log(_ context.Context, pod types.NamespacedName, options corev1.PodLogOptions) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(pod.Name + " " + options.Container + "\n" + w.log)), nil
}

// Write is where the log of the page goes.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs.Write(p)
}

// options of a page about the world, in compatibility mode.
func (w *world) options() statuspage.Options {
	return statuspage.Options{
		Board: w, Reporter: w, Runner: w, Access: w, Cluster: w,
		Standing: func() kuberhealthy.Standing {
			return kuberhealthy.Standing{Master: "kuberhealthy-0", Leading: true, Able: true}
		},
		Settings: func() statuspage.Settings {
			return statuspage.Settings{Compatibility: true, Labels: kuberhealthy.DefaultMetricLabels()}
		},
		Clock: clocktesting.NewFakePassiveClock(noon),
		Log:   slog.New(slog.NewTextHandler(w, nil)),
	}
}

// locked is options without compatibility.
func (w *world) locked() statuspage.Options {
	options := w.options()
	options.Settings = func() statuspage.Settings { return statuspage.Settings{} }
	return options
}

// serve serves a page on loopback and returns its address.
func serve(t *testing.T, options statuspage.Options) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := statuspage.New(options).Server()
	done := make(chan error)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close() // it is over either way
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving: %v", err)
		}
	})
	return listener.Addr().String()
}
