package live

import (
	"context"
	"errors"
	"net/http"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/internal/snapshot"
)

// trialName is what the API server makes the names of trial objects from.
const trialName = "maek-dry-run-"

// dryRunCreate asks whether an object would be admitted: it goes through validation and all admission,
// webhooks included, and is not stored
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run).
func (c *Client) dryRunCreate(ctx context.Context, q snapshot.Question) snapshot.Answer {
	k, _ := c.kindOf(q.Group, q.Resource)
	obj, ok := minimal(q.Group, q.Resource)
	if !ok || q.Namespace == "" {
		return snapshot.Answer{Outcome: snapshot.Errored, Error: "there is no trial object of " + q.Resource + "." + q.Group}
	}
	obj.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind())
	if _, err := c.post(ctx, listPath(k, q.Namespace), map[string]string{"dryRun": metav1.DryRunAll}, obj); err != nil {
		return createError(err)
	}
	return snapshot.Answer{Outcome: snapshot.Answered}
}

// createError tells a refusal of the object from a failure to ask. Admission refuses with 403, as RBAC
// does; only the words tell them apart (k8s.io/apiserver/pkg/endpoints/handlers/responsewriters,
// ForbiddenStatusError).
func createError(err error) snapshot.Answer {
	a := failedAnswer(err)
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return a
	}
	message := status.ErrStatus.Message
	switch status.ErrStatus.Code {
	case http.StatusForbidden:
		if !strings.Contains(message, `" cannot create resource "`) {
			a.Outcome = snapshot.Rejected
		}
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		a.Outcome = snapshot.Rejected
	case http.StatusInternalServerError:
		if containsAny(message, "webhook", "admission", "failed to allocate") {
			a.Outcome = snapshot.Rejected
		}
	}
	return a
}

// minimal is the least that a valid object of a kind has. Pods keep to the strictest Pod Security
// Standard and ask for little, so that only what refuses every pod refuses this one.
func minimal(group, resourceName string) (runtime.Object, bool) {
	meta := metav1.ObjectMeta{GenerateName: trialName}
	labels := map[string]string{"app.kubernetes.io/name": "maek-dry-run"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: minimalPod()}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	switch group + "/" + resourceName {
	case "/pods":
		return &corev1.Pod{ObjectMeta: meta, Spec: minimalPod()}, true
	case "/configmaps":
		return &corev1.ConfigMap{ObjectMeta: meta}, true
	case "/secrets":
		return &corev1.Secret{ObjectMeta: meta}, true
	case "/serviceaccounts":
		return &corev1.ServiceAccount{ObjectMeta: meta}, true
	case "/services":
		return &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, true
	case "/persistentvolumeclaims":
		return &corev1.PersistentVolumeClaim{ObjectMeta: meta, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}}, true
	case "coordination.k8s.io/leases":
		return &coordinationv1.Lease{ObjectMeta: meta}, true
	case "apps/deployments":
		return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}}, true
	case "apps/replicasets":
		return &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template}}, true
	case "apps/statefulsets":
		return &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template}}, true
	case "apps/daemonsets":
		return &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}}, true
	case "batch/jobs":
		template.Spec.RestartPolicy = corev1.RestartPolicyNever
		return &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: template}}, true
	default:
		return nil, false
	}
}

func minimalPod() corev1.PodSpec {
	little := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi")}
	return corev1.PodSpec{
		AutomountServiceAccountToken: new(false),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "pause", Image: "registry.k8s.io/pause:3.10",
			Resources: corev1.ResourceRequirements{Requests: little, Limits: little},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				ReadOnlyRootFilesystem: new(true),
			},
		}},
	}
}
