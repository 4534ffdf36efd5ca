package live

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	statesPath = "/apis/comcast.github.io/v1/khstates"
	checksPath = "/apis/comcast.github.io/v1/khchecks"
)

func stateDefinition() *apiextensionsv1.CustomResourceDefinition {
	d := definition("KuberhealthyState", stored)
	d.Name, d.Spec.Group, d.Spec.Names.Plural = "khstates.comcast.github.io", "comcast.github.io", "khstates"
	return d
}

// statesList is a list as an API server prints it.
const statesList = `{"apiVersion":"comcast.github.io/v1","kind":"KuberhealthyStateList","metadata":{"resourceVersion":"7"},"items":[
 {"apiVersion":"comcast.github.io/v1","kind":"KuberhealthyState","metadata":{"name":"daemonset","namespace":"kuberhealthy"},
  "spec":{"OK":false,"Errors":["password=hunter2hunter2 refused"],"RunDuration":"22.512278967s","Namespace":"kuberhealthy","Node":"w1","LastRun":"2026-03-02T02:18:00Z",
   "AuthoritativePod":"kuberhealthy-1","uuid":"7f0c9a52-1f3c-4a2d-9a0e-1b8c55d1c0aa","khWorkload":"KHCheck"}}]}`

func holdStates(s *apiServer) {
	s.answer(statesPath, func(w http.ResponseWriter, r *http.Request) bool {
		if accept := r.Header.Get("Accept"); accept != runtime.ContentTypeJSON {
			s.t.Errorf("states were asked for as %q", accept)
		}
		w.Header().Set("Content-Type", runtime.ContentTypeJSON)
		_, _ = io.WriteString(w, statesList)
		return true
	})
}

func TestKindsThatNoDefinitionDefinesAreNotAskedFor(t *testing.T) {
	t.Parallel()
	states, checks, health := snapshot.KindOf[*khv1.KuberhealthyState](), snapshot.KindOf[*khv1.KuberhealthyCheck](), snapshot.KindOf[*khv2.HealthCheck]()
	podKind := snapshot.KindOf[*corev1.Pod]()
	forbid := func(s *apiServer, path string) {
		s.fail(path, apierrors.NewForbidden(schema.GroupResource{Resource: path[strings.LastIndex(path, "/")+1:]}, "", nil))
	}
	groups := func(s *apiServer, names ...string) {
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for _, name := range names {
			list.Groups = append(list.Groups, metav1.APIGroup{Name: name, Versions: []metav1.GroupVersionForDiscovery{{GroupVersion: name + "/v1", Version: "v1"}}})
		}
		body, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		s.say("/apis", http.StatusOK, string(body))
	}
	tests := map[string]struct {
		prepare func(*apiServer)
		kinds   []snapshot.Kind
		want    map[snapshot.Kind]snapshot.State
		// wantAsked are the paths, of those that count here, that were asked for.
		wantAsked []string
	}{
		"a cluster without such kinds": {
			prepare:   func(s *apiServer) { s.hold(crdsPath, definition("Widget", stored)) },
			kinds:     []snapshot.Kind{podKind, crdKind, states, checks, health},
			want:      map[snapshot.Kind]snapshot.State{states: snapshot.NotServed, checks: snapshot.NotServed, health: snapshot.NotServed},
			wantAsked: []string{crdsPath},
		},
		"one of them is defined": {
			prepare: func(s *apiServer) {
				s.hold(crdsPath, stateDefinition())
				holdStates(s)
			},
			kinds:     []snapshot.Kind{podKind, crdKind, states, checks, health},
			want:      map[snapshot.Kind]snapshot.State{states: snapshot.Complete, checks: snapshot.NotServed},
			wantAsked: []string{crdsPath, statesPath},
		},
		"definitions are forbidden, and discovery knows no such group": {
			prepare: func(s *apiServer) {
				forbid(s, crdsPath)
				forbid(s, statesPath)
				groups(s, "apps", "example.com")
			},
			kinds:     []snapshot.Kind{podKind, crdKind, states, health},
			want:      map[snapshot.Kind]snapshot.State{states: snapshot.NotServed, health: snapshot.NotServed},
			wantAsked: []string{crdsPath, "/apis"},
		},
		"definitions are forbidden, and discovery knows the group": {
			prepare: func(s *apiServer) {
				forbid(s, crdsPath)
				holdStates(s)
				forbid(s, checksPath)
				groups(s, "comcast.github.io")
			},
			kinds:     []snapshot.Kind{podKind, crdKind, states, checks, health},
			want:      map[snapshot.Kind]snapshot.State{states: snapshot.Complete, checks: snapshot.Forbidden, health: snapshot.NotServed},
			wantAsked: []string{crdsPath, "/apis", statesPath, checksPath},
		},
		"nothing tells, so that each is asked for": {
			prepare: func(s *apiServer) {
				forbid(s, crdsPath)
				s.fail(statesPath, apierrors.NewNotFound(schema.GroupResource{}, ""))
			},
			kinds:     []snapshot.Kind{podKind, crdKind, states},
			want:      map[snapshot.Kind]snapshot.State{states: snapshot.NotServed},
			wantAsked: []string{crdsPath, "/apis", statesPath},
		},
		"no such kind is wanted": {
			prepare: func(s *apiServer) {},
			kinds:   []snapshot.Kind{podKind},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			s.hold(podsPath, pods(1)...)
			tc.prepare(s)
			got, _, err := Collect(t.Context(), s.config(), tc.kinds, Options{Name: "test", Now: localClock, CustomResources: slices.Contains(tc.kinds, crdKind)})
			if err != nil {
				t.Fatal(err)
			}
			for k, want := range tc.want {
				if c := got.Coverage(k); c.State != want {
					t.Errorf("%s: %+v, want %s", k, c, want)
				}
			}
			var asked []string
			for _, path := range []string{crdsPath, "/apis", statesPath, checksPath, "/apis/kuberhealthy.github.io/v2/healthchecks"} {
				if len(s.requests(path)) > 0 {
					asked = append(asked, path)
				}
				if n := len(s.requests(path)); n > 1 {
					t.Errorf("%s was asked for %d times", path, n)
				}
			}
			if !slices.Equal(asked, tc.wantAsked) {
				t.Errorf("asked for %v, want %v", asked, tc.wantAsked)
			}
			for _, state := range snapshot.List[*khv1.KuberhealthyState](got) {
				if state.Spec.Node != "w1" || state.Spec.OK || strings.Contains(state.Spec.Errors[0], "hunter2") {
					t.Errorf("read %+v", state.Spec)
				}
			}
			if slices.Contains(got.CustomKinds(), states) {
				t.Error("the kind is read as custom resources too")
			}
		})
	}
}
