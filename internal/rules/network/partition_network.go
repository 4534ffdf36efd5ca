package network

import (
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "NetworkPartitioned",
	Title: finding.Text{EN: "machines are cut off from each other", KO: "머신들이 서로 끊겨 있습니다"},
	Doc: finding.Text{
		EN: "The machines fall into sides: within a side all hear each other, and between the sides nothing arrives in either direction. Each side takes the other for dead; the side with the API server (and a majority of etcd) decides. " +
			"With reports of both sides it is certain that both live; seen from one side alone, several machines lost at one moment can also be off. One machine lost is MachineUnreachable, a path that fails in one direction is HostPathBroken.",
		KO: "머신들이 여러 쪽으로 나뉘었습니다. 같은 쪽에서는 서로 신호를 받지만 다른 쪽과는 어느 방향으로도 통신되지 않습니다. 각 쪽은 상대가 죽었다고 보며, API server(와 etcd 과반수)가 있는 쪽이 결정합니다. " +
			"양쪽의 보고서가 있으면 모두 살아 있음이 확실하고, 한쪽에서만 보면 동시에 끊긴 머신들이 꺼졌을 수도 있습니다. 머신 하나가 끊기면 MachineUnreachable, 한 방향만 끊긴 경로는 HostPathBroken입니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction",
	Severity: finding.Critical,
	Needs:    meshNeeds(),
	Machine:  append([]snapshot.EvidenceKey{"cluster/node/*/control-plane"}, meshKeys...),
	Causes:   []rule.Cause{{Code: "LinkFlapping", Via: rule.OnMachine}, {Code: "InterfaceDown", Via: rule.OnMachine}},
	Detect:   detectNetworkPartitioned,
})

func detectNetworkPartitioned(p *rule.Pass) {
	m := readMatrix(p)
	s := findSides(m)
	switch {
	case len(s.whole) > 1:
		p.Report(partition(p, m, s))
	case len(s.group) > 1:
		p.Report(lostAtOnce(p, m, s))
	}
}

// partition is a cut that is seen from several sides.
func partition(p *rule.Pass, m *matrix, s sides) finding.Finding {
	var names []finding.Text
	for _, side := range s.whole {
		names = append(names, finding.List(side))
	}
	between := finding.Join(" | ", names...)
	f := finding.Finding{
		Subject:   finding.Subject{Kind: "Network", Name: "machines"},
		Mechanism: v1alpha1.MechanismUnreachable,
		Since:     m.since(hostNetwork, s.ways, false),
		Title:     finding.Format("the network between machines is cut: %s", "머신 사이의 네트워크가 끊겼습니다: %s", between),
		Why: finding.Format(
			"Agents on each side (%s) report: they hear the machines of their own side, and nothing of the other, in either direction. All of them run; what is between them does not.",
			"각 쪽(%s)의 agent 보고서에서 같은 쪽 머신의 신호는 들리지만 다른 쪽의 신호는 어느 방향으로도 들리지 않습니다. 머신은 모두 살아 있고 그 사이가 끊겼습니다.", between),
		Evidence: m.evidence(hostNetwork, s.ways, false),
		RuledOut: []finding.Statement{{Text: finding.Text{EN: "machines off: both sides report", KO: "머신 꺼짐: 양쪽이 모두 보고합니다"}}},
		Remedies: cutRemedies(m, s.whole[0][0], s.whole[1][0]),
	}
	for _, side := range s.whole[1:] {
		for _, node := range side {
			f.Explains = append(f.Explains, finding.Subject{Kind: "Node", Name: node})
		}
	}
	if alone := s.whole[len(s.whole)-1]; len(s.whole) == 2 && len(alone) == 1 && len(s.whole[0]) > 1 {
		f.Subject = machineSubject(alone[0])
		f.Severity = lossOf(p, alone[0])
		f.Title = finding.Format("machine %s is cut off from all others: %s", "머신 %s: 다른 모든 머신과 연결이 끊겼습니다(%s)", finding.Verbatim(alone[0]), finding.List(s.whole[0]))
	}
	return f
}

// lossOf is how grave it is that one machine is cut off: as grave as the loss of its node, unless the cluster's control
// plane is on it.
func lossOf(p *rule.Pass, node string) finding.Severity {
	for _, by := range p.Machines() {
		if by.True(snapshot.KeyOf("cluster", "node", node, "control-plane")) {
			return finding.Critical
		}
	}
	return finding.Warning
}

// lostAtOnce is what one side sees of a cut, or of a power failure.
func lostAtOnce(p *rule.Pass, m *matrix, s sides) finding.Finding {
	var lost, seenBy []string
	var ways []way
	var last time.Time
	for _, l := range s.group {
		lost = append(lost, l.node)
		seenBy = append(seenBy, l.seenBy...)
		ways = append(ways, l.ways...)
		last = finding.Later(last, l.last)
	}
	slices.Sort(seenBy)
	seenBy = slices.Compact(seenBy)
	f := finding.Finding{
		Subject:    finding.Subject{Kind: "Network", Name: "machines"},
		Mechanism:  v1alpha1.MechanismUnreachable,
		Since:      last,
		Confidence: v1alpha1.ConfidenceMedium,
		Title: finding.Format("the network between machines is cut: %s hear nothing of %s", "머신 사이의 네트워크가 끊겼습니다: %s에서 %s의 신호가 들리지 않습니다",
			finding.List(seenBy), finding.List(lost)),
		Why: finding.Format(
			"%s were lost within seconds of each other, over the machines' network and the pod network, and neither answer nor refuse. What they share failed: a switch, a cable, a rack's power. From this side a cut and machines that are off look alike.",
			"%s의 신호가 몇 초 안에 함께 끊겼습니다. 머신 네트워크와 Pod 네트워크 모두 응답도 거부도 없습니다. 스위치, 케이블, 랙 전원 등 공통으로 쓰는 것이 실패했습니다. 이쪽에서는 네트워크 단절과 머신 꺼짐을 구분할 수 없습니다.", finding.List(lost)),
		Evidence: m.evidence(hostNetwork, ways, false),
		Remedies: cutRemedies(m, seenBy[0], lost[0]),
	}
	for _, node := range lost {
		f.Explains = append(f.Explains, finding.Subject{Kind: "Node", Name: node})
	}
	if len(seenBy) == 1 && len(lost)+1 >= len(m.nodes) {
		self := seenBy[0]
		f.Subject = machineSubject(self)
		f.Explains = append(f.Explains, finding.Subject{Kind: "Node", Name: self})
		f.Severity = lossOf(p, self)
		f.Title = finding.Format("machine %s hears no other machine: %s", "머신 %s에서 다른 머신의 신호가 전혀 들리지 않습니다: %s", finding.Verbatim(self), finding.List(lost))
		f.Why = finding.Join(" ", f.Why, finding.Format("Only %s reports, so its own connection is the first to be looked at.", "%s의 보고서만 있으므로 이 머신의 네트워크 연결을 먼저 확인해야 합니다.", finding.Verbatim(self)))
	}
	return f
}

func cutRemedies(m *matrix, from, to string) finding.Remedies {
	address := to
	for _, by := range m.sources() {
		if a := by.Value(snapshot.KeyOf("mesh", "peer", to, "address")); a != "" {
			address = a
		}
	}
	var where []string
	for _, by := range m.sources() {
		where = append(where, by.Node())
	}
	machine := from
	if !slices.Contains(where, from) && len(where) > 0 {
		machine = where[0]
	}
	return finding.Remedies{
		Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "link and route on this side", KO: "이쪽의 링크와 라우팅을 확인합니다"},
				Command: strings.Join([]string{"ip -s link", "ip route get " + address, "ip neigh show to " + address, "ping -c 3 " + address}, "; "), Machine: machine,
			},
			{Text: finding.Text{
				EN: "look at what the sides do not share: switch, trunk, VLAN, firewall, security group",
				KO: "양쪽이 공유하지 않는 것(스위치, trunk, VLAN, 방화벽, security group)을 확인합니다",
			}},
			{Text: finding.Text{
				EN: "do not drain or delete nodes meanwhile: what runs on the other side goes on running, and would run twice",
				KO: "그동안 노드를 drain하거나 삭제하지 않습니다. 다른 쪽의 Pod는 계속 실행 중이므로 이중으로 실행될 수 있습니다",
			}},
		},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "two independent links between the parts of the cluster, and control planes in three of them",
			KO: "클러스터의 각 부분을 독립된 링크 2개로 연결하고 control plane을 세 곳에 나누어 둡니다",
		}}},
	}
}
