package live

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/internal/snapshot"
)

// What goes wrong with one kind is that kind's affair.
func TestOneKindFails(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil)
	tests := map[string]struct {
		set         func(s *apiServer)
		options     func(o *Options)
		want        snapshot.Coverage
		wantObjects int
		wantAsked   int
	}{
		"it is forbidden": {
			set:       func(s *apiServer) { s.fail(podsPath, forbidden) },
			want:      snapshot.Coverage{State: snapshot.Forbidden, Reason: "pods is forbidden"},
			wantAsked: 1,
		},
		"it is forbidden but for one namespace": {
			set: func(s *apiServer) {
				s.fail(podsPath, forbidden)
				s.hold("/api/v1/namespaces/shop/pods", pods(3)...)
			},
			options:     func(o *Options) { o.Namespace = "shop" },
			want:        snapshot.Coverage{State: snapshot.Partial, Reason: "only namespace shop: pods is forbidden", Namespace: "shop"},
			wantObjects: 3, wantAsked: 1,
		},
		"it is forbidden in the one namespace too": {
			set: func(s *apiServer) {
				s.fail(podsPath, forbidden)
				s.fail("/api/v1/namespaces/shop/pods", forbidden)
			},
			options:   func(o *Options) { o.Namespace = "shop" },
			want:      snapshot.Coverage{State: snapshot.Forbidden, Reason: "pods is forbidden"},
			wantAsked: 1,
		},
		"the server breaks": {
			set:       func(s *apiServer) { s.say(podsPath, http.StatusInternalServerError, "out of cheese") },
			want:      snapshot.Coverage{State: snapshot.Failed, Reason: "out of cheese"},
			wantAsked: 1,
		},
		"the second page breaks": {
			set: func(s *apiServer) {
				s.hold(podsPath, pods(25)...)
				s.answer(podsPath, func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("continue") == "" {
						return false
					}
					http.Error(w, "out of cheese", http.StatusInternalServerError)
					return true
				})
			},
			want:        snapshot.Coverage{State: snapshot.Partial, Reason: "after 10 objects: out of cheese"},
			wantObjects: 10, wantAsked: 2,
		},
		"the server asks for patience more often than we have it": {
			set: func(s *apiServer) {
				s.answer(podsPath, func(w http.ResponseWriter, r *http.Request) bool {
					w.Header().Set("Retry-After", "0")
					status := apierrors.NewTooManyRequests("slow down", 0).ErrStatus
					s.encode(w, r, http.StatusTooManyRequests, &status)
					return true
				})
			},
			want:      snapshot.Coverage{State: snapshot.Failed, Reason: "slow down"},
			wantAsked: 1 + retries,
		},
		"the answer is no list": {
			set:       func(s *apiServer) { s.say(podsPath, http.StatusOK, "<html>please sign in</html>") },
			want:      snapshot.Coverage{State: snapshot.Failed},
			wantAsked: 1,
		},
		"a core kind is not served, which no API server does": {
			set:       func(s *apiServer) { s.say(podsPath, http.StatusNotFound, "404 page not found") },
			want:      snapshot.Coverage{State: snapshot.Failed, Reason: "404 page not found"},
			wantAsked: 1,
		},
		"the continue token expires and the server offers another": {
			set: func(s *apiServer) {
				s.hold(podsPath, pods(25)...)
				s.answer(podsPath, func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("continue") != "10" {
						return false
					}
					expired := apierrors.NewResourceExpired("too old").ErrStatus
					expired.Continue = "inconsistent-10"
					s.encode(w, r, http.StatusGone, &expired)
					return true
				})
			},
			want:        snapshot.Coverage{State: snapshot.Complete},
			wantObjects: 25, wantAsked: 4,
		},
		"the continue token expires once, and the list begins anew": {
			set: func(s *apiServer) {
				s.hold(podsPath, pods(25)...)
				first := true
				s.answer(podsPath, func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("continue") == "" || !first {
						return false
					}
					first = false
					expired := apierrors.NewResourceExpired("too old").ErrStatus
					s.encode(w, r, http.StatusGone, &expired)
					return true
				})
			},
			want:        snapshot.Coverage{State: snapshot.Complete},
			wantObjects: 25, wantAsked: 5,
		},
		"the continue token expires again and again": {
			set: func(s *apiServer) {
				s.hold(podsPath, pods(25)...)
				s.answer(podsPath, func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("continue") == "" {
						return false
					}
					expired := apierrors.NewResourceExpired("too old").ErrStatus
					s.encode(w, r, http.StatusGone, &expired)
					return true
				})
			},
			want:        snapshot.Coverage{State: snapshot.Partial, Reason: "after 10 objects: too old"},
			wantObjects: 10, wantAsked: 4,
		},
		"etcd does not answer, the watch cache does": {
			set: func(s *apiServer) {
				s.hold(podsPath, pods(25)...)
				s.answer(podsPath, func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("resourceVersion") == "0" {
						return false
					}
					status := apierrors.NewInternalError(errors.New("etcdserver: request timed out")).ErrStatus
					s.encode(w, r, int(status.Code), &status)
					return true
				})
			},
			want:        snapshot.Coverage{State: snapshot.Complete, FromCache: true},
			wantObjects: 25, wantAsked: 2,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newAPIServer(t)
			tc.set(s)
			s.hold(nodesPath, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1"}})
			o := options()
			if tc.options != nil {
				tc.options(&o)
			}
			snap, _ := collected(t, s, o, podKind, nodeKind)
			tc.want.ReadAt = moment
			got := snap.Coverage(podKind)
			if tc.want.Reason == "" {
				tc.want.Reason = got.Reason
			} else if strings.HasPrefix(got.Reason, tc.want.Reason) {
				tc.want.Reason = got.Reason
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("coverage of pods (-want +got):\n%s", diff)
			}
			if got := snap.Len(podKind); got != tc.wantObjects {
				t.Errorf("%d pods, want %d", got, tc.wantObjects)
			}
			if got := len(s.requests(podsPath)); got != tc.wantAsked {
				t.Errorf("%d requests for pods, want %d: %v", got, tc.wantAsked, s.requests(podsPath))
			}
			if c := snap.Coverage(nodeKind); c.State != snapshot.Complete || snap.Len(nodeKind) != 1 {
				t.Errorf("nodes: %+v, %d objects; want them untouched by what became of pods", c, snap.Len(nodeKind))
			}
			if f := snap.API().Failure; f != nil {
				t.Errorf("the API server is said to have failed: %+v", f)
			}
		})
	}
}

func TestAKindThatTheClusterDoesNotHave(t *testing.T) {
	s := newAPIServer(t)
	s.say(leasesPath, http.StatusNotFound, "404 page not found")
	snap, _ := collected(t, s, options(), podKind, leaseKind)
	if c := snap.Coverage(leaseKind); c.State != snapshot.NotServed {
		t.Errorf("leases: %+v, want not served", c)
	}
}

// Once etcd is known to be silent, the kinds after that are not asked by quorum first: each would
// cost a timeout.
func TestALostQuorumIsPaidForOnce(t *testing.T) {
	s := newAPIServer(t)
	for _, path := range []string{podsPath, nodesPath, configMapsPath} {
		s.answer(path, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("resourceVersion") == "0" {
				return false
			}
			status := apierrors.NewTimeoutError("etcdserver: request timed out", 0).ErrStatus
			s.encode(w, r, int(status.Code), &status)
			return true
		})
	}
	o := options()
	o.Parallel = 1
	snap, _ := collected(t, s, o, podKind, nodeKind, configMapKind)
	asked := 0
	for path, k := range map[string]snapshot.Kind{podsPath: podKind, nodesPath: nodeKind, configMapsPath: configMapKind} {
		asked += len(s.requests(path))
		if c := snap.Coverage(k); c.State != snapshot.Complete || !c.FromCache {
			t.Errorf("%s: %+v, want complete from the cache", k, c)
		}
	}
	if asked != 4 {
		t.Errorf("%d requests for three kinds, want 4", asked)
	}
}

// Events are in no watch cache: asking it for them would wait for etcd once more.
func TestEventsAreNotAskedForFromTheCache(t *testing.T) {
	const eventsPath = "/api/v1/events"
	s := newAPIServer(t)
	s.fail(eventsPath, apierrors.NewTimeoutError("etcdserver: request timed out", 0))
	snap, _ := collected(t, s, options(), snapshot.KindOf[*corev1.Event]())
	if c := snap.Coverage(snapshot.KindOf[*corev1.Event]()); c.State != snapshot.Failed || !strings.HasSuffix(c.Reason, "etcdserver: request timed out") {
		t.Errorf("events: %+v, want failed", c)
	}
	if asked := s.requests(eventsPath); len(asked) != 1 {
		t.Errorf("asked %v, want once", asked)
	}
}
