package storage

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// reachedFrom are the nodes from which a volume can be used.
func reachedFrom(s *snapshot.Snapshot, v *corev1.PersistentVolume) []*corev1.Node {
	terms, bound := volumeTerms(v)
	return nodesWhere(s, func(n *corev1.Node) bool { return !bound || snapshot.NodeSelected(terms, n) })
}

// volumeTerms are where a volume can be used; false where that is anywhere.
func volumeTerms(v *corev1.PersistentVolume) ([]corev1.NodeSelectorTerm, bool) {
	if v.Spec.NodeAffinity == nil || v.Spec.NodeAffinity.Required == nil {
		return nil, false
	}
	return v.Spec.NodeAffinity.Required.NodeSelectorTerms, true
}

// wantedBy are the nodes that a pod may run on.
func wantedBy(s *snapshot.Snapshot, pod *corev1.Pod) []*corev1.Node {
	return nodesWhere(s, func(n *corev1.Node) bool { return snapshot.NodeWanted(pod, n) })
}

func nodesWhere(s *snapshot.Snapshot, holds func(*corev1.Node) bool) []*corev1.Node {
	var out []*corev1.Node
	for _, n := range snapshot.List[*corev1.Node](s) {
		if holds(n) {
			out = append(out, n)
		}
	}
	return out
}

func nodeNames(nodes []*corev1.Node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	return out
}

// inWords writes terms as people read them: "kubernetes.io/hostname in (w1)".
func inWords(terms []corev1.NodeSelectorTerm) string {
	var all []string
	for _, t := range terms {
		var parts []string
		for _, r := range slices.Concat(t.MatchExpressions, t.MatchFields) {
			switch r.Operator {
			case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
				parts = append(parts, fmt.Sprintf("%s %s", r.Key, r.Operator))
			default:
				parts = append(parts, fmt.Sprintf("%s %s (%s)", r.Key, strings.ToLower(string(r.Operator)), strings.Join(r.Values, ", ")))
			}
		}
		all = append(all, strings.Join(parts, " and "))
	}
	return strings.Join(all, " or ")
}

// placementOf writes what a pod asks of its node, and the field that does.
func placementOf(pod *corev1.Pod) (words, field string) {
	var parts []string
	for k, v := range pod.Spec.NodeSelector {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	field = ".nodeSelector"
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		if len(parts) == 0 {
			field = ".affinity.nodeAffinity"
		}
		parts = append(parts, inWords(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms))
	}
	return strings.Join(parts, " and "), field
}

// nodesByHostname are the nodes by their names and by their host names, which may differ.
func nodesByHostname(s *snapshot.Snapshot) map[string][]*corev1.Node {
	out := map[string][]*corev1.Node{}
	for _, n := range snapshot.List[*corev1.Node](s) {
		out[n.Name] = append(out[n.Name], n)
		if host := n.Labels[corev1.LabelHostname]; host != "" && host != n.Name {
			out[host] = append(out[host], n)
		}
	}
	return out
}

// onlyNode is the one node that a volume is bound to by name, whether that node exists or not.
func onlyNode(v *corev1.PersistentVolume) (string, bool) {
	terms, bound := volumeTerms(v)
	if !bound || len(terms) != 1 {
		return "", false
	}
	for _, r := range slices.Concat(terms[0].MatchExpressions, terms[0].MatchFields) {
		if (r.Key == corev1.LabelHostname || r.Key == "metadata.name") && r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1 {
			return r.Values[0], true
		}
	}
	return "", false
}
