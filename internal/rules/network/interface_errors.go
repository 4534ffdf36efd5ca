package network

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "InterfaceErrors",
	Title: finding.Text{EN: "network interface damages packets", KO: "네트워크 인터페이스에서 패킷 오류가 발생합니다"},
	Doc: finding.Text{
		EN: "Over the last minutes more than one packet in a hundred on an interface had errors: a bad cable or transceiver, or two ends that do not agree on speed and duplex. TCP becomes slow long before anything fails. " +
			"Errors of the past, fewer of them, and packets that were dropped for other reasons, are left alone.",
		KO: "최근 몇 분 동안 인터페이스의 패킷 100개 중 1개 이상에서 오류가 발생했습니다. 케이블이나 트랜시버가 불량이거나 양쪽의 속도와 duplex 설정이 다릅니다. 장애가 나기 훨씬 전부터 TCP가 느려집니다. " +
			"과거의 오류, 그보다 적은 오류, 다른 이유로 버려진 패킷은 대상이 아닙니다.",
	},
	Link: "https://docs.kernel.org/networking/statistics.html", Severity: finding.Warning,
	Needs: hostNeeds(), Machine: interfaceKeys, Detect: interfaceErrors,
})

const (
	// badShare of packets with errors is more than a line may have (0.01), and fewestErrors more than chance.
	badShare     = 0.01
	fewestErrors = 10
)

func interfaceErrors(p *rule.Pass) {
	nodes := nodeAddresses(p)
	for _, m := range p.Machines() {
		for _, i := range interfacesOf(m, nodes) {
			share, _ := m.Float(i.key("error-share"))
			count, _ := m.Int(i.key("errors-new"))
			if share < badShare || count < fewestErrors {
				continue
			}
			f := finding.Finding{
				Subject: i.subject(), Mechanism: v1alpha1.MechanismDegraded,
				Title: finding.Textf("machine %s: %.1f %% of the packets of interface %s have errors", "머신 %s: 인터페이스 %[3]s 패킷의 %.1[2]f%%에 오류가 있습니다", m.Node(), 100*share, i.name),
				Why: finding.Textf("%d packets within the last minutes. TCP sends them again, and becomes slow.",
					"최근 몇 분 동안 %d개입니다. TCP가 다시 보내므로 느려집니다.", count),
				Evidence: []finding.Evidence{m.Evidence(i.key("error-share")), m.Evidence(i.key("rx-errors")), m.Evidence(i.key("tx-errors"))},
				Remedies: finding.Remedies{
					Now: []finding.Remedy{{
						Text:    finding.Text{EN: "which errors, and do speed and duplex agree with the switch's port", KO: "오류 종류와, 속도와 duplex가 스위치 포트와 같은지 확인합니다"},
						Command: "ip -s -s link show " + finding.ShellWord(i.name) + "; ethtool " + finding.ShellWord(i.name) + "; ethtool -S " + finding.ShellWord(i.name) + " | grep -E 'err|crc|drop'", Machine: m.Node(),
					}},
					Later: []finding.Remedy{{Text: finding.Text{EN: "change the cable or the transceiver", KO: "케이블이나 트랜시버를 바꿉니다"}}},
				},
			}
			if i.value("duplex") == "half" {
				f.Why = finding.Join(" ", f.Why, finding.Text{EN: "Its duplex is half: the two ends did not agree.", KO: "duplex가 half이므로 양쪽의 설정이 맞지 않습니다."})
				f.Evidence = append(f.Evidence, m.Evidence(i.key("duplex")))
			}
			p.Report(f)
		}
	}
}
