package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/rules"
)

// TestWhatInstallPrintsIsAllThatADiagnosisNeeds applies what install prints, and diagnoses as the
// ServiceAccount in it: with its role every kind is read, and without it nothing is.
func TestWhatInstallPrintsIsAllThatADiagnosisNeeds(t *testing.T) {
	kubeconfig := adminKubeconfig(t)
	// Other tests install into the default namespace.
	const namespace = "maek-alone"
	diagnose := []string{"--kubeconfig", kubeconfig, "--as", "system:serviceaccount:" + namespace + ":maek", "-o", "json"}

	if code, out := kubectlMaek(t, t.Context(), diagnose...); code != exit.Unknown {
		t.Fatalf("before anything is installed: exit code %d, want %d\n%s", code, exit.Unknown, out)
	}
	code, manifests := kubectlMaek(t, t.Context(), "install", "-n", namespace)
	if code != exit.OK {
		t.Fatalf("install: exit code %d", code)
	}
	apply(t, manifests)

	var got v1alpha1.Diagnosis
	until(t, "the binding counts", func(ctx context.Context) bool {
		code, out := kubectlMaek(t, ctx, diagnose...)
		got = v1alpha1.Diagnosis{}
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%v in:\n%s", err, out)
		}
		return code == exit.OK
	})
	if got.Verdict != v1alpha1.VerdictHealthy {
		t.Errorf("verdict %s, want Healthy", got.Verdict)
	}
	for _, s := range got.Skipped {
		if strings.Contains(s.Reason, "forbidden") {
			t.Errorf("%s: %s", s.Code, s.Reason)
		}
	}
}

func kubectlMaek(t *testing.T, ctx context.Context, args ...string) (exit.Code, string) { //nolint:revive // t comes first in helpers
	t.Helper()
	var out bytes.Buffer
	inv := &invocation.Invocation{
		Out: &out, ErrOut: t.Output(), Program: "kubectl maek", Version: "test",
		Now: time.Now, Getenv: func(string) string { return "" }, Location: time.UTC,
	}
	return cli.Run(ctx, inv, rules.All(), args), out.String()
}

// apply does what `kubectl apply --server-side -f -` does.
func apply(t *testing.T, manifests string) {
	t.Helper()
	client, err := dynamic.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(d)
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		var obj unstructured.Unstructured
		if err := decoder.Decode(&obj.Object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		kind := obj.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			t.Fatal(err)
		}
		var resource dynamic.ResourceInterface = client.Resource(mapping.Resource)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			resource = client.Resource(mapping.Resource).Namespace(obj.GetNamespace())
		}
		_, err = resource.Apply(t.Context(), obj.GetName(), &obj, metav1.ApplyOptions{FieldManager: "test", Force: true})
		if err != nil {
			t.Errorf("applying %s %s: %v", obj.GetKind(), obj.GetName(), err)
		}
	}
}
