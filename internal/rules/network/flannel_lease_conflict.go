package network

import (
	"maps"
	"net"
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "FlannelLeaseConflict",
	Title: finding.Text{EN: "two nodes announce the same thing to flannel", KO: "두 노드가 flannel에 같은 값을 알립니다"},
	Doc: finding.Text{
		EN: "The machines find each other by what flannel announces: a subnet, the machine's address, the hardware address of its VXLAN device. Where two nodes announce the same address or hardware address (cloned machines, a wrong interface, as all machines of " +
			"Vagrant have 10.0.2.15), or leases in etcd hold overlapping subnets, traffic for one of them ends at the other. A hardware address that is a group's is no machine's either. " +
			"Nodes' podCIDRs that overlap and addresses shared in annotations are PodCIDRConflict's; what was announced in the last minute and a half is left alone.",
		KO: "머신은 flannel이 알린 subnet, 머신 주소, VXLAN 장치의 MAC 주소로 서로를 찾습니다. 두 노드가 같은 주소나 MAC 주소를 알리거나(복제한 머신, 잘못된 인터페이스. Vagrant 머신은 모두 10.0.2.15), etcd의 lease들이 겹치는 subnet을 가지면 한쪽으로 갈 트래픽이 다른 쪽으로 갑니다. " +
			"그룹(multicast) MAC 주소도 머신의 것이 아닙니다. 겹치는 podCIDR과 annotation에서 공유된 주소는 PodCIDRConflict에서 다루며, 알린 지 1분 30초가 안 된 값은 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/troubleshooting.md", Severity: finding.Critical,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: flannelLeaseConflict,
})

func flannelLeaseConflict(p *rule.Pass) {
	v := readFlannel(p)
	found := map[string]*finding.Finding{}
	judge := func(holders []holder, inEtcd bool) {
		byMAC, byIP := map[string]holder{}, map[string]holder{}
		var last holder
		for _, h := range holders {
			if h.changing {
				continue
			}
			if mac, err := net.ParseMAC(h.mac); err == nil && mac[0]&1 != 0 {
				addConflict(found, h, holder{}, finding.Textf("It announces %s, which is a group's hardware address and no device's.", "알린 MAC 주소 %s는 그룹 주소로, 장치의 주소일 수 없습니다.", h.mac))
			}
			if other, taken := byMAC[h.mac]; taken && h.mac != "" {
				addConflict(found, h, other, finding.Textf("It announces the hardware address %s, as %s does.", "알린 MAC 주소 %s가 %s와 같습니다.", h.mac, other.name()))
			}
			if other, taken := byIP[h.publicIP]; taken && inEtcd {
				addConflict(found, h, other, finding.Textf("Its lease of %s has the address %s, as the lease of %s has.", "%s의 lease 주소 %s가 %s의 lease와 같습니다.", h.subnet, h.publicIP, other.subnet))
			}
			// Sorted by address, one that overlaps an earlier one overlaps the one before it, or what that lies in.
			if inEtcd && last.subnet.IsValid() && last.subnet.Overlaps(h.subnet) && last.subnet != h.subnet {
				addConflict(found, h, last, finding.Textf("Its lease of %s overlaps %s of %s.", "lease %s가 %[3]s의 %[2]s와 겹칩니다.", h.subnet, last.subnet, last.name()))
			} else {
				last = h
			}
			byMAC[h.mac], byIP[h.publicIP] = h, h
		}
	}
	judge(v.nodes, false)
	for _, m := range p.Machines() {
		switch {
		case m.Value("flannel/store") == "etcd":
			judge(v.leases(m), true)
		case len(v.nodes) == 0:
			judge(remembered(m), false)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		p.Report(*found[name])
	}
}

// addConflict adds what two holders share to the finding about one of them, once.
func addConflict(found map[string]*finding.Finding, h, other holder, says finding.Text) {
	f := found[h.name()]
	if f == nil {
		f = &finding.Finding{
			Subject: finding.Subject{Kind: "Node", Name: h.name()}, Mechanism: v1alpha1.MechanismMisconfigured,
			Title: finding.Textf("node %s announces to flannel what is not its own", "노드 %s: 자신의 것이 아닌 값을 flannel에 알립니다", h.name()),
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{Text: finding.Text{EN: "see what the machine has", KO: "머신의 실제 값을 확인합니다"}, Command: "ip -d addr show; ps -o args= -C flanneld", Machine: h.node},
					{Text: finding.Text{EN: "tell flanneld which interface to use (--iface), delete its flannel device, and start it anew: it announces itself again", KO: "flanneld에 사용할 인터페이스를 지정하고(--iface) flannel 장치를 지운 뒤 다시 시작하면 다시 알립니다"}, Command: "ip link del " + h.device() + "; systemctl restart flanneld", Machine: h.node},
				},
				Later: []finding.Remedy{{Text: finding.Text{EN: "let every machine have addresses and a machine-id of its own before it joins", KO: "머신이 참여하기 전에 고유한 주소와 machine-id를 갖게 합니다"}}},
			},
		}
		found[h.name()] = f
	}
	if says.EN != "" && !containsText(f.Why, says) {
		f.Why = finding.Join(" ", f.Why, says)
		f.Explains = append(f.Explains, finding.Subject{Kind: "Machine", Name: h.name(), Machine: h.node})
		f.Evidence = append(f.Evidence, h.said)
		if other.said.Source != "" {
			f.Evidence = append(f.Evidence, other.said)
		}
		switch {
		case other.said.Source == "":
		case other.name() == h.name():
			f.Severity = finding.Warning // The old one may only be left over.
			f.Title = finding.Textf("node %s: two flannel leases have its address", "노드 %s: 두 flannel lease가 이 노드의 주소를 갖고 있습니다", h.name())
		default:
			f.Severity = finding.Critical
			f.Title = finding.Textf("node %s announces to flannel what node %s announces too", "노드 %s: 노드 %s와 같은 값을 flannel에 알립니다", h.name(), other.name())
		}
	}
}
