package live

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/internal/snapshot"
)

const slicesPath = "/apis/discovery.k8s.io/v1/endpointslices"

var sliceKind = snapshot.KindOf[*discoveryv1.EndpointSlice]()

// apiServers is the EndpointSlice in which API servers enter themselves; the test's are all on one
// machine, so each port is a slice of its own.
func apiServers(t *testing.T, s *apiServer, addresses ...string) {
	t.Helper()
	for i, address := range addresses {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(port, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		s.hold(slicesPath, &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("kubernetes-%d", i), Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{host}}},
			Ports:      []discoveryv1.EndpointPort{{Port: new(int32(n))}},
		})
	}
}

func TestWhatAnswersBehindACertificateThatDoesNotHold(t *testing.T) {
	ended := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	snap, _, err := Collect(t.Context(), serving(t, certificate(t, "", ended)), []snapshot.Kind{podKind}, options())
	if err != nil {
		t.Fatal(err)
	}
	want := []snapshot.Address{{
		Failure:              &snapshot.APIFailure{Layer: snapshot.LayerTLS, Reason: snapshot.CertificateExpired},
		LiveStatus:           http.StatusNotFound,
		CertificateNotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), CertificateNotAfter: ended,
	}}
	ignored := cmp.Options{cmpopts.IgnoreFields(snapshot.Address{}, "Address"), cmpopts.IgnoreFields(snapshot.APIFailure{}, "Message")}
	if diff := cmp.Diff(want, snap.API().Addresses, ignored); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestAServerThatHangsIsAskedWhetherItLives(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		livez      int
		wantStatus int
		wantLayer  snapshot.Layer
	}{
		"it lives":                   {http.StatusOK, http.StatusOK, ""},
		"it tells strangers nothing": {http.StatusForbidden, http.StatusForbidden, ""},
		"it does not live":           {http.StatusInternalServerError, http.StatusInternalServerError, ""},
		"it says nothing":            {0, 0, snapshot.LayerRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T, s *apiServer) {
				for _, path := range []string{"/version", podsPath} {
					s.answer(path, hang)
				}
				s.answer("/livez", func(w http.ResponseWriter, r *http.Request) bool {
					if r.Header.Get("Authorization") != "" {
						t.Error("credentials were sent to a server that may be anybody")
					}
					if tc.livez == 0 {
						return hang(w, r)
					}
					w.WriteHeader(tc.livez)
					return true
				})
				cfg := s.config()
				cfg.BearerToken = "hunter2"
				snap, _, err := Collect(t.Context(), cfg, []snapshot.Kind{podKind}, options())
				if err != nil {
					t.Fatal(err)
				}
				api := snap.API()
				if api.Failure == nil || api.Failure.Layer != snapshot.LayerRequest || len(api.Addresses) != 1 {
					t.Fatalf("%+v", api)
				}
				a := api.Addresses[0]
				var layer snapshot.Layer
				if a.Failure != nil {
					layer = a.Failure.Layer
				}
				if a.LiveStatus != tc.wantStatus || layer != tc.wantLayer || a.CertificateNotAfter.IsZero() {
					t.Errorf("%+v, want status %d, layer %q and the certificate's dates", a, tc.wantStatus, tc.wantLayer)
				}
			})
		})
	}
}

func TestTheOtherAPIServersAreAskedWhereOneIsNotReady(t *testing.T) {
	s, well := newAPIServer(t), newAPIServer(t)
	s.say("/readyz", http.StatusInternalServerError, "[+]ping ok\n[-]etcd failed: reason withheld\n")
	well.say("/livez", http.StatusOK, "ok")
	gone := listening(t)
	_ = gone.Close()
	apiServers(t, s, well.Listener.Addr().String(), gone.Addr().String())
	snap, _ := collected(t, s, options(), podKind, sliceKind)
	got := map[string]snapshot.Address{}
	for _, a := range snap.API().Endpoints {
		got[a.Address] = a
	}
	want := map[string]snapshot.Address{
		well.Listener.Addr().String(): {Address: well.Listener.Addr().String(), LiveStatus: http.StatusOK},
		gone.Addr().String():          {Address: gone.Addr().String(), Error: "connect: connection refused"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(snapshot.Address{}, "CertificateNotBefore", "CertificateNotAfter")); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	if got[well.Listener.Addr().String()].CertificateNotAfter.IsZero() {
		t.Error("the certificate's end was not read")
	}
}

func TestNobodyAsksTheOthersWhereAllIsWell(t *testing.T) {
	s, other := newAPIServer(t), newAPIServer(t)
	apiServers(t, s, other.Listener.Addr().String())
	snap, _ := collected(t, s, options(), podKind, sliceKind)
	if got := snap.API().Endpoints; len(got) > 0 || len(other.requests("/livez")) > 0 {
		t.Errorf("endpoints %+v", got)
	}
}

// A namespace that vanishes while its pods are read page by page answers 404 on the next page.
func TestANamespaceThatVanishesMidList(t *testing.T) {
	s := newAPIServer(t)
	const inShop = "/api/v1/namespaces/shop/pods"
	s.hold(inShop, pods(25)...)
	s.fail(podsPath, rbacDenies("list", "pods"))
	s.answer(inShop, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("continue") == "" {
			return false
		}
		status := apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "shop").ErrStatus
		s.encode(w, r, http.StatusNotFound, &status)
		return true
	})
	o := options()
	o.Namespace = "shop"
	snap, _ := collected(t, s, o, podKind)
	want := snapshot.Coverage{State: snapshot.Partial, Namespace: "shop", Reason: `after 10 objects: namespaces "shop" not found`, ReadAt: moment}
	if diff := cmp.Diff(want, snap.Coverage(podKind)); diff != "" || snap.Len(podKind) != 10 {
		t.Errorf("%d pods, coverage (-want +got):\n%s", snap.Len(podKind), diff)
	}
}
