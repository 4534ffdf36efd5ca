package collect

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// cleanMessages redacts the texts that components copy from elsewhere into an object's status: the
// end of a container's log (terminationMessagePolicy: FallbackToLogsOnError), a probe's output, a
// command line, the words of an admission webhook or a volume driver.
func cleanMessages(o snapshot.Object) {
	switch o := o.(type) {
	case *corev1.Event:
		redact(&o.Message)
	case *corev1.Pod:
		cleanPodStatus(&o.Status)
	case *corev1.Node:
		for i := range o.Status.Conditions {
			redact(&o.Status.Conditions[i].Message)
		}
	case *corev1.Namespace:
		for i := range o.Status.Conditions {
			redact(&o.Status.Conditions[i].Message)
		}
	case *corev1.PersistentVolume:
		redact(&o.Status.Message)
	case *corev1.PersistentVolumeClaim:
		for i := range o.Status.Conditions {
			redact(&o.Status.Conditions[i].Message)
		}
	case *corev1.ReplicationController:
		for i := range o.Status.Conditions {
			redact(&o.Status.Conditions[i].Message)
		}
	case *corev1.Service:
		cleanConditions(o.Status.Conditions)
	case *storagev1.VolumeAttachment:
		for _, e := range []*storagev1.VolumeError{o.Status.AttachError, o.Status.DetachError} {
			if e != nil {
				redact(&e.Message)
			}
		}
	default:
		cleanControllersMessages(o)
	}
}

// cleanControllersMessages redacts what controllers say about the objects of other groups.
func cleanControllersMessages(o snapshot.Object) {
	switch o := o.(type) {
	case *appsv1.Deployment:
		for i := range o.Status.Conditions {
			redact(&o.Status.Conditions[i].Message)
		}
	case *appsv1.ReplicaSet:
		for i := range o.Status.Conditions {
			redact(&o.Status.Conditions[i].Message)
		}
	case *appsv1.StatefulSet:
		for i := range o.Status.Conditions {
			redact(&o.Status.Conditions[i].Message)
		}
	case *appsv1.DaemonSet:
		for i := range o.Status.Conditions {
			redact(&o.Status.Conditions[i].Message)
		}
	case *batchv1.Job:
		for i := range o.Status.Conditions {
			redact(&o.Status.Conditions[i].Message)
		}
	case *autoscalingv2.HorizontalPodAutoscaler:
		for i := range o.Status.Conditions {
			redact(&o.Status.Conditions[i].Message)
		}
	case *policyv1.PodDisruptionBudget:
		cleanConditions(o.Status.Conditions)
	case *networkingv1.ServiceCIDR:
		cleanConditions(o.Status.Conditions)
	}
}

func cleanPodStatus(s *corev1.PodStatus) {
	redact(&s.Message)
	for i := range s.Conditions {
		redact(&s.Conditions[i].Message)
	}
	for _, containers := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range containers {
			cleanState(&containers[i].State)
			cleanState(&containers[i].LastTerminationState)
		}
	}
}

func cleanState(s *corev1.ContainerState) {
	if s.Waiting != nil {
		redact(&s.Waiting.Message)
	}
	if s.Terminated != nil {
		redact(&s.Terminated.Message)
	}
}

func cleanConditions(conditions []metav1.Condition) {
	for i := range conditions {
		redact(&conditions[i].Message)
	}
}

func redact(text *string) { *text = Redact(*text) }
