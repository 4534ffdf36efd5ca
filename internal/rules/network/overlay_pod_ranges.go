package network

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// podRanges are the podCIDRs of all Nodes.
func podRanges(s *snapshot.Snapshot) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range snapshot.List[*corev1.Node](s) {
		out = append(out, podRangesOf(n)...)
	}
	return out
}

// podRangesOf are the podCIDRs of a Node.
func podRangesOf(n *corev1.Node) []netip.Prefix {
	ranges := n.Spec.PodCIDRs
	if len(ranges) == 0 && n.Spec.PodCIDR != "" {
		ranges = []string{n.Spec.PodCIDR}
	}
	var out []netip.Prefix
	for _, r := range ranges {
		if prefix, err := netip.ParsePrefix(r); err == nil {
			out = append(out, prefix.Masked())
		}
	}
	return out
}
