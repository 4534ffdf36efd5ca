package collect

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/maek-dev/maek/internal/secret"
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
		redactEach(o.Status.Conditions, func(c *corev1.NodeCondition) *string { return &c.Message })
	case *corev1.Namespace:
		redactEach(o.Status.Conditions, func(c *corev1.NamespaceCondition) *string { return &c.Message })
	case *corev1.PersistentVolume:
		redact(&o.Status.Message)
	case *corev1.PersistentVolumeClaim:
		redactEach(o.Status.Conditions, func(c *corev1.PersistentVolumeClaimCondition) *string { return &c.Message })
	case *corev1.ReplicationController:
		redactEach(o.Status.Conditions, func(c *corev1.ReplicationControllerCondition) *string { return &c.Message })
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
		redactEach(o.Status.Conditions, func(c *appsv1.DeploymentCondition) *string { return &c.Message })
	case *appsv1.ReplicaSet:
		redactEach(o.Status.Conditions, func(c *appsv1.ReplicaSetCondition) *string { return &c.Message })
	case *appsv1.StatefulSet:
		redactEach(o.Status.Conditions, func(c *appsv1.StatefulSetCondition) *string { return &c.Message })
	case *appsv1.DaemonSet:
		redactEach(o.Status.Conditions, func(c *appsv1.DaemonSetCondition) *string { return &c.Message })
	case *batchv1.Job:
		redactEach(o.Status.Conditions, func(c *batchv1.JobCondition) *string { return &c.Message })
	case *autoscalingv2.HorizontalPodAutoscaler:
		redactEach(o.Status.Conditions, func(c *autoscalingv2.HorizontalPodAutoscalerCondition) *string { return &c.Message })
	case *policyv1.PodDisruptionBudget:
		cleanConditions(o.Status.Conditions)
	case *networkingv1.ServiceCIDR:
		cleanConditions(o.Status.Conditions)
	case *networkingv1.Ingress:
		for _, address := range o.Status.LoadBalancer.Ingress {
			for i := range address.Ports {
				if address.Ports[i].Error != nil {
					redact(address.Ports[i].Error)
				}
			}
		}
	default:
		cleanControlPlaneMessages(o)
	}
}

// cleanControlPlaneMessages redacts what is said about the API's own extensions and settings.
func cleanControlPlaneMessages(o snapshot.Object) {
	switch o := o.(type) {
	case *certificatesv1.CertificateSigningRequest:
		redactEach(o.Status.Conditions, func(c *certificatesv1.CertificateSigningRequestCondition) *string { return &c.Message })
	case *apiextensionsv1.CustomResourceDefinition:
		redactEach(o.Status.Conditions, func(c *apiextensionsv1.CustomResourceDefinitionCondition) *string { return &c.Message })
	case *apiregistrationv1.APIService:
		redactEach(o.Status.Conditions, func(c *apiregistrationv1.APIServiceCondition) *string { return &c.Message })
	case *flowcontrolv1.FlowSchema:
		redactEach(o.Status.Conditions, func(c *flowcontrolv1.FlowSchemaCondition) *string { return &c.Message })
	case *flowcontrolv1.PriorityLevelConfiguration:
		redactEach(o.Status.Conditions, func(c *flowcontrolv1.PriorityLevelConfigurationCondition) *string { return &c.Message })
	case *admissionregistrationv1.ValidatingAdmissionPolicy:
		cleanConditions(o.Status.Conditions)
	default:
		cleanCheckMessages(o)
	}
}

// redactEach redacts the message of every item: each kind has a condition type of its own.
func redactEach[T any](items []T, message func(*T) *string) {
	for i := range items {
		redact(message(&items[i]))
	}
}

func cleanPodStatus(s *corev1.PodStatus) {
	redact(&s.Message)
	redactEach(s.Conditions, func(c *corev1.PodCondition) *string { return &c.Message })
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

// cleanConditions redacts reasons too: in a custom resource nothing holds them to one word.
func cleanConditions(conditions []metav1.Condition) {
	redactEach(conditions, func(c *metav1.Condition) *string { return &c.Message })
	redactEach(conditions, func(c *metav1.Condition) *string { return &c.Reason })
}

func redact(text *string) { *text = secret.Redact(*text) }
