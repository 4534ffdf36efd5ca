package controlplane

import (
	"context"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/maek-dev/maek/internal/collect/live"
	"github.com/maek-dev/maek/internal/snapshot"
)

// listable are the kinds that a snapshot can hold and an API server lists.
func listable() []snapshot.Kind {
	var out []snapshot.Kind
	for gvk := range snapshot.Scheme.AllKnownTypes() {
		k, ok := snapshot.KindFor(gvk)
		if !ok || gvk.Version == "__internal" || !snapshot.Scheme.Recognizes(gvk.GroupVersion().WithKind(gvk.Kind+"List")) {
			continue
		}
		if _, isObject := newObject(gvk).(snapshot.Object); isObject {
			out = append(out, k)
		}
	}
	return out
}

func newObject(gvk schema.GroupVersionKind) any {
	o, err := snapshot.Scheme.New(gvk)
	if err != nil {
		return nil
	}
	return o
}

func TestEveryKindThatASnapshotHoldsCanBeListed(t *testing.T) {
	kinds := listable()
	s, client, err := live.Collect(t.Context(), admin, kinds, live.Options{Name: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		if c := s.Coverage(k); c.State != snapshot.Complete && c.State != snapshot.NotServed {
			t.Errorf("%s: %+v", k, c)
		}
	}
	for _, k := range []string{"customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io", "flowschemas.flowcontrol.apiserver.k8s.io", "roles.rbac.authorization.k8s.io"} {
		found := false
		for _, known := range kinds {
			found = found || known.GroupResource() == k && s.Len(known) > 0
		}
		if !found {
			t.Errorf("no %s was read, and every API server has some", k)
		}
	}
	t.Logf("%d kinds, %+v", len(kinds), client.Stats())
}

// TestCustomResourcesOfARealAPIServer defines a kind with a conversion webhook that nobody serves: what
// is stored in the stored version is read without it, and what is not cannot be.
func TestCustomResourcesOfARealAPIServer(t *testing.T) {
	client, err := dynamic.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	definitions := client.Resource(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"))
	version := func(name string, storage bool) map[string]any {
		return map[string]any{
			"name": name, "served": true, "storage": storage, "subresources": map[string]any{"status": map[string]any{}},
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
		}
	}
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "widgets.example.com"},
		"spec": map[string]any{
			"group": "example.com", "scope": "Namespaced", "versions": []any{version("v1", true), version("v1alpha1", false)},
			"names": map[string]any{"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
		},
	}}
	if _, err := definitions.Create(t.Context(), definition, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := definitions.Delete(context.WithoutCancel(t.Context()), definition.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	widgets := client.Resource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"}).Namespace("default")
	until(t, "widgets are served", func(ctx context.Context) bool {
		_, err := widgets.List(ctx, metav1.ListOptions{})
		return err == nil
	})
	widget := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": "a"}, "spec": map[string]any{"password": "hunter2"},
	}}
	made, err := widgets.Create(t.Context(), widget, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made.Object["status"] = map[string]any{"observedGeneration": int64(1), "conditions": []any{
		map[string]any{"type": "Ready", "status": "False", "reason": "No", "message": "cannot", "lastTransitionTime": "2026-03-02T02:00:00Z"},
	}}
	if _, err := widgets.UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	kind := snapshot.Kind{Group: "example.com", Version: "v1", Kind: "Widget", Resource: "widgets"}
	read := func() *snapshot.Snapshot {
		s, _, err := live.Collect(t.Context(), admin, []snapshot.Kind{snapshot.KindOf[*apiextensionsv1.CustomResourceDefinition]()},
			live.Options{Name: "test", Now: time.Now, CustomResources: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := read()
	if c := s.CustomCoverage(kind); c.State != snapshot.Complete {
		t.Errorf("coverage %+v", c)
	}
	found := false
	for _, r := range s.CustomResources() {
		if r.Kind == kind && r.Name == "a" {
			found = len(r.Conditions) == 1 && r.Conditions[0].Reason == "No" && r.ObservedGeneration != nil && len(r.ManagedFields) > 0
		}
	}
	if !found {
		t.Errorf("the widget is not among %+v", s.CustomResources())
	}

	// Now v1alpha1 is the stored version, a is still stored as v1, and nobody converts it.
	moved, err := definitions.Get(t.Context(), definition.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec, ok := moved.Object["spec"].(map[string]any)
	if !ok {
		t.Fatal("the definition has no spec")
	}
	spec["versions"] = []any{version("v1", false), version("v1alpha1", true)}
	spec["conversion"] = map[string]any{"strategy": "Webhook", "webhook": map[string]any{
		"conversionReviewVersions": []any{"v1"}, "clientConfig": map[string]any{"url": "https://127.0.0.1:9/convert"},
	}}
	if _, err := definitions.Update(t.Context(), moved, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	kind.Version = "v1alpha1"
	until(t, "the conversion webhook is asked in vain", func(context.Context) bool {
		c := read().CustomCoverage(kind)
		return c.State == snapshot.Failed && strings.HasPrefix(c.Reason, "conversion webhook for example.com/v1, Kind=Widget failed: ")
	})
}
