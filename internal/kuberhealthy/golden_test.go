package kuberhealthy_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/kuberhealthy"
)

var update = flag.Bool("update", false, "rewrite the want.yaml of every fixture")

var (
	run      = kuberhealthy.Run{ID: "8b5d7c4e-6a9f-4c1d-9d0e-2f3a4b5c6d7e", Started: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)}
	settings = kuberhealthy.PodSettings{
		ReportingURLV2: "http://kuberhealthy.kuberhealthy.svc.cluster.local/externalCheckStatus",
		ReportingURLV3: "http://kuberhealthy.kuberhealthy.svc.cluster.local/check",
	}
)

// TestPodsOfDocumentedManifests makes the pods of the manifests that Kuberhealthy's repository shows its
// users, as strictly as an API server with Maek's definitions takes them.
func TestPodsOfDocumentedManifests(t *testing.T) {
	paths, err := filepath.Glob("testdata/pods/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 40 {
		t.Fatalf("found %d fixtures", len(paths))
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := rendered(t, checkOf(t, archive.Files[0].Data))
			if *update {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("pod (-want +got):\n%s", diff)
			}
		})
	}
}

// rendered is the pod of a run of a check, with the check's warnings as comments before it.
func rendered(t *testing.T, check kuberhealthy.Check) string {
	t.Helper()
	var text strings.Builder
	for _, warning := range check.Warnings {
		text.WriteString("# " + warning + "\n")
	}
	pod, err := kuberhealthy.Pod(check, run, settings)
	if err != nil {
		return text.String() + "# " + err.Error() + "\n"
	}
	body, err := yaml.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	// What is sent must be a pod, whoever reads it.
	var typed corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(pod.Object, &typed); err != nil {
		t.Errorf("the pod is none: %v", err)
	}
	if why := validation.IsDNS1123Subdomain(typed.Name); len(why) > 0 || len(typed.Name) > 63 {
		t.Errorf("name %s: %v", typed.Name, why)
	}
	for key, value := range typed.Labels {
		if why := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(why) > 0 {
			t.Errorf("label %s=%s: %v", key, value, why)
		}
	}
	return text.String() + string(body)
}

// checkOf decodes a manifest strictly, and gives it what the API server gives.
func checkOf(t *testing.T, manifest []byte) kuberhealthy.Check {
	t.Helper()
	var kind struct{ Kind string }
	if err := yaml.Unmarshal(manifest, &kind); err != nil {
		t.Fatal(err)
	}
	decode := func(into any) {
		if err := yaml.UnmarshalStrict(manifest, into); err != nil {
			t.Errorf("an API server would refuse it: %v", err)
		}
	}
	var check kuberhealthy.Check
	switch kind.Kind {
	case kuberhealthy.KindCheck:
		var object khv1.KuberhealthyCheck
		decode(&object)
		check = kuberhealthy.FromCheck(&object)
	case kuberhealthy.KindJob:
		var object khv1.KuberhealthyJob
		decode(&object)
		check = kuberhealthy.FromJob(&object)
	case kuberhealthy.KindHealthCheck:
		var object khv2.HealthCheck
		decode(&object)
		check = kuberhealthy.FromHealthCheck(&object)
	default:
		t.Fatalf("kind %q", kind.Kind)
	}
	if check.Namespace == "" {
		check.Namespace = "default"
	}
	check.UID = "5f0c1a2b-3d4e-4f60-8a7b-9c0d1e2f3a4b"
	return check
}
