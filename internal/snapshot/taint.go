package snapshot

import (
	"slices"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
)

// Tolerates tells whether a pod tolerates a taint. The numeric operators are left out: they are off by
// default (k8s.io/kubernetes/pkg/features, TaintTolerationComparisonOperators).
func Tolerates(p *corev1.Pod, t *corev1.Taint) bool {
	return slices.ContainsFunc(p.Spec.Tolerations, func(o corev1.Toleration) bool { return o.ToleratesTaint(logr.Discard(), t, false) })
}

// FaultTaint tells whether a taint stands for a node's own trouble: those that the node lifecycle
// controller sets (https://kubernetes.io/docs/reference/labels-annotations-taints/).
func FaultTaint(t *corev1.Taint) bool {
	switch t.Key {
	case corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeMemoryPressure, corev1.TaintNodeDiskPressure,
		corev1.TaintNodePIDPressure, corev1.TaintNodeNetworkUnavailable, corev1.TaintNodeOutOfService:
		return true
	}
	return false
}

// ControlPlaneTaint tells whether a taint keeps ordinary pods off the control plane, as it should.
func ControlPlaneTaint(t *corev1.Taint) bool {
	return t.Key == "node-role.kubernetes.io/control-plane" || t.Key == "node-role.kubernetes.io/master"
}
