package live

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/internal/snapshot"
)

var (
	podKind       = snapshot.KindOf[*corev1.Pod]()
	nodeKind      = snapshot.KindOf[*corev1.Node]()
	configMapKind = snapshot.KindOf[*corev1.ConfigMap]()
	leaseKind     = snapshot.KindOf[*coordinationv1.Lease]()
)

func options() Options {
	return Options{Name: "lab", Version: "v0", Now: localClock, Timeout: 10 * time.Minute, RequestTimeout: time.Minute, PageSize: 10}
}

// collected reads the given kinds from a server with the given options.
func collected(t *testing.T, s *apiServer, o Options, kinds ...snapshot.Kind) (*snapshot.Snapshot, *Client) {
	t.Helper()
	snap, client, err := Collect(t.Context(), s.config(), kinds, o)
	if err != nil {
		t.Fatal(err)
	}
	return snap, client
}

func TestAClusterIsReadWholeInPages(t *testing.T) {
	s := newAPIServer(t)
	s.hold(podsPath, pods(25)...)
	s.hold(configMapsPath, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}, Data: map[string]string{"password": "secret"},
	})
	snap, client := collected(t, s, options(), podKind, configMapKind, leaseKind)

	if got := len(s.requests(podsPath)); got != 3 {
		t.Errorf("25 pods in pages of 10 took %d requests, want 3: %v", got, s.requests(podsPath))
	}
	for _, k := range []snapshot.Kind{podKind, configMapKind, leaseKind} {
		want := snapshot.Coverage{State: snapshot.Complete, ReadAt: moment}
		if diff := cmp.Diff(want, snap.Coverage(k)); diff != "" {
			t.Errorf("coverage of %s (-want +got):\n%s", k, diff)
		}
	}
	if got := snap.Len(podKind); got != 25 {
		t.Errorf("%d pods, want 25", got)
	}
	pod, ok := snapshot.Get[*corev1.Pod](snap, "shop", "api-024")
	if !ok {
		t.Fatal("the last pod of the last page is missing")
	}
	if len(pod.ManagedFields) > 0 || len(pod.Annotations) > 0 || len(pod.Spec.Containers[0].Env) > 0 {
		t.Errorf("the pod is not trimmed: %v", pod)
	}
	configMap, ok := snapshot.Get[*corev1.ConfigMap](snap, "shop", "api")
	if !ok || len(configMap.Data) > 0 {
		t.Errorf("ConfigMap %v, want its metadata alone", configMap)
	}
	if got := client.Stats(); got.Requests != 7 || got.Bytes == 0 {
		t.Errorf("stats %+v, want 7 requests (3 pages, 2 lists, /version, /readyz) and their bytes", got)
	}
}

func TestOtherWaysToServe(t *testing.T) {
	tests := map[string]func(*apiServer){
		"a server that knows no protobuf":    func(s *apiServer) { s.jsonOnly = true },
		"an API below a path of its proxy's": func(s *apiServer) { s.prefix = "/k8s/clusters/c-1" },
	}
	for name, set := range tests {
		t.Run(name, func(t *testing.T) {
			s := newAPIServer(t)
			set(s)
			s.hold(podsPath, pods(12)...)
			s.hold(configMapsPath, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}})
			snap, _ := collected(t, s, options(), podKind, configMapKind)
			if snap.Len(podKind) != 12 || snap.Len(configMapKind) != 1 || !snap.API().Ready() {
				t.Errorf("%d pods, %d ConfigMaps, API %+v; coverage %+v", snap.Len(podKind), snap.Len(configMapKind), snap.API(), snap.Coverage(podKind))
			}
		})
	}
}

func TestTheMomentIsTheAPIServers(t *testing.T) {
	s := newAPIServer(t)
	snap, _ := collected(t, s, options(), podKind)
	if !snap.Now().Equal(moment) {
		t.Errorf("moment %s, want the API server's %s; this machine's clock is an hour behind", snap.Now(), moment)
	}
	if got, want := snap.Source(), (snapshot.Source{Name: "lab", Live: true}); got != want {
		t.Errorf("source %+v, want %+v", got, want)
	}
}

func TestTheAPIServerIsDescribed(t *testing.T) {
	s := newAPIServer(t)
	s.say("/readyz", http.StatusInternalServerError, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n")
	snap, _ := collected(t, s, options(), podKind)
	want := snapshot.API{
		Asked: true, Server: strings.TrimPrefix(s.URL, "https://"), Version: "v1.36.3",
		Checks:              []snapshot.HealthCheck{{Name: "ping", OK: true}, {Name: "etcd", Message: "failed: reason withheld"}},
		CertificateNotAfter: s.Certificate().NotAfter,
	}
	if diff := cmp.Diff(want, snap.API()); diff != "" {
		t.Errorf("API (-want +got):\n%s", diff)
	}
}

func TestChecksThatMayNotBeReadAreUnknown(t *testing.T) {
	s := newAPIServer(t)
	s.fail("/readyz", apierrors.NewForbidden(schema.GroupResource{}, "", nil))
	snap, _ := collected(t, s, options(), podKind)
	if api := snap.API(); api.Checks != nil || !strings.Contains(api.ChecksError, "forbidden") || api.Ready() {
		t.Errorf("checks %v, error %q; want none, and why", api.Checks, api.ChecksError)
	}
}

func TestTheDeadlineKeepsWhatWasRead(t *testing.T) {
	inTime(t, func(t *testing.T, s *apiServer) {
		s.hold(podsPath, pods(25)...)
		s.answer(podsPath, func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Query().Get("continue") != "" && hang(w, r)
		})
		o := options()
		o.Timeout = 10 * time.Second
		snap, _ := collected(t, s, o, podKind, nodeKind)
		want := snapshot.Coverage{State: snapshot.Partial, Reason: "after 10 objects: the time for reading the cluster (10s) was over", ReadAt: moment}
		if diff := cmp.Diff(want, snap.Coverage(podKind)); diff != "" {
			t.Errorf("coverage of pods (-want +got):\n%s", diff)
		}
		if snap.Len(podKind) != 10 {
			t.Errorf("%d pods, want the first page's 10", snap.Len(podKind))
		}
	})
}

func TestASilentRequestIsGivenUpAlone(t *testing.T) {
	inTime(t, func(t *testing.T, s *apiServer) {
		s.answer(podsPath, hang)
		o := options()
		o.RequestTimeout = 20 * time.Second
		snap, _ := collected(t, s, o, podKind, nodeKind)
		want := snapshot.Coverage{State: snapshot.Failed, Reason: "no answer in time"}
		if diff := cmp.Diff(want, snap.Coverage(podKind), cmpopts.IgnoreFields(snapshot.Coverage{}, "ReadAt")); diff != "" {
			t.Errorf("coverage of pods (-want +got):\n%s", diff)
		}
		if c := snap.Coverage(nodeKind); c.State != snapshot.Complete {
			t.Errorf("nodes: %+v, want complete", c)
		}
		if f := snap.API().Failure; f != nil {
			t.Errorf("the API server answers and is said to have failed: %+v", f)
		}
	})
}

func TestAnInterruptKeepsWhatWasRead(t *testing.T) {
	s := newAPIServer(t)
	s.hold(podsPath, pods(25)...)
	ctx, interrupt := context.WithCancel(t.Context())
	s.answer(podsPath, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("continue") != "" {
			interrupt()
			return hang(w, r)
		}
		return false
	})
	snap, _, err := Collect(ctx, s.config(), []snapshot.Kind{podKind}, options())
	if err != nil {
		t.Fatal(err)
	}
	if c := snap.Coverage(podKind); c.State != snapshot.Partial || snap.Len(podKind) != 10 || !strings.Contains(c.Reason, "interrupted") {
		t.Errorf("pods: %+v, %d objects; want the first page, interrupted", c, snap.Len(podKind))
	}
}

func TestTheServerDiesInTheMiddle(t *testing.T) {
	s := newAPIServer(t)
	s.hold(podsPath, pods(25)...)
	s.answer(podsPath, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("continue") != "" {
			_ = s.Listener.Close()
			s.CloseClientConnections()
			return true
		}
		return false
	})
	snap, _ := collected(t, s, options(), podKind)
	if c := snap.Coverage(podKind); c.State != snapshot.Partial || snap.Len(podKind) != 10 {
		t.Errorf("pods: %+v, %d objects; want the first page", c, snap.Len(podKind))
	}
	f := snap.API().Failure
	if f == nil || f.Layer != snapshot.LayerConnect || f.Reason != snapshot.ConnectionRefused {
		t.Errorf("failure %+v, want a refused connection", f)
	}
	if snap.API().Version != "v1.36.3" {
		t.Errorf("version %q, want what it said while it lived", snap.API().Version)
	}
}

func TestConfigurationThatCannotBeUsedIsAnError(t *testing.T) {
	tests := map[string]struct {
		change func(*Options, *apiServer) string
		want   string
	}{
		"no clock": {func(o *Options, s *apiServer) string { o.Now = nil; return s.URL }, "no clock"},
		"no host":  {func(*Options, *apiServer) string { return "https://[::1" }, "server's address"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newAPIServer(t)
			o := options()
			cfg := s.config()
			cfg.Host = tc.change(&o, s)
			if _, _, err := Collect(t.Context(), cfg, []snapshot.Kind{podKind}, o); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q in it", err, tc.want)
			}
		})
	}
}
