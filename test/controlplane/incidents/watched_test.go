package incidents

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/internal/collect/live"
	"github.com/maek-dev/maek/internal/collect/watched"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

// seen is what a snapshot holds of one kind.
type seen struct {
	Kind, Reason string
	State        snapshot.State
	Objects      []snapshot.Object
}

func TestAWatchedSnapshotIsAsALiveOne(t *testing.T) {
	c := clientOf(t, admin)
	widget := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "stuck", "namespace": "default"},
		"status":   map[string]any{"phase": "Failed", "observedGeneration": int64(1)},
	}}
	widget.SetGroupVersionKind(define(t, "Widget"))
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "plain", Annotations: map[string]string{"example.com/password": "hunter2"}},
		StringData: map[string]string{"password": "hunter2"},
	}
	for _, o := range []client.Object{secret, widget} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Delete(context.WithoutCancel(t.Context()), o); err != nil {
				t.Error(err)
			}
		})
	}
	sickNode(t, c, "compared", "kubelet has disk pressure")
	w := watch(t)
	eventually(t, "waiting until all is read", func(context.Context) (bool, error) { return w.Ready(), nil })

	// Leases are renewed all the time, so that it is looked until both see the same.
	kinds := rule.Kinds(rules.All())
	difference := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("a live one (-) and a watched one (+):\n%s", difference)
		}
	})
	eventually(t, "comparing", func(ctx context.Context) (bool, error) {
		direct, _, err := live.Collect(ctx, admin, kinds, live.Options{Name: "test", Now: time.Now, CustomResources: true})
		if err != nil {
			return false, err
		}
		s := w.Snapshot()
		difference = cmp.Diff(allOf(direct, kinds), allOf(s, kinds), cmpopts.IgnoreFields(metav1.TypeMeta{}, "Kind", "APIVersion"), cmpopts.EquateEmpty()) +
			cmp.Diff(direct.CustomResources(), s.CustomResources()) +
			cmp.Diff(found(ctx, direct), found(ctx, s))
		return difference == "" && len(s.CustomResources()) > 0, nil
	})
	if f := found(t.Context(), w.Snapshot()); !slices.ContainsFunc(f, func(text string) bool { return strings.Contains(text, "NodeDiskPressure") }) {
		t.Errorf("both found the same, and not what is there: %v", f)
	}
}

// watch watches all that rules need until the test ends.
func watch(t *testing.T) *watched.Watcher {
	t.Helper()
	log := &testLog{}
	w, err := watched.New(admin, rule.Kinds(rules.All()), watched.Options{
		Name: "test", CustomResources: true, Program: "test", Log: slog.New(slog.NewTextHandler(log, nil)), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if text := log.String(); strings.Contains(text, "level=WARN") {
			t.Errorf("of a cluster with which all is well it was logged:\n%s", text)
		}
	})
	return w
}

// define defines a kind of custom resources for as long as the API server runs.
func define(t *testing.T, kind string) schema.GroupVersionKind {
	t.Helper()
	gvk := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: kind}
	plural := strings.ToLower(kind) + "s"
	o := envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{{
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + gvk.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: gvk.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Singular: strings.ToLower(kind), Kind: kind, ListKind: kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: gvk.Version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}},
			}},
		},
	}}}
	if _, err := envtest.InstallCRDs(admin, o); err != nil {
		t.Fatal(err)
	}
	return gvk
}

// allOf is what a snapshot holds.
func allOf(s *snapshot.Snapshot, kinds []snapshot.Kind) []seen {
	var out []seen
	for _, k := range kinds {
		c := s.Coverage(k)
		of := seen{Kind: k.GroupResource(), State: c.State, Reason: c.Reason}
		s.Each(k, func(o snapshot.Object) { of.Objects = append(of.Objects, o) })
		out = append(out, of)
	}
	for _, k := range s.CustomKinds() {
		c := s.CustomCoverage(k)
		out = append(out, seen{Kind: k.GroupResource(), State: c.State, Reason: c.Reason})
	}
	return out
}

// found is what rules find in a snapshot without asking anything, and what they could not check.
func found(ctx context.Context, s *snapshot.Snapshot) []string {
	var out []string
	res := rule.Evaluate(ctx, s, rules.All(), nil, rule.DefaultBudget)
	for _, f := range res.Findings {
		out = append(out, fmt.Sprint("found ", f.Code, f.Subject, f.Severity, f.Since))
	}
	for _, skip := range res.Skips {
		out = append(out, fmt.Sprint("skipped ", skip.Code, skip.Reason))
	}
	slices.Sort(out)
	return out
}
