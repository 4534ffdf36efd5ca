package network

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "HostPathBroken",
	Title: finding.Text{EN: "packets between machines are lost in one direction", KO: "머신 사이의 패킷이 한 방향으로 손실됩니다"},
	Doc: finding.Text{
		EN: "Over the machines' own network, beacons of one machine do not arrive at another while both run and are heard elsewhere. Requests and answers between them fail whichever direction is cut; one-way beacons say which. " +
			"Where all that a machine sends, or all that it should receive, is lost, that machine's side is to blame: its filter, its cable, its switch port, a wrong route or neighbour entry. A direction that fails by itself is told as a path. " +
			"Lost machines, partitions, single lost packets, and beacons that alone are filtered while requests are answered, are left alone.",
		KO: "머신 네트워크에서 한 머신의 beacon이 다른 머신에 도착하지 않습니다. 두 머신은 모두 실행 중이고 다른 곳에서는 신호가 들립니다. 어느 방향이 끊겨도 요청과 응답은 똑같이 실패하지만, 단방향 beacon은 방향을 알려 줍니다. " +
			"한 머신이 보내는 것 전부 또는 받아야 할 것 전부가 손실되면 그 머신 쪽(패킷 필터, 케이블, 스위치 포트, 잘못된 route나 neighbour 항목)의 문제입니다. 한 방향만 실패하면 경로로 보고합니다. " +
			"끊긴 머신, 네트워크 분할, 패킷 하나의 손실, 요청은 응답되는데 beacon만 차단된 경우는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/cluster-administration/networking/",
	Severity: finding.Warning,
	Needs:    meshNeeds(),
	Machine:  meshKeys,
	For:      pathLasts,
	Causes: []rule.Cause{
		{Code: "LinkFlapping", Via: rule.OnMachine},
		{Code: "InterfaceDown", Via: rule.OnMachine},
		{Code: "InterfaceErrors", Via: rule.OnMachine},
		{Code: "DuplicateAddress", Via: rule.OnMachine},
		{Code: "PacketFilterBlocksCluster", Via: rule.OnMachine, Holds: filtersAll},
	},
	Detect: detectHostPathBroken,
})

func detectHostPathBroken(p *rule.Pass) {
	m := readMatrix(p)
	s := findSides(m)
	good, bad := m.sort(hostNetwork, func(w way) bool { return !s.cutOff(w) })
	found := shareOut(good, bad)
	for _, b := range found.nodes {
		p.Report(hostSideBroken(m, b))
	}
	for _, w := range found.single {
		p.Report(hostWayBroken(m, w))
	}
}

// told is what fails on a machine's side, for a title.
func (b blame) told() finding.Text {
	switch {
	case b.out && b.in:
		return finding.Text{EN: "neither what it sends arrives, nor what others send it", KO: "보내는 패킷도 받는 패킷도 도착하지 않습니다"}
	case b.out:
		return finding.Text{EN: "what it sends does not arrive", KO: "보내는 패킷이 도착하지 않습니다"}
	default:
		return finding.Text{EN: "what others send it does not arrive", KO: "다른 머신이 보내는 패킷이 도착하지 않습니다"}
	}
}

func hostSideBroken(m *matrix, b blame) finding.Finding {
	node := finding.Verbatim(b.node)
	return finding.Finding{
		Subject:   machineSubject(b.node),
		Mechanism: v1alpha1.MechanismUnreachable,
		Since:     m.since(hostNetwork, b.ways, false),
		Title:     finding.Format("machine %s: %s (%s)", "머신 %s: %s(%s)", node, b.told(), finding.List(b.others())),
		Why: finding.Format(
			"Beacons between %s and %s are lost in that direction at every machine that counts them (%s), and arrive between the others: it is %s's side that fails, and the machine runs.",
			"%s와 %s 사이에서 이 방향의 beacon이 관측한 모든 머신(%s)에서 손실되고 다른 머신 사이에서는 도착합니다. 머신은 실행 중이며 %s 쪽의 문제입니다.",
			node, finding.List(b.others()), finding.List(m.seenBy(hostNetwork, b.ways)), node),
		Evidence: m.evidence(hostNetwork, b.ways, false),
		Explains: []finding.Subject{{Kind: "Node", Name: b.node}},
		RuledOut: []finding.Statement{{Text: finding.Text{EN: "machine off: its beacons or its report arrive", KO: "머신 꺼짐: beacon이나 보고서가 도착합니다"}}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "packet filters, and errors of the interface", KO: "패킷 필터와 인터페이스 오류를 확인합니다"},
					Command: "nft list ruleset | grep -n drop; iptables-save | grep -n DROP; ip -s link", Machine: b.node,
				},
				{Text: finding.Text{EN: "then its switch port, cable and security group", KO: "이어서 스위치 포트, 케이블, security group을 확인합니다"}},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "change packet filters on one machine at a time, and look at the mesh before the next",
				KO: "패킷 필터는 머신 하나씩 변경하고, 다음 머신으로 넘어가기 전에 mesh를 확인합니다",
			}}},
		},
	}
}

func hostWayBroken(m *matrix, w way) finding.Finding {
	from, to := finding.Verbatim(w.from), finding.Verbatim(w.to)
	f := finding.Finding{
		Subject:   pathSubject(w),
		Mechanism: v1alpha1.MechanismUnreachable,
		Since:     m.since(hostNetwork, []way{w}, false),
		Title:     finding.Format("%s -> %s: packets over the machines' network are lost", "%s -> %s: 머신 네트워크의 패킷이 손실됩니다", from, to),
		Why:       finding.Format("Beacons that %s sends to %s do not arrive; both are heard elsewhere.", "%s에서 %s로 보내는 beacon이 도착하지 않습니다. 두 머신 모두 다른 곳에서는 신호가 들립니다.", from, to),
		Evidence:  m.evidence(hostNetwork, []way{w}, false),
		Remedies: finding.Remedies{Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "the way it takes, and who answers for the address", KO: "패킷이 가는 경로와 그 주소로 응답하는 머신을 확인합니다"},
				Command: "ip route get " + m.addressOf(w.to) + "; ip neigh show to " + m.addressOf(w.to), Machine: w.from,
			},
			{
				Text:    finding.Text{EN: "filters where they should arrive", KO: "받는 쪽의 패킷 필터를 확인합니다"},
				Command: "nft list ruleset | grep -n -B2 drop; iptables-save | grep -n DROP", Machine: w.to,
			},
		}},
	}
	if m.judge(w.back(), hostNetwork) == fine {
		f.RuledOut = []finding.Statement{{Text: finding.Format("the direction %s -> %s: its beacons arrive", "%s -> %s 방향: beacon이 도착합니다", to, from)}}
	} else {
		f.Confidence = v1alpha1.ConfidenceMedium
	}
	return f
}
