package network

import (
	"strconv"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PathMtuTooSmall",
	Title: finding.Text{EN: "large packets are lost on the way", KO: "큰 패킷이 도중에 손실됩니다"},
	Doc: finding.Text{
		EN: "Small beacons arrive, and those that fill the MTU that both machines have do not: something between them carries less than they believe and says nothing about it. Small requests succeed, and whatever sends much hangs. " +
			"Over the machines' network it is a port, switch or tunnel with a smaller MTU; where only the pod network is affected, the overlay's MTU is too large for what carries it (VXLAN takes 50 bytes, IP-in-IP 20, WireGuard 60 to 80). " +
			"A machine whose every large packet is lost is named with the direction. Machines with different MTUs are measured with the smaller one, as TCP would use it.",
		KO: "작은 beacon은 도착하지만 두 머신의 MTU를 가득 채운 beacon은 도착하지 않습니다. 그 사이의 무언가가 더 작은 패킷만 나르면서 알리지 않는 것입니다. 작은 요청은 성공하고 큰 데이터를 보내면 멈춥니다. " +
			"머신 네트워크라면 MTU가 작은 포트, 스위치, tunnel 때문이고, Pod 네트워크만 그렇다면 overlay의 MTU가 하위 네트워크에 비해 너무 큽니다(VXLAN은 50바이트, IP-in-IP는 20바이트, WireGuard는 60~80바이트를 사용합니다). " +
			"큰 패킷이 모두 손실되는 머신은 방향과 함께 알립니다. MTU가 서로 다른 머신은 TCP처럼 작은 쪽으로 측정합니다.",
	},
	Link:     "https://www.rfc-editor.org/rfc/rfc2923",
	Severity: finding.Warning, Gravest: finding.Critical,
	Needs:   meshNeeds(),
	Machine: meshKeys,
	For:     pathLasts,
	Causes:  []rule.Cause{{Code: "OverlayMtuMismatch", Via: rule.OnMachine}, {Code: "OverlayMtuMismatch", Via: rule.Claimed}, {Code: "MtuDiffers", Via: rule.OnMachine}},
	Detect:  detectPathMtuTooSmall,
})

func detectPathMtuTooSmall(p *rule.Pass) {
	m := readMatrix(p)
	host := tooLarge(m, hostNetwork)
	reportMtu(p, m, hostNetwork, host)
	// What the machines' network does not carry, the pod network on top of it cannot carry either.
	if len(host.nodes)+len(host.single) == 0 {
		reportMtu(p, m, podNetwork, tooLarge(m, podNetwork))
	}
}

// tooLarge shares out the directions in which small beacons arrive and large ones do not.
func tooLarge(m *matrix, network pathNetwork) blamed {
	var good, bad []way
	for _, w := range m.directions(network) {
		c := m.ways[network][w]
		switch {
		case c.big < 0 || m.judge(w, network) != fine:
		case c.big >= lostFrom:
			bad = append(bad, w)
		case c.big <= fineUpTo:
			good = append(good, w)
		}
	}
	return shareOut(good, bad)
}

func reportMtu(p *rule.Pass, m *matrix, network pathNetwork, found blamed) {
	if found.everywhere {
		f := mtuFinding(m, network, finding.Subject{Kind: "Network", Name: map[pathNetwork]string{hostNetwork: "machines", podNetwork: "pods"}[network]}, found.single)
		f.Severity = finding.Critical
		f.Title = finding.Format("large packets are lost between all machines over %s", "모든 머신 사이에서 %s의 큰 패킷이 손실됩니다", networkName(network))
		p.Report(f)
		return
	}
	for _, b := range found.nodes {
		f := mtuFinding(m, network, machineSubject(b.node), b.ways)
		f.Severity = finding.Critical
		f.Title = finding.Format("machine %s: packets of %s bytes are lost over %s %s, small ones arrive", "머신 %s: %[3]s에서 %[4]s %[2]s바이트 패킷이 손실되고 작은 패킷은 도착합니다",
			finding.Verbatim(b.node), finding.Verbatim(m.sizeOf(network, b.ways)), networkName(network), directionName(b))
		p.Report(f)
	}
	for _, w := range found.single {
		f := mtuFinding(m, network, pathSubject(w), []way{w})
		f.Title = finding.Format("%s -> %s: packets of %s bytes are lost over %s, small ones arrive", "%s -> %s: %[4]s에서 %[3]s바이트 패킷이 손실되고 작은 패킷은 도착합니다",
			finding.Verbatim(w.from), finding.Verbatim(w.to), finding.Verbatim(m.sizeOf(network, []way{w})), networkName(network))
		p.Report(f)
	}
}

func networkName(network pathNetwork) finding.Text {
	if network == podNetwork {
		return finding.Text{EN: "the pod network", KO: "Pod 네트워크"}
	}
	return finding.Text{EN: "the machines' network", KO: "머신 네트워크"}
}

func directionName(b blame) finding.Text {
	switch {
	case b.out && b.in:
		return finding.Text{EN: "in both directions", KO: "양방향으로"}
	case b.out:
		return finding.Text{EN: "on their way out", KO: "나가는"}
	default:
		return finding.Text{EN: "on their way in", KO: "들어오는"}
	}
}

// sizeOf is how long the packets were that are lost, with their IP header.
func (m *matrix) sizeOf(network pathNetwork, ways []way) string {
	for _, w := range ways {
		by := m.ways[network][w].by
		peer := w.from
		if peer == by.Node() {
			peer = w.to
		}
		if size, ok := by.Int(snapshot.KeyOf("mesh", "peer", peer, string(network)+"-big-size")); ok {
			return strconv.FormatInt(size, 10)
		}
	}
	return "?"
}

func mtuFinding(m *matrix, network pathNetwork, subject finding.Subject, ways []way) finding.Finding {
	w := ways[0]
	size := m.sizeOf(network, ways)
	f := finding.Finding{
		Subject:   subject,
		Mechanism: v1alpha1.MechanismMisconfigured,
		Field:     "mtu",
		Since:     m.since(network, ways, true),
		Why: finding.Format(
			"Both ends have an MTU of at least %s bytes, and packets of that length, which must not be fragmented, do not arrive where small ones do (seen by %s). Small requests succeed, and large answers, uploads and image pulls hang.",
			"양 끝의 MTU는 %s바이트 이상이지만, 단편화를 금지한 그 길이의 패킷은 작은 패킷이 도착하는 곳에 도착하지 않습니다(%s에서 확인). 작은 요청은 성공하고 큰 응답, 업로드, 이미지 pull은 멈춥니다.",
			finding.Verbatim(size), finding.List(m.seenBy(network, ways))),
		Evidence: m.evidence(network, ways, true),
		RuledOut: []finding.Statement{{Text: finding.Text{EN: "a path that is cut: small beacons arrive", KO: "경로 단절: 작은 beacon은 도착합니다"}}},
	}
	to := m.addressOf(w.to)
	if network == podNetwork {
		to = m.podAddressOf(w.to)
		f.RuledOut = append(f.RuledOut, finding.Statement{Text: finding.Text{
			EN: "the machines' own network: its large beacons arrive, or are not known to be lost", KO: "머신 네트워크: 큰 beacon이 손실된 기록이 없습니다",
		}})
	}
	machine := w.from
	if subject.Machine != "" {
		machine = subject.Machine
	}
	if machine == w.to {
		to = m.addressOf(w.from)
		if network == podNetwork {
			to = m.podAddressOf(w.from)
		}
	}
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "which length still gets through (each line that is answered does)", KO: "어느 길이까지 도착하는지 확인합니다(응답이 있는 길이까지입니다)"},
				Command: "for s in 1200 1350 1372 1400 1422 1472 8972; do ping -M do -c 1 -W 1 -s $s " + to + " | grep -E 'bytes from|too long'; done", Machine: machine,
			},
			{Text: finding.Text{
				EN: "give the ports and switches between them the MTU that the machines have, or lower the machines' MTU (and then the overlay's, by what it adds) to what gets through",
				KO: "사이의 포트와 스위치를 머신의 MTU에 맞추거나, 머신의 MTU(와 overlay의 MTU)를 도착하는 길이로 낮춥니다",
			}},
		},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "one MTU for every port that carries the cluster, and the overlay's below it by what it adds (VXLAN 50 bytes)",
			KO: "클러스터 트래픽이 지나는 모든 포트의 MTU를 통일하고, overlay의 MTU는 추가되는 크기(VXLAN 50바이트)만큼 작게 합니다",
		}}},
	}
	return f
}
