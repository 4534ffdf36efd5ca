package node

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "PodCIDRConflict",
	Title: finding.Text{
		EN: "two nodes use the same pod addresses",
		KO: "두 노드가 같은 Pod 주소를 사용합니다",
	},
	Doc: finding.Text{
		EN: "Traffic for a pod is routed by its address to one node, and two nodes have that address: their spec.podCIDRs overlap, running pods on both have the same address, pods on one have addresses out of " +
			"the other's podCIDR, or two nodes announce the same address to flannel. Traffic for some of these pods ends at the wrong node, though everything is ready, for probes stay on the node. " +
			"Pods on the host's network share its address rightly, address managers that do not use podCIDRs (Calico, Cilium) hand out addresses from anywhere, and pods of a dead node, or " +
			"that are done, may have had an address before: all those are left alone.",
		KO: "Pod로 가는 트래픽은 주소에 따라 한 노드로 전달되는데 두 노드가 그 주소를 갖고 있습니다. spec.podCIDRs가 겹치거나, 양쪽에서 실행 중인 Pod의 주소가 같거나, 한 노드의 Pod 주소가 다른 노드의 podCIDR에 속하거나, 두 노드가 flannel에 같은 주소를 알린 경우입니다. " +
			"일부 Pod로 가는 트래픽이 엉뚱한 노드로 가지만 probe는 노드 안에서 이루어지므로 모두 Ready로 보입니다. hostNetwork Pod가 노드 주소를 함께 쓰는 것, podCIDR을 쓰지 않는 주소 관리(Calico, Cilium), 죽은 노드의 Pod나 끝난 Pod가 이전에 쓰던 주소는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/cluster-administration/networking/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.Node](), rule.Optional[*corev1.Pod](), rule.Optional[*coordinationv1.Lease]()},
	For:      time.Minute,
	Causes: []rule.Cause{
		{Code: "PodBridgeOutsideSubnet", Via: rule.OnMachine},
		{Code: "FlannelLeaseConflict", Via: rule.Itself},
	},
	Detect: detectPodCIDRConflict,
})

// clash is two nodes that use the same addresses.
type clash struct {
	node, other string
	says        finding.Text
	evidence    []finding.Evidence
	pods        []finding.Subject
	// oneSided tells that it speaks of the node only, and not of both alike.
	oneSided bool
}

// block is a node's range of pod addresses.
type block struct {
	prefix netip.Prefix
	node   *corev1.Node
}

func detectPodCIDRConflict(p *rule.Pass) {
	blocks, pods := blocksOf(p.Snapshot), addressed(p)
	all := slices.Concat(overlaps(blocks), sharedPublicAddresses(p), strangers(pods, blocks), sharedPodAddresses(pods))
	type pair struct{ a, b string }
	blamed, byNode := map[pair]string{}, map[string][]clash{}
	for _, c := range all {
		// Of two nodes one is to be named: the one that the most telling sign names.
		k := pair{min(c.node, c.other), max(c.node, c.other)}
		if first, ok := blamed[k]; ok && first != c.node {
			if c.oneSided {
				continue
			}
			c.node, c.other = c.other, c.node
		}
		blamed[k] = c.node
		byNode[c.node] = append(byNode[c.node], c)
	}
	for _, name := range sortedKeys(byNode) {
		p.Report(conflict(name, byNode[name]))
	}
}

// blocksOf returns the nodes' podCIDRs, sorted by address.
func blocksOf(s *snapshot.Snapshot) []block {
	var out []block
	for _, n := range snapshot.List[*corev1.Node](s) {
		ranges := n.Spec.PodCIDRs
		if len(ranges) == 0 && n.Spec.PodCIDR != "" {
			ranges = []string{n.Spec.PodCIDR}
		}
		for _, r := range ranges {
			if prefix, err := netip.ParsePrefix(r); err == nil {
				out = append(out, block{prefix.Masked(), n})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b block) int {
		if c := a.prefix.Addr().Compare(b.prefix.Addr()); c != 0 {
			return c
		}
		return a.prefix.Bits() - b.prefix.Bits()
	})
	return out
}

// overlaps finds ranges that overlap. Sorted so, one that overlaps an earlier one lies in the last that
// reaches as far.
func overlaps(blocks []block) []clash {
	blocks = slices.Clone(blocks)
	var out []clash
	for i := 1; i < len(blocks); i++ {
		a, b := blocks[i-1], blocks[i]
		if a.prefix.Contains(b.prefix.Addr()) && a.prefix.Bits() < b.prefix.Bits() {
			// The wider one may hold the next ones too.
			blocks[i] = block{a.prefix, a.node}
		}
		if !a.prefix.Overlaps(b.prefix) || a.node == b.node {
			continue
		}
		first, second := a, b
		if second.node.CreationTimestamp.Before(&first.node.CreationTimestamp) {
			first, second = second, first
		}
		out = append(out, clash{
			node: second.node.Name, other: first.node.Name,
			says: finding.Textf("Its podCIDR %s overlaps %s of node %s.", "podCIDR %s가 노드 %[3]s의 %[2]s와 겹칩니다.", second.prefix, first.prefix, first.node.Name),
			evidence: []finding.Evidence{
				{Source: "Node " + second.node.Name, Path: ".spec.podCIDRs", Value: second.prefix.String()},
				{Source: "Node " + first.node.Name, Path: ".spec.podCIDRs", Value: first.prefix.String()},
			},
		})
	}
	return out
}

// flannelAddress is the annotation in which flannel's daemon tells the others where to send a node's
// traffic (https://github.com/flannel-io/flannel/blob/master/pkg/subnet/kube/annotations.go).
const flannelAddress = "flannel.alpha.coreos.com/public-ip"

// sharedPublicAddresses finds nodes that announce the same address to flannel.
func sharedPublicAddresses(p *rule.Pass) []clash {
	first := map[string]*corev1.Node{}
	var out []clash
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		address := n.Annotations[flannelAddress]
		if address == "" || leaving(n) {
			continue
		}
		other, taken := first[address]
		if !taken {
			first[address] = n
			continue
		}
		// Whose address it is not is the one that is wrong.
		wrong, right := n, other
		if addressOf(n) == address {
			wrong, right = other, n
		}
		out = append(out, clash{
			node: wrong.Name, other: right.Name,
			says:     finding.Textf("It announces %s to flannel, as node %s does.", "flannel에 %s를 알리는데 노드 %s와 같은 주소입니다.", address, right.Name),
			evidence: []finding.Evidence{{Source: "Node " + wrong.Name, Path: fmt.Sprintf(".metadata.annotations[%s]", flannelAddress), Value: address}},
		})
	}
	return out
}

// addressed returns the running pods that have an address of their own, on nodes whose kubelet lives.
func addressed(p *rule.Pass) []*corev1.Pod {
	alive := map[string]bool{}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		alive[n.Name] = p.Writer(snapshot.KubeletOn(n.Name)).State != snapshot.Dead
	}
	var out []*corev1.Pod
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.Status.PodIP != "" && !pod.Spec.HostNetwork && pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil && alive[pod.Spec.NodeName] {
			out = append(out, pod)
		}
	}
	return out
}

// sharedPodAddresses finds running pods with the same address, one pair for each two nodes.
func sharedPodAddresses(pods []*corev1.Pod) []clash {
	type pair struct{ a, b string }
	first := make(map[string]*corev1.Pod, len(pods))
	at := map[pair]int{}
	var out []clash
	for _, pod := range pods {
		other, taken := first[pod.Status.PodIP]
		if !taken {
			first[pod.Status.PodIP] = pod
			continue
		}
		k := pair{max(pod.Spec.NodeName, other.Spec.NodeName), min(pod.Spec.NodeName, other.Spec.NodeName)}
		i, known := at[k]
		if !known {
			i = len(out)
			at[k] = i
			e := func(pod *corev1.Pod) finding.Evidence {
				return finding.Evidence{Source: finding.Named(snapshot.SubjectOf(pod)), Path: ".status.podIP", Value: pod.Status.PodIP + " on node " + pod.Spec.NodeName}
			}
			out = append(out, clash{
				node: k.a, other: k.b,
				says: finding.Textf("Pods %s/%s (node %s) and %s/%s (node %s) have one address, %s.", "Pod %s/%s(노드 %s)와 %s/%s(노드 %s)의 주소가 같습니다(%s).",
					pod.Namespace, pod.Name, pod.Spec.NodeName, other.Namespace, other.Name, other.Spec.NodeName, pod.Status.PodIP),
				evidence: []finding.Evidence{e(pod), e(other)},
			})
		}
		out[i].pods = append(out[i].pods, snapshot.SubjectOf(pod), snapshot.SubjectOf(other))
	}
	return out
}

// strangers finds nodes whose pods have addresses out of another node's podCIDR, where pods elsewhere
// have addresses out of their own: only then are podCIDRs what addresses are taken from.
func strangers(pods []*corev1.Pod, blocks []block) []clash {
	own, foreign := map[string]int{}, map[string]map[string][]*corev1.Pod{}
	right, wrong, wrongOn := 0, 0, map[string]int{}
	for _, pod := range pods {
		address, err := netip.ParseAddr(pod.Status.PodIP)
		if err != nil {
			continue
		}
		// The last block that begins at or before the address is the only one that can hold it.
		i, exact := slices.BinarySearchFunc(blocks, address, func(b block, a netip.Addr) int { return b.prefix.Addr().Compare(a) })
		if !exact {
			i--
		}
		if i < 0 || i >= len(blocks) || !blocks[i].prefix.Contains(address) {
			continue
		}
		node := pod.Spec.NodeName
		if holder := blocks[i].node.Name; holder == node {
			own[node]++
			right++
		} else {
			wrong++
			wrongOn[node]++
			if foreign[node] == nil {
				foreign[node] = map[string][]*corev1.Pod{}
			}
			foreign[node][holder] = append(foreign[node][holder], pod)
		}
	}
	var out []clash
	for _, node := range sortedKeys(foreign) {
		for _, holder := range sortedKeys(foreign[node]) {
			pods := foreign[node][holder]
			// The holder itself takes addresses from its own range, and so do nine in ten pods elsewhere.
			if own[holder] == 0 || 10*(wrong-wrongOn[node]) > right-own[node] {
				continue
			}
			c := clash{
				node: node, other: holder, oneSided: true,
				says: finding.Format("Pods there (%s) have addresses out of %s, which is node %s's podCIDR.", "이 노드의 %s가 노드 %[3]s의 podCIDR(%[2]s)에 속한 주소를 갖고 있습니다.",
					finding.Pods(len(pods)), finding.Verbatim(podRange(blocks, holder)), finding.Verbatim(holder)),
				evidence: []finding.Evidence{{Source: finding.Named(snapshot.SubjectOf(pods[0])), Path: ".status.podIP", Value: pods[0].Status.PodIP + " on node " + node}},
			}
			for _, pod := range pods {
				c.pods = append(c.pods, snapshot.SubjectOf(pod))
			}
			out = append(out, c)
		}
	}
	return out
}

func podRange(blocks []block, node string) string {
	for _, b := range blocks {
		if b.node.Name == node {
			return b.prefix.String()
		}
	}
	return ""
}

func conflict(node string, clashes []clash) finding.Finding {
	other := clashes[0].other
	f := finding.Finding{
		Subject: finding.Subject{Kind: "Node", Name: node}, Mechanism: v1alpha1.MechanismMisconfigured, Field: ".spec.podCIDRs",
		Title: finding.Textf("node %s uses the same pod addresses as node %s", "노드 %s: 노드 %s와 같은 Pod 주소를 사용합니다", node, other),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "which range does the node's bridge use, and what does its plugin's configuration say", KO: "노드의 bridge가 쓰는 주소 범위와 플러그인 설정을 확인합니다"}, Command: "ip -4 addr show cni0; cat /run/flannel/subnet.env; cat /etc/cni/net.d/*", Machine: node},
				{Text: finding.Text{EN: "which range was it given", KO: "노드에 할당된 범위를 확인합니다"}, Command: "kubectl get nodes -o custom-columns=NAME:.metadata.name,PODCIDRS:.spec.podCIDRs"},
				{Text: finding.Textf("once %s has a range of its own, delete its pods that have addresses of the old one: their controllers make them anew", "%s에 고유한 범위를 지정한 뒤 이전 범위의 주소를 가진 Pod를 삭제하면 controller가 다시 만듭니다", node)},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "let one party alone hand out ranges: the controller manager (--allocate-node-cidrs) or the network plugin, not both, and none by hand",
				KO: "주소 범위는 controller manager(--allocate-node-cidrs)나 네트워크 플러그인 중 한쪽만 할당하게 하고 수동으로 지정하지 않습니다",
			}}},
		},
	}
	seen := map[finding.Subject]bool{}
	var says []finding.Text
	for _, c := range clashes {
		says = append(says, c.says)
		f.Evidence = append(f.Evidence, c.evidence...)
		for _, s := range c.pods {
			if !seen[s] {
				seen[s] = true
				f.Explains = append(f.Explains, s)
			}
		}
	}
	f.Evidence = f.Evidence[:min(4, len(f.Evidence))]
	f.Why = finding.Join(" ", append(says, finding.Text{
		EN: "An address is routed to one node, so traffic for some of these pods ends at the wrong one. Their probes do not show it, for those stay on the node.",
		KO: "주소는 한 노드로만 라우팅되므로 일부 Pod로 가는 트래픽이 엉뚱한 노드로 갑니다. probe는 노드 안에서 이루어지므로 드러나지 않습니다.",
	})...)
	return f
}
