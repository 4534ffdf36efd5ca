package collect

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/internal/secret"
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

// said is a message that tells a password, as a log or a probe's output does.
const said = "cannot log in with password=hunter2 to postgres://app:hunter2@db/shop"

// leakyStatus is a pod's status that tells a password wherever free text can stand.
func leakyStatus() corev1.PodStatus {
	container := func(name string) []corev1.ContainerStatus {
		return []corev1.ContainerStatus{{
			Name:                 name,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: said}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: said}},
		}, {
			Name:  name + "-done",
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: said}},
		}}
	}
	return corev1.PodStatus{
		Message: said, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Message: said}},
		InitContainerStatuses: container("init"), ContainerStatuses: container("api"), EphemeralContainerStatuses: container("debug"),
	}
}

func TestNoObjectKeepsACredential(t *testing.T) {
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"vault/template": "hunter2"}}, Spec: leaky()}
	conditions := []metav1.Condition{{Type: "Ready", Message: said}}
	tests := map[string]snapshot.Object{
		"Pod":                     &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"deploy.kapp.k14s.io/original": "hunter2"}}, Spec: leaky(), Status: leakyStatus()},
		"Event":                   &corev1.Event{Message: said},
		"Node":                    &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: "KernelDeadlock", Message: said}}}},
		"Namespace":               &corev1.Namespace{Status: corev1.NamespaceStatus{Conditions: []corev1.NamespaceCondition{{Message: said}}}},
		"PersistentVolume":        &corev1.PersistentVolume{Status: corev1.PersistentVolumeStatus{Message: said}},
		"PersistentVolumeClaim":   &corev1.PersistentVolumeClaim{Status: corev1.PersistentVolumeClaimStatus{Conditions: []corev1.PersistentVolumeClaimCondition{{Message: said}}}},
		"Service":                 &corev1.Service{Status: corev1.ServiceStatus{Conditions: slices.Clone(conditions)}},
		"ServiceCIDR":             &networkingv1.ServiceCIDR{Status: networkingv1.ServiceCIDRStatus{Conditions: slices.Clone(conditions)}},
		"PodDisruptionBudget":     &policyv1.PodDisruptionBudget{Status: policyv1.PodDisruptionBudgetStatus{Conditions: slices.Clone(conditions)}},
		"HorizontalPodAutoscaler": &autoscalingv2.HorizontalPodAutoscaler{Status: autoscalingv2.HorizontalPodAutoscalerStatus{Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{{Message: said}}}},
		"VolumeAttachment": &storagev1.VolumeAttachment{Status: storagev1.VolumeAttachmentStatus{
			AttachError: &storagev1.VolumeError{Message: said}, DetachError: &storagev1.VolumeError{Message: said},
		}},
		"a Deployment's condition":            &appsv1.Deployment{Status: appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{{Message: said}}}},
		"a ReplicaSet's condition":            &appsv1.ReplicaSet{Status: appsv1.ReplicaSetStatus{Conditions: []appsv1.ReplicaSetCondition{{Message: said}}}},
		"a StatefulSet's condition":           &appsv1.StatefulSet{Status: appsv1.StatefulSetStatus{Conditions: []appsv1.StatefulSetCondition{{Message: said}}}},
		"a DaemonSet's condition":             &appsv1.DaemonSet{Status: appsv1.DaemonSetStatus{Conditions: []appsv1.DaemonSetCondition{{Message: said}}}},
		"a ReplicationController's condition": &corev1.ReplicationController{Status: corev1.ReplicationControllerStatus{Conditions: []corev1.ReplicationControllerCondition{{Message: said}}}},
		"a Job's condition":                   &batchv1.Job{Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Message: said}}}},
		"ControllerRevision":                  &appsv1.ControllerRevision{Data: runtime.RawExtension{Raw: []byte(`{"password":"hunter2"}`)}},
		"ReplicationController":               &corev1.ReplicationController{Spec: corev1.ReplicationControllerSpec{Template: template.DeepCopy()}},
		"PodTemplate":                         &corev1.PodTemplate{Template: *template.DeepCopy()},
		"Deployment":                          &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: *template.DeepCopy()}},
		"ReplicaSet":                          &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Template: *template.DeepCopy()}},
		"StatefulSet":                         &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Template: *template.DeepCopy()}},
		"DaemonSet":                           &appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Template: *template.DeepCopy()}},
		"Job":                                 &batchv1.Job{Spec: batchv1.JobSpec{Template: *template.DeepCopy()}},
		"CronJob":                             &batchv1.CronJob{Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: *template.DeepCopy()}}}},
		"Secret":                              &corev1.Secret{Data: map[string][]byte{"a": []byte("hunter2")}, StringData: map[string]string{"b": "hunter2"}},
		"ConfigMap":                           &corev1.ConfigMap{Data: map[string]string{"a": "hunter2"}, BinaryData: map[string][]byte{"b": []byte("hunter2")}},
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

func TestMessagesStillSayWhatWentWrong(t *testing.T) {
	messages := map[string]string{
		"a key that is missing":          "couldn't find key DB_PASSWORD in Secret shop/db-credentials",
		"a Secret that is missing":       `MountVolume.SetUp failed for volume "db-password" : secret "db-password" not found`,
		"a registry that refuses":        `failed to pull and unpack image "registry.example.com:5000/shop/token-api:1.2@sha256:abc": failed to authorize: failed to fetch anonymous token: Get "https://auth.docker.io/token?scope=repository%3Ashop%2Fapi%3Apull&service=registry.docker.io": 401 Unauthorized`,
		"a registry over plain HTTP":     `failed to do request: Head "https://10.0.0.1:5000/v2/shop/api/manifests/1.2": http: server gave HTTP response to HTTPS client`,
		"a container that backs off":     "back-off 5m0s restarting failed container=token-service pod=secret-store-0_shop(4d1c)",
		"a quota":                        `pods "web-1" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=10, limited: pods=10`,
		"a scheduler's refusal":          "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available",
		"a certificate that ran out":     "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
		"a webhook that does not answer": `Internal error occurred: failed calling webhook "v.example.com": failed to call webhook: Post "https://hook.shop.svc:443/validate?timeout=10s": dial tcp 10.96.0.7:443: connect: connection refused`,
		"a probe":                        "Liveness probe failed: HTTP probe failed with statuscode: 500",
		"a token that ran out":           "invalid bearer token, token: expired",
	}
	for name, message := range messages {
		t.Run(name, func(t *testing.T) {
			e := &corev1.Event{Message: message}
			p := &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Message: message}},
			}}}}
			Clean(e)
			Clean(p)
			if e.Message != message {
				t.Errorf("the Event says %q", e.Message)
			}
			if got := p.Status.ContainerStatuses[0].State.Waiting.Message; got != message {
				t.Errorf("the pod says %q", got)
			}
		})
	}
}

func TestATemplateKeepsWhenItWasRestarted(t *testing.T) {
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{
		Annotations: map[string]string{restartedAt: "2026-03-02T02:00:00Z", "checksum/config": "abc"},
	}}}}
	Clean(d)
	want := map[string]string{restartedAt: "2026-03-02T02:00:00Z", "checksum/config": fingerprint("abc")}
	if diff := cmp.Diff(want, d.Spec.Template.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestWhatIsNoCredentialStays(t *testing.T) {
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: leaky()}}}
	Clean(d)
	c := d.Spec.Template.Spec.Containers[0]
	want := []string{"--port", "80", "--db-password", secret.Blot, "--token=" + secret.Blot, "--secret-name=" + secret.Blot}
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
