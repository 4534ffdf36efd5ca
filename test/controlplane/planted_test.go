package controlplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// plantedMeta carries the canary in an annotation that nothing reads, and in Maek's own.
func plantedMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{
		"kubectl.kubernetes.io/last-applied-configuration": canary, "maek.dev/ignore": "PodNotReady,reason=password=" + canary,
	}}
}

// plantedTemplate is a pod template with the canary where templates of controllers can hold one.
func plantedTemplate(restart corev1.RestartPolicy) corev1.PodTemplateSpec {
	run := &corev1.ExecAction{Command: []string{"curl", "-u", "elastic:" + canary, "http://localhost:9200"}}
	get := &corev1.HTTPGetAction{Path: "/stop?of=" + canary, Port: intstr.FromInt32(80), HTTPHeaders: []corev1.HTTPHeader{{Name: "X-Shop", Value: canary}}}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "planted"}, Annotations: map[string]string{"checksum/config": canary}},
		Spec: corev1.PodSpec{
			RestartPolicy: restart,
			Volumes: []corev1.Volume{
				{Name: "repository", VolumeSource: corev1.VolumeSource{GitRepo: &corev1.GitRepoVolumeSource{Repository: "https://" + canary + "@git.example.com/shop.git"}}},
				{Name: "flex", VolumeSource: corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{Driver: "example.com/flex", Options: map[string]string{"key": canary}}}},
			},
			InitContainers: []corev1.Container{{Name: "first", Image: "example.com/api:1", Command: []string{"sh", "-c", "redis-cli -a " + canary + " ping"}}},
			Containers: []corev1.Container{{
				Name: "api", Image: "example.com/api:1", Command: []string{"api", "--token"}, Args: []string{canary, "--dsn=app:" + canary + "@tcp(db)/shop"},
				Env:       []corev1.EnvVar{{Name: "DATABASE_URL", Value: "postgres://app:" + canary + "@db/shop"}, {Name: "LICENSE", Value: canary}},
				Lifecycle: &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: run}, PreStop: &corev1.LifecycleHandler{HTTPGet: get}},
			}},
		},
	}
}

// planted are objects of other kinds than those of troubled that hold the canary.
func planted(t *testing.T) []client.Object {
	t.Helper()
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "planted"}}
	meta := func(name string) metav1.ObjectMeta { return plantedMeta("default", name) }
	always, never := plantedTemplate(corev1.RestartPolicyAlways), plantedTemplate(corev1.RestartPolicyNever)
	none, ignore := admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.Ignore
	jobs := []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{"example.com"}, APIVersions: []string{"v1"}, Resources: []string{"nothings"}},
	}}
	pod := &corev1.Pod{ObjectMeta: meta("planted"), Spec: plantedTemplate(corev1.RestartPolicyAlways).Spec}
	return []client.Object{
		pod,
		&corev1.Namespace{ObjectMeta: plantedMeta("", "planted")},
		&corev1.Node{ObjectMeta: plantedMeta("", "planted")},
		&corev1.ServiceAccount{ObjectMeta: meta("planted"), Secrets: []corev1.ObjectReference{{Name: "db"}}},
		&corev1.ReplicationController{ObjectMeta: meta("planted"), Spec: corev1.ReplicationControllerSpec{Selector: selector.MatchLabels, Template: &always}},
		&corev1.PodTemplate{ObjectMeta: meta("planted"), Template: always},
		&appsv1.ReplicaSet{ObjectMeta: meta("planted"), Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: always}},
		&appsv1.StatefulSet{ObjectMeta: meta("planted"), Spec: appsv1.StatefulSetSpec{Selector: selector, Template: always, VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
			ObjectMeta: plantedMeta("", "data"), Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		}}}},
		&appsv1.DaemonSet{ObjectMeta: meta("planted"), Spec: appsv1.DaemonSetSpec{Selector: selector, Template: always}},
		&appsv1.ControllerRevision{ObjectMeta: meta("planted"), Data: runtime.RawExtension{Raw: []byte(`{"spec":{"template":{"env":"` + canary + `"}}}`)}},
		&batchv1.Job{ObjectMeta: meta("planted"), Spec: batchv1.JobSpec{Template: never}},
		&batchv1.CronJob{ObjectMeta: meta("planted"), Spec: batchv1.CronJobSpec{Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{
			ObjectMeta: plantedMeta("", ""), Spec: batchv1.JobSpec{Template: never},
		}}},
		&autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: meta("planted"), Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			MaxReplicas: 2, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "planted"},
		}},
		&policyv1.PodDisruptionBudget{ObjectMeta: meta("planted"), Spec: policyv1.PodDisruptionBudgetSpec{Selector: selector, MinAvailable: new(intstr.FromInt32(1))}},
		&storagev1.VolumeAttachment{ObjectMeta: plantedMeta("", "planted"), Spec: storagev1.VolumeAttachmentSpec{
			Attacher: "csi.example.com", NodeName: "planted", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: new("troubled")},
		}},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: plantedMeta("", "planted"), Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "v.example.com", ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: new("https://hook.example.com/x")},
			SideEffects: &none, FailurePolicy: &ignore, AdmissionReviewVersions: []string{"v1"}, Rules: jobs,
		}}},
		&certificatesv1.CertificateSigningRequest{ObjectMeta: plantedMeta("", "planted"), Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: "example.com/signer", Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature}, Request: plantedRequest(t),
			Extra: map[string]certificatesv1.ExtraValue{"example.com/credential": {canary}},
		}},
		plantedDefinition(),
	}
}

// plantedRequest is a request for a certificate with a password in it.
func plantedRequest(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Attributes: []pkix.AttributeTypeAndValueSET{{
		Type:  asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7},
		Value: [][]pkix.AttributeTypeAndValue{{{Type: asn1.ObjectIdentifier{1, 2, 3}, Value: canary}}},
	}}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// plantedDefinition defines Nests, whose schema holds the canary.
func plantedDefinition() client.Object {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "nests.planted.example.com", "annotations": map[string]any{"example.com/copy": canary}},
		"spec": map[string]any{
			"group": "planted.example.com", "scope": "Namespaced",
			"names": map[string]any{"kind": "Nest", "plural": "nests", "singular": "nest", "listKind": "NestList"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{
					"type": "object", "description": canary, "x-kubernetes-preserve-unknown-fields": true,
				}},
			}},
		},
	}}
}

// plantNest makes a custom resource that holds the canary in its spec, its status and its annotations.
func plantNest(ctx context.Context, t *testing.T, c client.Client) {
	t.Helper()
	nest := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "planted.example.com/v1", "kind": "Nest",
		"metadata": map[string]any{"namespace": "default", "name": "planted", "annotations": map[string]any{
			"example.com/copy": canary, "maek.dev/ignore": "PodNotReady,reason=token=" + canary,
		}},
		"spec": map[string]any{"password": canary},
		"status": map[string]any{
			"secret": canary, "phase": "token=" + canary,
			"conditions": []any{map[string]any{
				"type": "Ready", "status": "False", "reason": "password=" + canary, "message": "cannot log in with https://app:" + canary + "@db",
				"lastTransitionTime": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339),
			}},
		},
	}}
	until(t, "Nests can be made", func(ctx context.Context) bool { return c.Create(ctx, nest) == nil })
	t.Cleanup(func() {
		if err := c.Delete(context.WithoutCancel(ctx), nest); err != nil {
			t.Error(err)
		}
	})
}

// plantInStatus lets components quote the canary.
func plantInStatus(ctx context.Context, t *testing.T, c client.Client) {
	t.Helper()
	at := metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	said := "sent Authorization: Bearer " + canary
	node, volume, attachment := &corev1.Node{}, &corev1.PersistentVolume{}, &storagev1.VolumeAttachment{}
	job, scaler, request := &batchv1.Job{}, &autoscalingv2.HorizontalPodAutoscaler{}, &certificatesv1.CertificateSigningRequest{}
	named := func(namespace, name string, o client.Object) client.Object {
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	named("", "planted", node)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady", Message: said, LastTransitionTime: at}}
	named("", "troubled", volume)
	volume.Status.Phase, volume.Status.Message = corev1.VolumeFailed, said
	named("", "planted", attachment)
	attachment.Status.AttachError = &storagev1.VolumeError{Time: at, Message: said}
	attachment.Status.AttachmentMetadata = map[string]string{"key": canary}
	named("default", "planted", job)
	job.Status.StartTime = &at
	job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue, Message: said, LastTransitionTime: at}}
	named("default", "planted", scaler)
	scaler.Status.Conditions = []autoscalingv2.HorizontalPodAutoscalerCondition{{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionFalse, Reason: "FailedGetResourceMetric", Message: said, LastTransitionTime: at}}
	named("", "planted", request)
	request.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "Failed", Message: said, LastTransitionTime: at}}
	for _, o := range []client.Object{node, volume, attachment, job, scaler, request} {
		if err := c.Status().Update(ctx, o); err != nil {
			t.Errorf("writing the status of %T: %v", o, err)
		}
	}
}
