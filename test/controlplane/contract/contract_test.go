package contract

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/kuberhealthy"
)

var (
	start    = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	aRun     = kuberhealthy.Run{ID: "8b5d7c4e-6a9f-4c1d-9d0e-2f3a4b5c6d7e", Started: start}
	settings = kuberhealthy.PodSettings{
		ReportingURLV2: "http://kuberhealthy.maek-system.svc.cluster.local/externalCheckStatus",
		ReportingURLV3: "http://kuberhealthy.maek-system.svc.cluster.local/check",
	}
)

// namespace makes a namespace of the test's own.
func namespace(t *testing.T) string {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "contract-"}}
	if err := cluster.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	return object.Name
}

// TestDocumentedManifests applies each manifest as kubectl does, with strict validation, and makes the pod
// of a run of it. Two of Kuberhealthy's own have no containers that could run.
func TestDocumentedManifests(t *testing.T) {
	paths, err := filepath.Glob("../../../internal/kuberhealthy/testdata/pods/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d fixtures, %v", len(paths), err)
	}
	pods := 0
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal(archive.Files[0].Data, object); err != nil {
				t.Fatal(err)
			}
			object.SetNamespace(namespace(t))
			if err := cluster.Create(t.Context(), object, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
				t.Fatalf("the manifest is refused: %v", err)
			}
			pod, err := kuberhealthy.Pod(checkOf(t, object), aRun, settings)
			if err != nil {
				if !strings.Contains(string(archive.Files[1].Data), "# ") {
					t.Error(err)
				}
				return
			}
			if err := cluster.Create(t.Context(), pod, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
				t.Errorf("the pod is refused: %v", err)
			}
			pods++
		})
	}
	if pods < len(paths)-2 {
		t.Errorf("%d pods of %d manifests", pods, len(paths))
	}
}

// checkOf reads the check that the API server has, with its defaults and its UID.
func checkOf(t *testing.T, object *unstructured.Unstructured) kuberhealthy.Check {
	t.Helper()
	key := client.ObjectKeyFromObject(object)
	get := func(into client.Object) {
		if err := cluster.Get(t.Context(), key, into); err != nil {
			t.Fatal(err)
		}
	}
	switch object.GetKind() {
	case kuberhealthy.KindCheck:
		var check khv1.KuberhealthyCheck
		get(&check)
		return kuberhealthy.FromCheck(&check)
	case kuberhealthy.KindJob:
		var job khv1.KuberhealthyJob
		get(&job)
		return kuberhealthy.FromJob(&job)
	}
	var healthCheck khv2.HealthCheck
	get(&healthCheck)
	return kuberhealthy.FromHealthCheck(&healthCheck)
}

const spec = `{"containers":[{"name":"main","image":"example.com/x:1"}]}`

// TestLongNames makes pods of checks whose names are as long as names may be.
func TestLongNames(t *testing.T) {
	ns := namespace(t)
	for _, name := range []string{strings.Repeat("a", 253), strings.Repeat("a.", 126) + "a", strings.Repeat("b", 64)} {
		for _, kind := range []client.Object{
			&khv1.KuberhealthyCheck{Spec: khv1.CheckSpec{PodSpec: runtime.RawExtension{Raw: []byte(spec)}}},
			&khv2.HealthCheck{Spec: khv2.HealthCheckSpec{PodSpec: khv2.CheckPodSpec{Spec: runtime.RawExtension{Raw: []byte(spec)}}}},
		} {
			kind.SetNamespace(ns)
			kind.SetName(name)
			if err := cluster.Create(t.Context(), kind); err != nil {
				t.Fatal(err)
			}
			var check kuberhealthy.Check
			switch object := kind.(type) {
			case *khv1.KuberhealthyCheck:
				check = kuberhealthy.FromCheck(object)
			case *khv2.HealthCheck:
				check = kuberhealthy.FromHealthCheck(object)
			}
			pod, err := kuberhealthy.Pod(check, aRun, settings)
			if err != nil {
				t.Fatal(err)
			}
			if err := cluster.Create(t.Context(), pod); err != nil {
				t.Errorf("%s of %d characters: %v", check.Kind, len(name), err)
			}
		}
	}
}

// TestWhatIsRecordedIsKept writes the states of three runs and reads each back. What a HealthCheck has no
// place for is not compared, and neither is what Kuberhealthy's own definition does not keep.
func TestWhatIsRecordedIsKept(t *testing.T) {
	ns := namespace(t)
	healthCheck := &khv2.HealthCheck{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "cart"},
		Spec:       khv2.HealthCheckSpec{PodSpec: khv2.CheckPodSpec{Spec: runtime.RawExtension{Raw: []byte(spec)}}},
	}
	if err := cluster.Create(t.Context(), healthCheck); err != nil {
		t.Fatal(err)
	}
	v3 := kuberhealthy.FromHealthCheck(healthCheck)
	v2 := v3
	v2.API, v2.Kind = kuberhealthy.V2, kuberhealthy.KindCheck
	var object *khv1.KuberhealthyState

	// step records a state in both versions, and returns what each has of it.
	step := func(name string, s2, s3 kuberhealthy.State) (kuberhealthy.State, kuberhealthy.State) {
		t.Helper()
		next := s2.ToV2(v2, object)
		var err error
		if object == nil {
			err = cluster.Create(t.Context(), next)
		} else {
			err = cluster.Update(t.Context(), next)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		object = next
		read2 := &khv1.KuberhealthyState{}
		if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(object), read2); err != nil {
			t.Fatal(err)
		}
		got2 := kuberhealthy.StateOfV2(read2, v2.UID)
		if diff := cmp.Diff(s2, got2); diff != "" {
			t.Errorf("%s, KuberhealthyState (-recorded +read):\n%s", name, diff)
		}
		written := s3.ToV3(healthCheck)
		if err := cluster.Status().Update(t.Context(), written); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(written), healthCheck); err != nil {
			t.Fatal(err)
		}
		got3 := kuberhealthy.StateOfV3(healthCheck)
		if diff := cmp.Diff(s3, got3, cmpopts.IgnoreFields(kuberhealthy.State{}, "Node", "Writer", "ConsecutiveFailures")); diff != "" {
			t.Errorf("%s, HealthCheck (-recorded +read):\n%s", name, diff)
		}
		return got2, got3
	}
	s2, s3 := kuberhealthy.State{}, kuberhealthy.State{}
	at := start
	for i := range 3 {
		run := kuberhealthy.Run{ID: fmt.Sprintf("run-%d", i), Started: at}
		begun2, begun3 := s2.Begun(run), s3.Begun(run)
		if i > 0 {
			// While a run goes on, the end of the one before is known to the second.
			begun2.EndedAt = begun2.EndedAt.Truncate(time.Second)
		}
		s2, s3 = step(run.ID+" begun", begun2, begun3)
		end := kuberhealthy.End{At: at.Add(2 * time.Second), Node: "n1", Writer: "maek-operator-a"}
		report := kuberhealthy.Report{OK: i == 1, Errors: []string{"\"a\" \\ b\nc \u00e9"}}
		if report.OK {
			report.Errors = nil
		}
		s2, s3 = step(run.ID+" ended", s2.Reported(v2, report, end), s3.Reported(v3, report, end))
		at = at.Add(time.Minute)
	}
	if s3.Successes != 1 || s3.Failures != 2 || s3.ConsecutiveFailures != 1 {
		t.Errorf("counts: %+v", s3)
	}
}

// TestFieldsOfTheFuture creates a pod with fields that the server does not know. They are its business.
func TestFieldsOfTheFuture(t *testing.T) {
	check := kuberhealthy.Check{
		API: kuberhealthy.V3, Kind: kuberhealthy.KindHealthCheck, UID: "u", Timeout: time.Minute,
		PodSpec: []byte(`{"containers":[{"name":"main","image":"i","inventedIn":"1.50"}],"alsoInvented":{"n":1}}`),
	}
	check.Namespace, check.Name = namespace(t), "cart"
	pod, err := kuberhealthy.Pod(check, aRun, settings)
	if err != nil {
		t.Fatal(err)
	}
	strict := cluster.Create(t.Context(), pod.DeepCopy(), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
	for _, field := range []string{"inventedIn", "alsoInvented"} {
		if strict == nil || !strings.Contains(strict.Error(), field) {
			t.Errorf("%s has not reached the API server: %v", field, strict)
		}
	}
	if err := cluster.Create(t.Context(), pod); err != nil {
		t.Error(err)
	}
}
