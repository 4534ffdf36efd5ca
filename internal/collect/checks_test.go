package collect

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/snapshot"
)

func TestCleanLeavesNoSecretInChecks(t *testing.T) {
	const (
		password = "hunter2hunter2"
		run      = "7f0c9a52-1f3c-4a2d-9a0e-1b8c55d1c0aa"
	)
	said := "GET https://admin:" + password + "@db.example.com/: password=" + password + " refused"
	template, err := json.Marshal(corev1.PodSpec{Containers: []corev1.Container{{
		Name: "main", Image: "checker:v1", Args: []string{"--password", password}, Env: []corev1.EnvVar{{Name: "DB", Value: password}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	raw := runtime.RawExtension{Raw: template}
	meta := metav1.ObjectMeta{Name: "a", Namespace: "b", Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: password, "maek.dev/run-started": "2026-03-02T02:00:00Z"}}
	tests := map[string]snapshot.Object{
		"a check of version 2": &khv1.KuberhealthyCheck{ObjectMeta: meta, Spec: khv1.CheckSpec{PodSpec: raw, ExtraAnnotations: map[string]string{"x": password}}},
		"a job":                &khv1.KuberhealthyJob{ObjectMeta: meta, Spec: khv1.JobSpec{PodSpec: raw, ExtraLabels: map[string]string{"x": password}}},
		"a state":              &khv1.KuberhealthyState{ObjectMeta: meta, Spec: khv1.State{Errors: []string{said}, CurrentUUID: run}},
		"a check of version 3": &khv2.HealthCheck{
			ObjectMeta: meta, Spec: khv2.HealthCheckSpec{PodSpec: khv2.CheckPodSpec{Metadata: &khv2.CheckPodMetadata{Annotations: map[string]string{"x": password}}, Spec: raw}},
			Status: khv2.HealthCheckStatus{Errors: []string{said}, CurrentUUID: run, AdditionalMetadata: password},
		},
		"a check of Maek's own": &v1alpha1.Check{
			ObjectMeta: meta, Spec: v1alpha1.CheckSpec{CheckAction: v1alpha1.CheckAction{
				HTTPGet:   &corev1.HTTPGetAction{Path: "/?key=" + password, HTTPHeaders: []corev1.HTTPHeader{{Name: "Authorization", Value: password}}},
				Exec:      &corev1.ExecAction{Command: []string{"sh", "-c", "curl --password", password}},
				Synthetic: &v1alpha1.SyntheticAction{Scenario: "http", Parameters: map[string]v1alpha1.SyntheticParameter{"body": password}},
				PodTemplate: &corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"x": password}, Labels: map[string]string{"x": password}},
					Spec: corev1.PodSpec{
						InitContainers: []corev1.Container{{Name: "i", Args: []string{password}}},
						Containers:     []corev1.Container{{Name: "a", Env: []corev1.EnvVar{{Name: "DB", Value: password}}, Command: []string{"x", password}}},
					},
				},
			}, Target: &v1alpha1.CheckTarget{URL: "https://api.example.com/?x=" + password}, Expect: &v1alpha1.CheckExpectation{
				Matches: password, Headers: []v1alpha1.HeaderExpectation{{Name: "X-A", Equals: new(password)}},
			}},
			Status: v1alpha1.CheckStatus{
				Conditions: []metav1.Condition{{Type: "Healthy", Message: said}}, RecentFailures: []v1alpha1.CheckFailure{{Message: said}},
				Failing:      []v1alpha1.CheckFailure{{Message: said, Target: "https://api.example.com/?x=" + password}},
				Consequences: []v1alpha1.Consequence{{Message: said}},
			},
		},
		"a record": &v1alpha1.CheckRecord{ObjectMeta: meta, LastFailure: &v1alpha1.FailureRecord{
			CheckFailure: v1alpha1.CheckFailure{Message: said, Target: "https://api.example.com/?x=" + password}, LogTail: "starting\npassword=" + password + "\n",
		}},
		"a pod of version 2": &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"kuberhealthy-run-id": run, "app": "kuberhealthy-check"}}},
		"a pod of version 3": &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"kh-run-uuid": run, "healthcheck": "a"}, Annotations: map[string]string{"kh-run-uuid": run}}},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			Clean(o)
			once, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{password, run} {
				if strings.Contains(string(once), secret) {
					t.Errorf("%s is left in %s", secret, once)
				}
			}
			Clean(o)
			twice, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(once), string(twice)); diff != "" {
				t.Errorf("cleaning twice changes it (-once +twice):\n%s", diff)
			}
		})
	}
	state := &khv1.KuberhealthyState{Spec: khv1.State{Errors: []string{"no pod on node w2"}, CurrentUUID: run}}
	if Clean(state); state.Spec.Errors[0] != "no pod on node w2" || state.Spec.CurrentUUID == "" {
		t.Errorf("words without a secret became %q, and that there was a run %q", state.Spec.Errors, state.Spec.CurrentUUID)
	}
}
