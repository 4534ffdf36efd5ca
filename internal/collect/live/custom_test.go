package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	crdsPath    = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	widgetsPath = "/apis/example.com/v1/widgets"
)

var (
	crdKind    = snapshot.KindOf[*apiextensionsv1.CustomResourceDefinition]()
	widgetKind = snapshot.Kind{Group: "example.com", Version: "v1", Kind: "Widget", Resource: "widgets"}
)

func definition(kind string, versions ...apiextensionsv1.CustomResourceDefinitionVersion) *apiextensionsv1.CustomResourceDefinition {
	plural := strings.ToLower(kind) + "s"
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: plural + ".example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "example.com", Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind, Plural: plural},
			Scope: apiextensionsv1.NamespaceScoped, Versions: versions,
		},
	}
}

var (
	stored   = apiextensionsv1.CustomResourceDefinitionVersion{Name: "v1", Served: true, Storage: true}
	served   = apiextensionsv1.CustomResourceDefinitionVersion{Name: "v1alpha1", Served: true}
	unserved = apiextensionsv1.CustomResourceDefinitionVersion{Name: "v1", Storage: true}
)

// widgets are custom resources in JSON, from a number on.
func widgets(from, to int) []map[string]any {
	var out []map[string]any
	for i := from; i < to; i++ {
		out = append(out, map[string]any{
			"apiVersion": "example.com/v1", "kind": "Widget",
			"metadata": map[string]any{
				"namespace": "shop", "name": fmt.Sprintf("w-%05d", i), "generation": 3,
				"annotations": map[string]any{"kubectl.kubernetes.io/last-applied-configuration": "hunter2"},
			},
			"spec": map[string]any{"password": "hunter2"},
			"status": map[string]any{
				"observedGeneration": 2, "other": "hunter2",
				"conditions": []any{map[string]any{"type": "Ready", "status": "False", "reason": "Login", "message": "password=hunter2"}},
			},
		})
	}
	return out
}

// holdWidgets serves custom resources in pages, as an API server does.
func (s *apiServer) holdWidgets(path string, n int) {
	s.answer(path, func(w http.ResponseWriter, r *http.Request) bool {
		from, limit := 0, 0
		_, _ = fmt.Sscan(r.URL.Query().Get("continue"), &from)
		_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
		to := min(n, from+limit)
		metadata := map[string]any{}
		if to < n {
			metadata["continue"] = strconv.Itoa(to)
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{"kind": "WidgetList", "items": widgets(from, to), "metadata": metadata}); err != nil {
			s.t.Error(err)
		}
		return true
	})
}

func TestCustomResourcesAreReadAndReduced(t *testing.T) {
	s := newAPIServer(t)
	s.hold(crdsPath, definition("Widget", served, stored), definition("Gadget", unserved, served), definition("Ghost", unserved))
	s.holdWidgets(widgetsPath, 1201)
	s.holdWidgets("/apis/example.com/v1alpha1/gadgets", 0)
	o := options()
	o.CustomResources = true
	snap, _ := collected(t, s, o, crdKind)
	gadgetKind := snapshot.Kind{Group: "example.com", Version: "v1alpha1", Kind: "Gadget", Resource: "gadgets"}
	if diff := cmp.Diff([]snapshot.Kind{gadgetKind, widgetKind}, snap.CustomKinds()); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	for _, k := range snap.CustomKinds() {
		if diff := cmp.Diff(snapshot.Coverage{State: snapshot.Complete, ReadAt: moment}, snap.CustomCoverage(k)); diff != "" {
			t.Errorf("coverage of %s (-want +got):\n%s", k, diff)
		}
	}
	if got := len(s.requests(widgetsPath)); got != 3 {
		t.Errorf("1201 objects took %d requests, want 3", got)
	}
	all := snap.CustomResources()
	if len(all) != 1201 {
		t.Fatalf("%d objects, want 1201", len(all))
	}
	want := &snapshot.CustomResource{
		Kind: widgetKind, ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "w-01200", Generation: 3}, ObservedGeneration: new(int64(2)),
		Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Reason: "Login", Message: "password=[redacted]"}},
	}
	if diff := cmp.Diff(want, all[1200]); diff != "" {
		t.Errorf("the last object (-want +got):\n%s", diff)
	}
}

func TestWithoutTheOptionNoCustomResourceIsRead(t *testing.T) {
	s := newAPIServer(t)
	s.hold(crdsPath, definition("Widget", stored))
	snap, _ := collected(t, s, options(), crdKind)
	if got := s.requests(widgetsPath); len(got) > 0 || len(snap.CustomKinds()) > 0 {
		t.Errorf("requests %v, kinds %v", got, snap.CustomKinds())
	}
}

func TestHowFarACustomKindWasRead(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "example.com", Resource: "widgets"}, "", errors.New(`User "kim" cannot list`))
	conversion := &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
		Message: `conversion webhook for example.com/v1alpha1, Kind=Widget failed: Post "https://widgets.shop.svc:443/convert?timeout=30s": dial tcp 10.96.0.7:443: connect: connection refused`,
	}}
	const inShop = "/apis/example.com/v1/namespaces/shop/widgets"
	tests := map[string]struct {
		set       func(s *apiServer)
		namespace string
		want      snapshot.Coverage
		objects   int
	}{
		"the conversion webhook is down": {
			set:  func(s *apiServer) { s.fail(widgetsPath, conversion) },
			want: snapshot.Coverage{State: snapshot.Failed, Reason: conversion.ErrStatus.Message},
		},
		"it is forbidden": {
			set:  func(s *apiServer) { s.fail(widgetsPath, forbidden) },
			want: snapshot.Coverage{State: snapshot.Forbidden, Reason: forbidden.ErrStatus.Message},
		},
		"it is allowed in one namespace": {
			set: func(s *apiServer) { s.fail(widgetsPath, forbidden); s.holdWidgets(inShop, 2) }, namespace: "shop", objects: 2,
			want: snapshot.Coverage{State: snapshot.Partial, Namespace: "shop", Reason: "only namespace shop: " + forbidden.ErrStatus.Message},
		},
		"it is not served after all": {
			set: func(s *apiServer) {
				s.answer(widgetsPath, func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true })
			},
			want: snapshot.Coverage{State: snapshot.NotServed, Reason: "the API server does not serve example.com/v1"},
		},
		"there are too many": {
			set: func(s *apiServer) { s.holdWidgets(widgetsPath, 5001) }, objects: 5000,
			want: snapshot.Coverage{State: snapshot.Partial, Reason: "only the first 5000 objects are read"},
		},
		"the answer breaks off": {
			set: func(s *apiServer) { s.say(widgetsPath, http.StatusOK, `{"items":[{"metadata":{"name":"a"}},{"meta`) }, objects: 1,
			want: snapshot.Coverage{State: snapshot.Partial, Reason: "after 1 objects: reading a page: unexpected EOF"},
		},
		"objects have no shape": {
			set: func(s *apiServer) {
				s.say(widgetsPath, http.StatusOK, `{"items":[{"metadata":{"name":"a"},"status":7},{"metadata":[]},{"status":{"conditions":"x"}},{"metadata":{"name":"b"},"status":{"conditions":[1,{"type":2}]}}]}`)
			}, objects: 2, want: snapshot.Coverage{State: snapshot.Complete},
		},
		"the pages expired on the way": {
			set: func(s *apiServer) {
				s.answer(widgetsPath, func(w http.ResponseWriter, r *http.Request) bool {
					switch r.URL.Query().Get("continue") {
					case "":
						_, _ = w.Write([]byte(`{"metadata":{"continue":"old"},"items":[{"metadata":{"name":"a"}}]}`))
					case "old":
						gone := apierrors.NewResourceExpired("too old")
						gone.ErrStatus.Continue = "new"
						s.encode(w, r, http.StatusGone, &gone.ErrStatus)
					default:
						_, _ = w.Write([]byte(`{"items":[{"metadata":{"name":"b"}}]}`))
					}
					return true
				})
			}, objects: 2, want: snapshot.Coverage{State: snapshot.Complete},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			s.hold(crdsPath, definition("Widget", stored))
			tc.set(s)
			o := options()
			o.CustomResources, o.Namespace, o.PageSize = true, tc.namespace, 500
			snap, _ := collected(t, s, o, crdKind)
			tc.want.ReadAt = moment
			if diff := cmp.Diff(tc.want, snap.CustomCoverage(widgetKind)); diff != "" {
				t.Errorf("coverage (-want +got):\n%s", diff)
			}
			if got := len(snap.CustomResources()); got != tc.objects {
				t.Errorf("%d objects, want %d", got, tc.objects)
			}
		})
	}
}

func TestOfVeryManyKindsSomeAreLeftOut(t *testing.T) {
	s := newAPIServer(t)
	for i := range maxCustomKinds + 1 {
		d := definition(fmt.Sprintf("Widget%03d", i), stored)
		s.hold(crdsPath, d)
		s.say("/apis/example.com/v1/"+d.Spec.Names.Plural, http.StatusOK, `{"items":[]}`)
	}
	o := options()
	o.CustomResources, o.PageSize = true, 1000
	snap, client := collected(t, s, o, crdKind)
	kinds := snap.CustomKinds()
	want := snapshot.Coverage{State: snapshot.NotCollected, Reason: "of 201 kinds of custom resources the first 200 are read"}
	if got := snap.CustomCoverage(kinds[len(kinds)-1]); got.State != want.State || got.Reason != want.Reason {
		t.Errorf("coverage of the last %+v, want %+v", got, want)
	}
	if got := client.Stats().Requests; got != 3+maxCustomKinds {
		t.Errorf("%d requests, want %d", got, 3+maxCustomKinds)
	}
}

func FuzzCustomPage(f *testing.F) {
	for _, seed := range []string{
		`{"metadata":{"continue":"x"},"items":[{"metadata":{"name":"a"},"status":{"observedGeneration":1,"conditions":[{"type":"Ready"}]}}]}`,
		`{"items":null}`, `{"items":[{"metadata":{"name":"a","labels":7}},{"status":[]},null]}`, `{"items":{}}`, `[]`, `{"items":[{"metadata":{"name":"a"},"status":{"parents":[{"parentRef":{"name":1}}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		l := &customListing{client: &Client{}, reading: customReading{kind: widgetKind}}
		_ = l.take(json.NewDecoder(bytes.NewReader(page)))
		for _, r := range l.reading.objects {
			if r.Name == "" || r.Kind != widgetKind {
				t.Errorf("%+v", r)
			}
		}
	})
}

func FuzzCountRows(f *testing.F) {
	f.Add([]byte(`{"kind":"Table","metadata":{"remainingItemCount":3},"rows":[{"cells":[1]},{}]}`))
	f.Add([]byte(`{"rows":null,"metadata":{"continue":"x"}}`))
	f.Add([]byte(`{"rows":[[`))
	f.Fuzz(func(_ *testing.T, table []byte) { _, _ = countRows(bytes.NewReader(table)) })
}
