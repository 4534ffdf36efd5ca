package network

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "InterfaceDown",
	Title: finding.Text{EN: "network interface that the cluster uses has no link", KO: "클러스터가 사용하는 네트워크 인터페이스의 링크가 없습니다"},
	Doc: finding.Text{
		EN: "The interface with the node's address, one through which its storage is reached, or a member of a bond is switched off or has no link: a cable, a transceiver, a port of the switch. A bond goes on with its other members until the next is lost. " +
			"Interfaces that the cluster uses for nothing, as free ports of a card, and states that a driver does not say, are left alone.",
		KO: "노드 주소가 있는 인터페이스, 스토리지에 연결되는 인터페이스, 또는 bond의 멤버가 꺼져 있거나 링크가 없습니다. 케이블, 트랜시버, 스위치 포트의 문제입니다. bond는 다음 멤버가 끊길 때까지 나머지 멤버로 동작합니다. " +
			"카드의 빈 포트처럼 클러스터가 사용하지 않는 인터페이스와 드라이버가 알려 주지 않는 상태는 대상이 아닙니다.",
	},
	Link: "https://docs.kernel.org/networking/operstates.html", Severity: finding.Warning,
	Needs: hostNeeds(), Machine: interfaceKeys, Detect: interfaceDown,
})

func interfaceDown(p *rule.Pass) {
	nodes := nodeAddresses(p)
	for _, m := range p.Machines() {
		told, interfaces := map[string]bool{}, interfacesOf(m, nodes)
		for _, i := range interfaces {
			if (i.node || i.storage != "") && (i.value("enabled") == "false" || i.value("carrier") == "false") {
				told[i.name] = true
				p.Report(downInterface(i))
			}
		}
		for _, i := range interfaces {
			for _, member := range m.Names(snapshot.EvidenceKey(string(snapshot.KeyOf("interface", i.name, "bond-member")) + "/*")) {
				if state := m.Value(snapshot.KeyOf("interface", i.name, "bond-member", member)); state != "up" && !told[member] {
					told[member] = true
					p.Report(downMember(i, member, state))
				}
			}
		}
	}
}

// mendLink are the steps at a link.
func mendLink(m snapshot.Machine, name string) finding.Remedies {
	word := finding.ShellWord(name)
	return finding.Remedies{
		Now: []finding.Remedy{
			{Text: finding.Text{EN: "what the card says", KO: "카드의 상태를 확인합니다"}, Command: "ip -s link show " + word + "; ethtool " + word + "; dmesg -T | grep " + word + " | tail", Machine: m.Node()},
			{Text: finding.Text{EN: "switch it on, where somebody switched it off; else look at the cable and the switch's port", KO: "꺼져 있으면 켜고, 아니면 케이블과 스위치 포트를 확인합니다"}, Command: "ip link set " + word + " up", Machine: m.Node()},
		},
		Later: []finding.Remedy{{Text: finding.Text{EN: "give each machine a bond over two switches", KO: "각 머신에 두 스위치에 걸친 bond를 구성합니다"}}},
	}
}

func downInterface(i hostInterface) finding.Finding {
	word := "carrier"
	says := finding.Text{EN: "has no link", KO: "링크가 끊겼습니다"}
	if i.value("enabled") == "false" {
		word, says = "enabled", finding.Text{EN: "is switched off", KO: "비활성화되어 있습니다"}
	}
	return finding.Finding{
		Subject: i.subject(), Mechanism: v1alpha1.MechanismUnreachable, Since: i.m.Since(i.key("carrier")),
		Title: finding.Format("machine %s: interface %s %s", "머신 %s: 인터페이스 %s %s", finding.Verbatim(i.m.Node()), finding.Verbatim(i.name), says),
		Why: finding.Format("It carries %s (%s).", "%s에 사용됩니다(%s).",
			i.role(), finding.Verbatim(i.value("addresses"))),
		Evidence: []finding.Evidence{i.m.Evidence(i.key(word)), i.m.Evidence(i.key("state")), i.m.Evidence(i.key("addresses"))},
		Remedies: mendLink(i.m, i.name),
	}
}

func downMember(i hostInterface, member, state string) finding.Finding {
	key := snapshot.KeyOf("interface", i.name, "bond-member", member)
	f := finding.Finding{
		Subject: i.m.Subject("Interface", member), Mechanism: v1alpha1.MechanismDegraded, Since: i.m.Since(key),
		Title: finding.Textf("machine %s: %s, a member of bond %s, is %s", "머신 %s: bond %[3]s의 멤버 %[2]s 상태가 %[4]s입니다", i.m.Node(), member, i.name, state),
		Why: finding.Text{
			EN: "The bond goes on with its other members, with less room, and is cut with the last of them.",
			KO: "bond는 나머지 멤버로 동작하지만 대역폭이 줄고, 마지막 멤버가 끊기면 단절됩니다.",
		},
		Evidence: []finding.Evidence{i.m.Evidence(key)},
		Remedies: mendLink(i.m, member),
	}
	if mode := i.value("bond-mode"); mode != "" {
		f.Evidence = append(f.Evidence, i.m.Evidence(i.key("bond-mode")))
	}
	return f
}
