package snapshot

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ControlPlanePods returns the static pods of a component of the control plane ("etcd",
// "kube-apiserver"), as kubeadm labels them
// (k8s.io/kubernetes/cmd/kubeadm/app/util/staticpod, ComponentPod). It reads Pods.
func (s *Snapshot) ControlPlanePods(component string) []*corev1.Pod {
	pods := s.PodsSelected(metav1.NamespaceSystem, map[string]string{"component": component, "tier": "control-plane"})
	return slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return !StaticPod(p) })
}
