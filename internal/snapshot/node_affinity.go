package snapshot

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// NodeSelected tells whether a node meets one of some terms. They are judged as the scheduler judges those of
// volumes and pods (k8s.io/component-helpers/scheduling/corev1/nodeaffinity), without the parsing that this
// library does for each node anew: no terms, and empty ones, select nothing.
func NodeSelected(terms []corev1.NodeSelectorTerm, n *corev1.Node) bool {
	return slices.ContainsFunc(terms, func(t corev1.NodeSelectorTerm) bool {
		if len(t.MatchExpressions) == 0 && len(t.MatchFields) == 0 {
			return false
		}
		for _, r := range t.MatchExpressions {
			value, has := n.Labels[r.Key]
			if !meets(r, value, has) {
				return false
			}
		}
		for _, r := range t.MatchFields {
			if !meets(r, n.Name, r.Key == "metadata.name") {
				return false
			}
		}
		return true
	})
}

// NodeWanted tells whether a node has what a pod's node selector and required node affinity ask for.
func NodeWanted(p *corev1.Pod, n *corev1.Node) bool {
	for k, v := range p.Spec.NodeSelector {
		if got, has := n.Labels[k]; !has || got != v { // Labels of roles are empty, and there.
			return false
		}
	}
	a := p.Spec.Affinity
	return a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil ||
		NodeSelected(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms, n)
}

// meets tells whether a label meets one requirement of a node selector.
func meets(r corev1.NodeSelectorRequirement, value string, has bool) bool {
	switch r.Operator {
	case corev1.NodeSelectorOpIn:
		return has && slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpNotIn:
		return !has || !slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpExists:
		return has
	case corev1.NodeSelectorOpDoesNotExist:
		return !has
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if !has || len(r.Values) != 1 {
			return false
		}
		got, err := strconv.ParseInt(value, 10, 64)
		bound, err2 := strconv.ParseInt(r.Values[0], 10, 64)
		if err != nil || err2 != nil {
			return false
		}
		return r.Operator == corev1.NodeSelectorOpGt && got > bound || r.Operator == corev1.NodeSelectorOpLt && got < bound
	default:
		return false
	}
}
