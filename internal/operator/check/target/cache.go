package target

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Kind is one that Options.Reader must hold.
type Kind struct {
	schema.GroupVersionKind
	// Resource is the plural that paths and rights have.
	Resource string
	// Namespaced tells whether its objects lie in namespaces.
	Namespaced bool
}

// Kinds are those that Options.Reader must hold, of all namespaces: the Services kubernetes and kube-dns lie
// in others than checks do.
func Kinds() []Kind {
	core, discovery, networking := corev1.SchemeGroupVersion, discoveryv1.SchemeGroupVersion, networkingv1.SchemeGroupVersion
	return []Kind{
		{core.WithKind("Pod"), "pods", true},
		{core.WithKind("Service"), "services", true},
		{core.WithKind("Node"), "nodes", false},
		{core.WithKind("Namespace"), "namespaces", false},
		{discovery.WithKind("EndpointSlice"), "endpointslices", true},
		{networking.WithKind("Ingress"), "ingresses", true},
		{v1alpha1.GroupVersion.WithKind("CheckPolicy"), "checkpolicies", false},
	}
}

// ByObject says what of each kind is kept: what this package reads, and of pods also what is read to take
// them out of service.
func ByObject() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:                {Transform: trimmed(new(podTrimmer).trim)},
		&corev1.Service{}:            {Transform: trimmed(trimService)},
		&corev1.Node{}:               {Transform: trimmed(trimNode)},
		&corev1.Namespace{}:          {Transform: trimmed(trimNamespace)},
		&discoveryv1.EndpointSlice{}: {Transform: trimmed(trimEndpointSlice)},
		&networkingv1.Ingress{}:      {Transform: trimmed(trimIngress)},
		&v1alpha1.CheckPolicy{}:      {Transform: cache.TransformStripManagedFields()},
	}
}

// trimmed makes a transform of a function about one type. What is no object of it, a tombstone say, is left
// as it is.
func trimmed[T client.Object](trim func(T) T) func(any) (any, error) {
	return func(object any) (any, error) {
		if o, ok := object.(T); ok {
			return trim(o), nil
		}
		return object, nil
	}
}

// meta keeps of an object's metadata what tells it from others.
func meta(m metav1.ObjectMeta) metav1.ObjectMeta {
	kept := metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion,
		Labels: m.Labels, DeletionTimestamp: m.DeletionTimestamp,
	}
	for _, owner := range m.OwnerReferences {
		if owner.Controller != nil && *owner.Controller {
			kept.OwnerReferences = []metav1.OwnerReference{owner}
		}
	}
	return kept
}

// conditionsOf are those of a pod that are read. Of one that can be taken out of service these are all that
// make it ready.
func conditionsOf(pod *corev1.Pod) []corev1.PodConditionType {
	kept := []corev1.PodConditionType{corev1.PodReady, v1alpha1.ReadinessGateInService}
	if !slices.Contains(pod.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: v1alpha1.ReadinessGateInService}) {
		return kept
	}
	kept = append(kept, corev1.ContainersReady)
	for _, gate := range pod.Spec.ReadinessGates {
		kept = append(kept, gate.ConditionType)
	}
	return kept
}

func (p *podTrimmer) trim(pod *corev1.Pod) *corev1.Pod {
	kept := &corev1.Pod{ObjectMeta: meta(pod.ObjectMeta)}
	kept.Labels = p.sharedLabels(pod.Labels)
	kept.CreationTimestamp = pod.CreationTimestamp // a workload with new pods is being rolled out
	kept.Spec.NodeName = pod.Spec.NodeName
	kept.Spec.HostNetwork = pod.Spec.HostNetwork
	kept.Spec.ReadinessGates = pod.Spec.ReadinessGates
	kept.Spec.Containers = p.sharedContainers(pod.Spec.Containers)
	kept.Status.Phase = pod.Status.Phase
	kept.Status.PodIP = pod.Status.PodIP
	if len(pod.Status.PodIPs) > 1 {
		kept.Status.PodIPs = pod.Status.PodIPs // a single one is PodIP
	}
	wanted := conditionsOf(pod)
	for _, condition := range pod.Status.Conditions {
		if slices.Contains(wanted, condition.Type) {
			kept.Status.Conditions = append(kept.Status.Conditions, condition)
		}
	}
	return kept
}

func trimService(service *corev1.Service) *corev1.Service {
	return &corev1.Service{ObjectMeta: meta(service.ObjectMeta), Spec: corev1.ServiceSpec{
		Type: service.Spec.Type, ClusterIP: service.Spec.ClusterIP, ClusterIPs: service.Spec.ClusterIPs, Ports: service.Spec.Ports,
		ExternalName: service.Spec.ExternalName, Selector: service.Spec.Selector, IPFamilies: service.Spec.IPFamilies,
	}}
}

func trimNode(node *corev1.Node) *corev1.Node {
	return &corev1.Node{ObjectMeta: meta(node.ObjectMeta), Status: corev1.NodeStatus{Addresses: node.Status.Addresses}}
}

// annotationInService on a namespace keeps its pods in service (internal/operator/check/inservice).
const annotationInService = "maek.dev/in-service"

func trimNamespace(namespace *corev1.Namespace) *corev1.Namespace {
	kept := &corev1.Namespace{ObjectMeta: meta(namespace.ObjectMeta), Status: namespace.Status}
	if value, found := namespace.Annotations[annotationInService]; found {
		kept.Annotations = map[string]string{annotationInService: value}
	}
	return kept
}

func trimEndpointSlice(list *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	kept := &discoveryv1.EndpointSlice{
		ObjectMeta: meta(list.ObjectMeta), AddressType: list.AddressType, Ports: list.Ports,
		Endpoints: make([]discoveryv1.Endpoint, len(list.Endpoints)),
	}
	for i, e := range list.Endpoints {
		kept.Endpoints[i] = discoveryv1.Endpoint{Addresses: e.Addresses, Conditions: e.Conditions, TargetRef: e.TargetRef}
	}
	return kept
}

func trimIngress(ingress *networkingv1.Ingress) *networkingv1.Ingress {
	kept := &networkingv1.Ingress{ObjectMeta: meta(ingress.ObjectMeta), Status: ingress.Status}
	kept.Spec.DefaultBackend = ingress.Spec.DefaultBackend
	for _, rule := range ingress.Spec.Rules {
		kept.Spec.Rules = append(kept.Spec.Rules, networkingv1.IngressRule{Host: rule.Host})
	}
	return kept
}
