package snapshot

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// VirtualNode tells whether a node stands for a service that runs pods elsewhere, and not for a machine
// with a kubelet, a network plugin and kube-proxy: it carries the label or the taint that virtual
// kubelets register with (github.com/virtual-kubelet/virtual-kubelet/cmd/virtual-kubelet/internal/commands/root).
func VirtualNode(n *corev1.Node) bool {
	return n.Labels["type"] == "virtual-kubelet" ||
		slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return strings.HasPrefix(t.Key, "virtual-kubelet.io/") })
}
