package network

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ForwardingDisabled",
	Title: finding.Text{EN: "machine does not forward the packets of its pods", KO: "머신이 Pod의 패킷을 전달하지 않습니다"},
	Doc: finding.Text{
		EN: "net.ipv4.ip_forward is 0: the kernel drops what pods send to other machines and what others send to them, and Services of other ports than the host's. Nodes and pods stay Ready, for probes do not leave the machine. Some program sets it back (a reload of sysctl, a firewall, " +
			"a hardening script). Machines without pods that have an address of their own are a remark; those of IPv6 alone are left alone.",
		KO: "net.ipv4.ip_forward가 0입니다. kernel은 Pod와 다른 머신 사이의 패킷과 호스트 포트 외의 Service 트래픽을 버립니다. probe는 머신 밖으로 나가지 않으므로 노드와 Pod는 Ready로 보입니다. 다른 프로그램이 값을 되돌린 것입니다(sysctl 재적용, 방화벽, " +
			"보안 강화 스크립트). 고유 주소를 갖는 Pod가 없는 머신은 참고로 알리고, IPv6만 사용하는 머신은 대상이 아닙니다.",
	},
	Link: "https://kubernetes.io/docs/setup/production-environment/container-runtimes/#prerequisite-ipv4-forwarding-optional", Severity: finding.Critical,
	Needs:   flannelNeeds(),
	Machine: append(flannelEvidence, "sysctl/net.ipv4.ip_forward", "interface/pod-links", "interface/*/addresses"),
	For:     15 * time.Second, Detect: forwardingDisabled,
})

func forwardingDisabled(p *rule.Pass) {
	v := readFlannel(p)
	for _, m := range p.Machines() {
		if m.Value("sysctl/net.ipv4.ip_forward") != "0" {
			continue
		}
		pods, _ := m.Int("interface/pod-links")
		peers := v.of(m).peers()
		f := finding.Finding{
			Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismMisconfigured, Field: "net.ipv4.ip_forward",
			Title: finding.Textf("machine %s: the packets of its pods are not forwarded (net.ipv4.ip_forward is 0)", "머신 %s: Pod의 패킷이 전달되지 않습니다(net.ipv4.ip_forward=0)", m.Node()),
			Why: finding.Textf("The kernel drops all that its pods (%d) send beyond the machine and all that others send them. Nodes and pods stay Ready: probes do not leave their machine.",
				"kernel이 이 머신의 Pod(%d개)가 머신 밖으로 보내는 패킷과 밖에서 Pod로 오는 패킷을 모두 버립니다. probe는 머신 밖으로 나가지 않으므로 노드와 Pod는 Ready로 남습니다.", pods),
			Evidence: []finding.Evidence{m.Evidence("sysctl/net.ipv4.ip_forward"), m.Evidence("interface/pod-links")},
			Explains: append(waysOut(m.Node(), peers), waysIn(m.Node(), peers)...),
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{Text: finding.Text{EN: "turn it on", KO: "설정을 켭니다"}, Command: "sysctl -w net.ipv4.ip_forward=1", Machine: m.Node()},
					{Text: finding.Text{EN: "which file turns it off", KO: "어느 파일이 끄는지 확인합니다"}, Command: "grep -rn ip_forward /etc/sysctl.conf /etc/sysctl.d /run/sysctl.d /usr/lib/sysctl.d", Machine: m.Node()},
				},
				Later: []finding.Remedy{{Text: finding.Text{EN: "set it in /etc/sysctl.d on every machine, in a file that sorts last", KO: "모든 머신의 /etc/sysctl.d에서 마지막에 적용되는 파일에 설정합니다"}}},
			},
		}
		if pods == 0 {
			f.Severity = finding.Info
			f.Why = finding.Text{EN: "No pod here has an address of its own; the first that does is cut off.", KO: "고유 주소를 갖는 Pod가 지금은 없지만, 생기면 단절됩니다."}
		}
		p.Report(f)
	}
}
