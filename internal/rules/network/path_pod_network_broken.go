package network

import (
	"cmp"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PodNetworkBroken",
	Title: finding.Text{EN: "the pod network between machines is broken", KO: "머신 사이의 Pod 네트워크가 끊겼습니다"},
	Doc: finding.Text{
		EN: "Beacons over the machines' own network arrive, and those over the pod network do not, though both connect the same machines: routes, encapsulation or a filter of the overlay fail. " +
			"Nodes and pods stay Ready meanwhile, for probes never leave their machine. The direction tells the side: where all that one machine sends or receives is lost, it is that machine (its tunnel device, UDP 8472 or 4789 in its packet filter); " +
			"where one direction between two fails, it is the sender's route, neighbour or forwarding entry for the other. Machines without an address in the pod network are not watched; machines that are lost altogether are MachineUnreachable.",
		KO: "같은 머신 사이에서 머신 네트워크의 beacon은 도착하지만 Pod 네트워크의 beacon은 도착하지 않습니다. overlay의 route, encapsulation, 패킷 필터가 실패한 것입니다. " +
			"probe는 머신 밖으로 나가지 않으므로 노드와 Pod는 그동안 Ready로 보입니다. 방향으로 어느 쪽인지 알 수 있습니다. 한 머신이 보내거나 받는 것이 모두 손실되면 그 머신(tunnel 장치, 패킷 필터의 UDP 8472 또는 4789)이고, " +
			"두 머신 사이의 한 방향만 실패하면 보내는 쪽의 route, neighbour, FDB 항목입니다. Pod 네트워크 주소가 없는 머신은 관측하지 않으며, 완전히 끊긴 머신은 MachineUnreachable입니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/cluster-administration/networking/#how-to-implement-the-kubernetes-network-model",
	Severity: finding.Critical,
	Needs:    meshNeeds(),
	Machine:  meshKeys,
	For:      pathLasts,
	Causes: []rule.Cause{
		{Code: "FlannelDeviceMissing", Via: rule.OnMachine},
		{Code: "FlannelDeviceMisconfigured", Via: rule.OnMachine},
		{Code: "OverlayRouteMissing", Via: rule.OnMachine},
		{Code: "OverlayNeighbourMissing", Via: rule.OnMachine},
		{Code: "OverlayForwardingEntryMissing", Via: rule.OnMachine},
		{Code: "OverlayEntryStale", Via: rule.OnMachine},
		{Code: "FlannelLeaseConflict", Via: rule.OnMachine},
		// What is wrong on the machine that receives names the directions that it proves to be lost.
		{Code: "FlannelDeviceMissing", Via: rule.Claimed},
		{Code: "FlannelDeviceMisconfigured", Via: rule.Claimed},
		{Code: "FlannelLeaseConflict", Via: rule.Claimed},
		{Code: "FlannelLeaseMissing", Via: rule.Claimed},
		{Code: "FlannelAnnotationsMissing", Via: rule.Claimed},
		{Code: "FlannelConfigMismatch", Via: rule.Claimed},
		{Code: "PodBridgeOutsideSubnet", Via: rule.OnMachine},
		{Code: "ForwardingDisabled", Via: rule.OnMachine},
		{Code: "ForwardingDisabled", Via: rule.Claimed},
		{Code: "PacketFilterBlocksCluster", Via: rule.Claimed},
		{Code: "PacketFilterBlocksCluster", Via: rule.OnMachine, Holds: filtersOverlay},
	},
	Detect: detectPodNetworkBroken,
})

func detectPodNetworkBroken(p *rule.Pass) {
	m := readMatrix(p)
	s := findSides(m)
	good, bad := m.sort(podNetwork, func(w way) bool { return !s.cutOff(w) && m.underlayWorks(w) })
	found := shareOut(good, bad)
	if found.everywhere {
		p.Report(podNetworkDown(m, found.single))
		return
	}
	for _, b := range found.nodes {
		p.Report(podSideBroken(m, b))
	}
	for _, w := range found.single {
		p.Report(podWayBroken(m, w))
	}
}

// underlayWorks tells whether the machines' own network carries packets in a direction.
func (m *matrix) underlayWorks(w way) bool {
	v := m.judge(w, hostNetwork)
	return v == fine || v == blocked
}

// readyAnyway says why nobody else notices.
var readyAnyway = finding.Text{
	EN: "Nodes and pods stay Ready: probes do not leave their machine.",
	KO: "probe는 머신 밖으로 나가지 않으므로 노드와 Pod는 Ready로 남습니다.",
}

var underlayFine = finding.Statement{Text: finding.Text{
	EN: "the machines' own network: beacons over it arrive",
	KO: "머신 네트워크: beacon이 도착합니다",
}}

var keepOverlay = []finding.Remedy{{Text: finding.Text{
	EN: "open the overlay's port (flannel VXLAN: UDP 8472; Calico, Cilium VXLAN: UDP 4789, 8472) between all machines in every packet filter that is rolled out",
	KO: "배포하는 모든 패킷 필터에서 머신 사이의 overlay 포트(flannel VXLAN: UDP 8472, Calico와 Cilium VXLAN: UDP 4789, 8472)를 열어 둡니다",
}}}

func podNetworkDown(m *matrix, ways []way) finding.Finding {
	return finding.Finding{
		Subject:   finding.Subject{Kind: "Network", Name: "pods"},
		Mechanism: v1alpha1.MechanismUnreachable,
		Since:     m.since(podNetwork, ways, false),
		Title: finding.Format("the pod network carries nothing between any two machines (%s)", "Pod 네트워크에서 어느 머신 사이로도 패킷이 도착하지 않습니다(%s)",
			finding.List(machinesOf(ways))),
		Why: finding.Join(" ", finding.Text{
			EN: "Between all machines beacons over their own network arrive and those over the pod network do not: the overlay as a whole fails, not one machine.",
			KO: "모든 머신 사이에서 머신 네트워크의 beacon은 도착하지만 Pod 네트워크의 beacon은 도착하지 않습니다. 머신 하나가 아니라 overlay 전체의 문제입니다.",
		}, readyAnyway),
		Evidence: m.evidence(podNetwork, ways, false),
		RuledOut: []finding.Statement{underlayFine},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "are the network plugin's daemons up", KO: "네트워크 플러그인의 daemon이 실행 중인지 확인합니다"},
					Command: "kubectl get pods -A -o wide | grep -iE 'flannel|calico|cilium|weave|kube-router'; systemctl status flanneld", Machine: machinesOf(ways)[0],
				},
				{
					Text:    finding.Text{EN: "tunnel device, routes and forwarding entries", KO: "tunnel 장치, route, FDB 항목을 확인합니다"},
					Command: "ip -d link show type vxlan; ip route; bridge fdb show | grep dst", Machine: machinesOf(ways)[0],
				},
			},
			Later: keepOverlay,
		},
	}
}

func podSideBroken(m *matrix, b blame) finding.Finding {
	node := finding.Verbatim(b.node)
	return finding.Finding{
		Subject:   machineSubject(b.node),
		Mechanism: v1alpha1.MechanismUnreachable,
		Since:     m.since(podNetwork, b.ways, false),
		Title:     finding.Format("machine %s: pod network broken: %s", "머신 %s: Pod 네트워크가 끊겼습니다: %s", node, b.told()),
		Why: finding.Join(" ", finding.Format(
			"Between %s and %s beacons over the machines' network arrive and those over the pod network are lost, as %s see it; between the others the pod network works. The fault is on %s.",
			"%s와 %s 사이에서 머신 네트워크의 beacon은 도착하지만 Pod 네트워크의 beacon은 손실됩니다(%s에서 확인). 다른 머신 사이의 Pod 네트워크는 정상입니다. %s 쪽의 문제입니다.",
			node, finding.List(b.others()), finding.List(m.seenBy(podNetwork, b.ways)), node), readyAnyway),
		Evidence: m.evidence(podNetwork, b.ways, false),
		RuledOut: []finding.Statement{underlayFine},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "does a packet filter drop the overlay (VXLAN: UDP 8472 or 4789)", KO: "패킷 필터가 overlay(VXLAN: UDP 8472 또는 4789)를 차단하는지 확인합니다"},
					Command: "nft list ruleset | grep -nE '8472|4789|drop'; iptables-save | grep -nE '8472|4789|DROP'", Machine: b.node,
				},
				{
					Text:    finding.Text{EN: "tunnel device, routes and forwarding entries", KO: "tunnel 장치, route, FDB 항목을 확인합니다"},
					Command: "ip -s -d link show type vxlan; ip route; bridge fdb show | grep dst; ip neigh show nud permanent", Machine: b.node,
				},
			},
			Later: keepOverlay,
		},
	}
}

func podWayBroken(m *matrix, w way) finding.Finding {
	from, to := finding.Verbatim(w.from), finding.Verbatim(w.to)
	f := finding.Finding{
		Subject:   pathSubject(w),
		Mechanism: v1alpha1.MechanismUnreachable,
		Since:     m.since(podNetwork, []way{w}, false),
		Title:     finding.Format("%s -> %s: packets over the pod network are lost", "%s -> %s: Pod 네트워크의 패킷이 손실됩니다", from, to),
		Why: finding.Join(" ", finding.Format(
			"What %s sends to %s over the machines' network arrives, what it sends over the pod network does not. Connections between pods of the two fail in both directions.",
			"%s에서 %s로 머신 네트워크로 보낸 beacon은 도착하지만 Pod 네트워크로 보낸 것은 도착하지 않습니다. 두 머신의 Pod 사이 연결은 양방향 모두 실패합니다.", from, to), readyAnyway),
		Evidence: m.evidence(podNetwork, []way{w}, false),
		RuledOut: []finding.Statement{underlayFine},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text: finding.Text{
					EN: "route, neighbour and forwarding entry for the other machine, on the one that sends",
					KO: "보내는 머신에서 상대 머신에 대한 route, neighbour, FDB 항목을 확인합니다",
				},
				Command: "ip route get " + cmp.Or(m.podAddressOf(w.to), m.addressOf(w.to)) + "; ip neigh show nud permanent; bridge fdb show | grep " + m.addressOf(w.to), Machine: w.from,
			}},
			Later: keepOverlay,
		},
	}
	if by, ok := m.reports[w.from]; ok {
		key := snapshot.KeyOf("mesh", "peer", w.to, "pod-out-error")
		if e := by.Value(key); e != "" {
			f.Why = finding.Join(" ", f.Why, finding.Format("%s cannot even send them: %s.", "%s에서 보내는 것부터 실패합니다: %s.", from, finding.Verbatim(finding.Quote(e))))
			f.Evidence = append(f.Evidence, by.Evidence(key))
		}
	}
	if m.judge(w.back(), podNetwork) == fine {
		f.RuledOut = append(f.RuledOut, finding.Statement{Text: finding.Format("the direction %s -> %s: its beacons arrive", "%s -> %s 방향: beacon이 도착합니다", to, from)})
	}
	return f
}
