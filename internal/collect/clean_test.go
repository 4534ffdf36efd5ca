package collect

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// leaky is a pod spec that holds a password everywhere where people put them.
func leaky() corev1.PodSpec {
	container := corev1.Container{
		Name: "api", Command: []string{"sh", "-c", "DB_PASSWORD=hunter2 exec api"},
		Args: []string{"--port", "80", "--db-password", "hunter2", "--token=hunter2", "--secret-name=db"},
		Env: []corev1.EnvVar{
			{Name: "PASSWORD", Value: "hunter2"},
			{Name: "EMPTY"},
			{Name: "REF", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		},
		LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: "/health?token=hunter2", HTTPHeaders: []corev1.HTTPHeader{{Name: "Authorization", Value: "Basic hunter2"}, {Name: "Host", Value: "api"}},
		}}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"redis-cli", "-u", "redis://:hunter2@localhost"}}}},
		Lifecycle:      &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"leave", "--token", "hunter2"}}}},
	}
	other := container.DeepCopy()
	third := container.DeepCopy()
	return corev1.PodSpec{
		InitContainers: []corev1.Container{container}, Containers: []corev1.Container{*other},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon(*third)}},
	}
}

func TestNoObjectKeepsACredential(t *testing.T) {
	template := corev1.PodTemplateSpec{Spec: leaky()}
	tests := map[string]snapshot.Object{
		"Pod":                   &corev1.Pod{Spec: leaky()},
		"ReplicationController": &corev1.ReplicationController{Spec: corev1.ReplicationControllerSpec{Template: template.DeepCopy()}},
		"PodTemplate":           &corev1.PodTemplate{Template: *template.DeepCopy()},
		"Deployment":            &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: *template.DeepCopy()}},
		"ReplicaSet":            &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Template: *template.DeepCopy()}},
		"StatefulSet":           &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Template: *template.DeepCopy()}},
		"DaemonSet":             &appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Template: *template.DeepCopy()}},
		"Job":                   &batchv1.Job{Spec: batchv1.JobSpec{Template: *template.DeepCopy()}},
		"CronJob":               &batchv1.CronJob{Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: *template.DeepCopy()}}}},
		"Secret":                &corev1.Secret{Data: map[string][]byte{"a": []byte("hunter2")}, StringData: map[string]string{"b": "hunter2"}},
		"ConfigMap":             &corev1.ConfigMap{Data: map[string]string{"a": "hunter2"}, BinaryData: map[string][]byte{"b": []byte("hunter2")}},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			Clean(o)
			data, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			if text := string(data); strings.Contains(text, "hunter2") || strings.Contains(text, "aHVudGVyMg") {
				t.Errorf("it holds the password: %s", text)
			}
			once, ok := o.DeepCopyObject().(snapshot.Object)
			if !ok {
				t.Fatalf("%T is no object", o)
			}
			Clean(o)
			if diff := cmp.Diff(once, o); diff != "" {
				t.Errorf("cleaning it again changes it (-once +twice):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoCredentialStays(t *testing.T) {
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: leaky()}}}
	Clean(d)
	c := d.Spec.Template.Spec.Containers[0]
	want := []string{"--port", "80", "--db-password", Blot, "--token=" + Blot, "--secret-name=" + Blot}
	if diff := cmp.Diff(want, c.Args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if h := c.LivenessProbe.HTTPGet.HTTPHeaders[1]; h.Value != "api" {
		t.Errorf("header %+v", h)
	}
	if c.Env[1].Value != "" || c.Env[2].ValueFrom == nil {
		t.Errorf("environment %+v", c.Env)
	}
}

func TestAChangedValueCanStillBeTold(t *testing.T) {
	if a, b := fingerprint("hunter2"), fingerprint("hunter3"); a == b || a != fingerprint("hunter2") {
		t.Errorf("%s and %s", a, b)
	}
}
