package network

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PodAddressOutsideSubnet",
	Title: finding.Text{EN: "pods have addresses that flannel sends nowhere", KO: "flannel이 보내지 않는 주소를 가진 Pod가 있습니다"},
	Doc: finding.Text{
		EN: "flannel sends traffic for a node's podCIDR to that node, and for no other address. Running pods with addresses outside every node's podCIDR, as after a node got a new one while its pods stayed, can be reached from their own node only. " +
			"Addresses out of another node's podCIDR are PodCIDRConflict's. Pods on the host's network, second address families, nodes that flannel has not announced, and clusters with other plugins are left alone.",
		KO: "flannel은 노드의 podCIDR로 가는 트래픽만 그 노드로 보냅니다. 노드가 새 podCIDR을 받았는데 Pod가 남은 경우처럼, 어느 노드의 podCIDR에도 속하지 않는 주소를 가진 Pod는 같은 노드에서만 닿을 수 있습니다. " +
			"다른 노드의 podCIDR에 속한 주소는 PodCIDRConflict에서 다룹니다. hostNetwork Pod, 두 번째 주소 체계, flannel이 알리지 않은 노드, 다른 플러그인을 쓰는 클러스터는 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/kubernetes.md", Severity: finding.Warning,
	Needs: []rule.Need{rule.Whole[*corev1.Node](), rule.Any[*corev1.Pod]()}, For: time.Minute, Detect: podAddressOutsideSubnet,
	Causes: []rule.Cause{{Code: "PodBridgeOutsideSubnet", Via: rule.OnMachine}},
})

func podAddressOutsideSubnet(p *rule.Pass) {
	ranges := podRanges(p.Snapshot)
	for _, h := range announcedHolders(p) {
		if h.changing {
			continue
		}
		var outside []finding.Subject
		var first *corev1.Pod
		for _, pod := range p.PodsOn(h.node) {
			address, err := netip.ParseAddr(pod.Status.PodIP)
			if err != nil || !address.Is4() || pod.Spec.HostNetwork || pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil ||
				h.subnet.Contains(address) || slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(address) }) {
				continue
			}
			outside = append(outside, snapshot.SubjectOf(pod))
			if first == nil {
				first = pod
			}
		}
		if len(outside) == 0 {
			continue
		}
		p.Report(finding.Finding{
			Subject: finding.Subject{Kind: "Node", Name: h.node}, Mechanism: v1alpha1.MechanismMisconfigured, Field: ".spec.podCIDR", Explains: outside,
			Title: finding.Format("node %s: flannel knows no way to %s there", "노드 %s: flannel이 보내지 않는 주소를 가진 %s가 있습니다", finding.Verbatim(h.node), finding.Pods(len(outside))),
			Why: finding.Textf("The node's podCIDR is %s, and pod %s/%s has %s, which is in no node's range. Other nodes do not reach it; its own node does, so that its probes are well.",
				"노드의 podCIDR은 %s인데 Pod %s/%s의 주소 %s는 어느 노드의 범위에도 속하지 않습니다. 다른 노드에서는 닿을 수 없지만 같은 노드에서는 닿으므로 probe는 정상입니다.", h.subnet, first.Namespace, first.Name, first.Status.PodIP),
			Evidence: []finding.Evidence{
				{Source: finding.Named(snapshot.SubjectOf(first)), Path: ".status.podIP", Value: first.Status.PodIP},
				{Source: "Node " + h.node, Path: ".spec.podCIDR", Value: h.subnet.String()},
			},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{Text: finding.Text{EN: "see which range the node's bridge and plugin use", KO: "노드의 bridge와 플러그인이 쓰는 범위를 확인합니다"}, Command: "ip -4 addr show cni0; cat /run/flannel/subnet.env; grep -H subnet /etc/cni/net.d/*", Machine: h.node},
					{Text: finding.Text{EN: "once they use the podCIDR, delete these pods: their controllers make them anew", KO: "podCIDR을 쓰게 한 뒤 해당 Pod를 삭제하면 controller가 다시 만듭니다"}, Command: "kubectl get pods -A -o wide --field-selector spec.nodeName=" + h.node},
				},
				Later: []finding.Remedy{{Text: finding.Text{EN: "drain a node before it gets another range", KO: "노드의 범위를 바꾸기 전에 drain합니다"}}},
			},
		})
	}
}
