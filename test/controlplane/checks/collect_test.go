package checks

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/collect/live"
	"github.com/maek-dev/maek/internal/snapshot"
)

// What users apply, and what a Kuberhealthy writes.
var stored = map[schema.GroupVersionResource]string{
	{Group: "comcast.github.io", Version: "v1", Resource: "khchecks"}: `
apiVersion: comcast.github.io/v1
kind: KuberhealthyCheck
metadata: {name: daemonset, namespace: default}
spec:
  runInterval: 15m
  timeout: 12m
  extraLabels: {team: platform}
  podSpec:
    containers:
    - name: main
      image: kuberhealthy/daemonset-check:v3.3.0
      env: [{name: TOKEN, value: hunter2hunter2}]
      resources: {requests: {cpu: 10m}}
`,
	{Group: "comcast.github.io", Version: "v1", Resource: "khjobs"}: `
apiVersion: comcast.github.io/v1
kind: KuberhealthyJob
metadata: {name: once, namespace: default}
spec:
  phase: Completed
  timeout: 2m
  podSpec: {containers: [{name: main, image: "kuberhealthy/test-check:v1.4.0"}]}
`,
	{Group: "comcast.github.io", Version: "v1", Resource: "khstates"}: `
apiVersion: comcast.github.io/v1
kind: KuberhealthyState
metadata: {name: daemonset, namespace: default}
spec:
  OK: false
  Errors: ["Check execution error: default/daemonset: timed out waiting for checker pod to report in"]
  RunDuration: 12m1.512278967s
  Namespace: default
  Node: w1
  LastRun: "2026-03-02T02:18:00Z"
  AuthoritativePod: kuberhealthy-5d9c7-abcde
  uuid: 7f0c9a52-1f3c-4a2d-9a0e-1b8c55d1c0aa
`,
	{Group: "kuberhealthy.github.io", Version: "v2", Resource: "healthchecks"}: `
apiVersion: kuberhealthy.github.io/v2
kind: HealthCheck
metadata: {name: deployment, namespace: default}
spec:
  runInterval: 5m
  timeout: 2m
  podSpec:
    spec:
      containers: [{name: main, image: "kuberhealthy/deployment-check:v3"}]
`,
	{Group: "maek.dev", Version: "v1alpha1", Resource: "checkrecords"}: `
apiVersion: maek.dev/v1alpha1
kind: CheckRecord
metadata: {name: daemonset, namespace: default}
check: {apiVersion: comcast.github.io/v1, kind: KuberhealthyCheck, name: daemonset, uid: u}
writer: maek-operator-0
writtenAt: "2026-03-02T02:18:01Z"
healthy: "False"
`,
}

// store puts the objects into the API server.
func store(t *testing.T) {
	t.Helper()
	client, err := dynamic.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	for resource, text := range stored {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Resource(resource).Namespace("default").Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
			t.Fatalf("creating %s: %v", resource.Resource, err)
		}
	}
	health := client.Resource(schema.GroupVersionResource{Group: "kuberhealthy.github.io", Version: "v2", Resource: "healthchecks"}).Namespace("default")
	u, err := health.Get(t.Context(), "deployment", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u.Object["status"] = map[string]any{"ok": false, "errors": []any{"503"}, "currentUUID": "", "lastRunUnix": int64(1772417700), "lastFailureUnix": int64(1772417701), "failureCount": int64(2)}
	if _, err := health.UpdateStatus(t.Context(), u, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestChecksOfEveryAPIAreRead(t *testing.T) {
	store(t)
	kinds := []snapshot.Kind{
		snapshot.KindOf[*corev1.Namespace](), snapshot.KindOf[*apiextensionsv1.CustomResourceDefinition](),
		snapshot.KindOf[*khv1.KuberhealthyCheck](), snapshot.KindOf[*khv1.KuberhealthyJob](), snapshot.KindOf[*khv1.KuberhealthyState](),
		snapshot.KindOf[*khv2.HealthCheck](), snapshot.KindOf[*v1alpha1.Check](), snapshot.KindOf[*v1alpha1.CheckRecord](),
	}
	s, _, err := live.Collect(t.Context(), admin, kinds, live.Options{Name: "test", Now: time.Now, CustomResources: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		if c := s.Coverage(k); c.State != snapshot.Complete {
			t.Errorf("%s: %+v", k, c)
		}
	}
	if got := s.CustomKinds(); len(got) > 0 {
		t.Errorf("read as custom resources too: %v", got)
	}
	check, _ := snapshot.Get[*khv1.KuberhealthyCheck](s, "default", "daemonset")
	state, _ := snapshot.Get[*khv1.KuberhealthyState](s, "default", "daemonset")
	job, _ := snapshot.Get[*khv1.KuberhealthyJob](s, "default", "once")
	healthCheck, _ := snapshot.Get[*khv2.HealthCheck](s, "default", "deployment")
	record, _ := snapshot.Get[*v1alpha1.CheckRecord](s, "default", "daemonset")
	if check == nil || state == nil || job == nil || healthCheck == nil || record == nil {
		t.Fatalf("check %v, state %v, job %v, health check %v, record %v", check, state, job, healthCheck, record)
	}
	if got, want := string(check.Spec.PodSpec.Raw), `{"containers":[{"name":"main","image":"kuberhealthy/daemonset-check:v3.3.0"}]}`; got != want {
		t.Errorf("template %s, want %s", got, want)
	}
	if state.Spec.OK || state.Spec.Node != "w1" || state.Spec.LastRun == nil || len(state.Spec.Errors) != 1 {
		t.Errorf("state %+v", state.Spec)
	}
	if job.Spec.Phase != khv1.JobCompleted || healthCheck.Status.LastFailureUnix != 1772417701 || healthCheck.Status.FailureCount != 2 || record.Healthy != "False" {
		t.Errorf("job %+v, health check %+v, record %+v", job.Spec, healthCheck.Status, record)
	}
}
