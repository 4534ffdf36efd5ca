package network

import (
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "OverlayMtuMismatch",
	Title: finding.Text{EN: "packets of pods do not fit the network below", KO: "Pod의 패킷이 하위 네트워크에 맞지 않습니다"},
	Doc: finding.Text{
		EN: "An overlay wraps each packet and so makes it longer (VXLAN over IPv4 by 50 bytes). Where its device takes larger packets than the machine's interface less that, or a pod bridge or the plugin's configuration larger ones than the overlay's device, small packets pass " +
			"and large ones are lost: connections open and then hang, probes stay green. A machine whose overlay merely takes another size than most is a remark, for TCP agrees on the smaller. Values that are smaller than they need be are left alone, as long as all machines agree.",
		KO: "오버레이는 패킷을 감싸므로 길어집니다(IPv4 VXLAN은 50바이트). 오버레이 장치의 MTU가 머신 인터페이스 MTU에서 이를 뺀 값보다 크거나, Pod bridge나 플러그인 설정의 MTU가 오버레이 장치보다 크면 작은 패킷은 통과하고 큰 패킷은 유실됩니다. " +
			"연결은 맺어지지만 멈추고 probe는 정상입니다. 오버레이의 MTU가 대부분의 머신과 다르기만 하면 TCP는 작은 쪽에 맞추므로 참고로 알립니다. 필요보다 작은 값은 모든 머신이 같다면 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/troubleshooting.md", Severity: finding.Warning,
	Needs: flannelNeeds(), Machine: flannelEvidence, Causes: []rule.Cause{{Code: "MtuDiffers", Via: rule.OnMachine}}, Detect: overlayMtuMismatch,
})

// overheads are what overlays add to a packet, in bytes: VXLAN over IPv4 an outer Ethernet header (14), IP
// (20), UDP (8) and its own (8); IP in IP another IP header (RFC 7348, RFC 2003).
var overheads = map[string]int64{"vxlan": 50, "ipip": 20}

func overlayMtuMismatch(p *rule.Pass) {
	v := readFlannel(p)
	usual := usualMTUs(p.Machines())
	for _, m := range p.Machines() {
		var says []finding.Text
		f := finding.Finding{Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismMisconfigured}
		for _, device := range m.Names("overlay/device/*/mtu") {
			says = append(says, mtuFaults(m, device, &f)...)
		}
		if len(says) == 0 {
			if other, ok := unusual(m, usual); ok {
				p.Report(other)
			}
		}
		if len(says) == 0 {
			continue
		}
		peers := v.of(m).peers()
		f.Explains = append(waysOut(m.Node(), peers), waysIn(m.Node(), peers)...)
		f.Title = finding.Textf("node %s: large packets of its pods do not fit the network below", "노드 %s: Pod의 큰 패킷이 하위 네트워크에 맞지 않습니다", m.Node())
		f.Why = finding.Join(" ", append(says, finding.Text{
			EN: "Small packets pass, so that probes and pings are well; transfers hang.", KO: "작은 패킷은 통과하므로 probe와 ping은 정상이지만 데이터 전송이 멈춥니다.",
		})...)
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "see all sizes on the machine", KO: "머신의 모든 MTU를 확인합니다"}, Command: "ip -o link | grep -o '^[0-9]*: [^:]*\\|mtu [0-9]*'; cat /run/flannel/subnet.env; grep -H mtu /etc/cni/net.d/*", Machine: m.Node()},
				restartFlannel(m),
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "set one MTU on the interfaces of all machines and the switch ports between them; flannel and its plugin take theirs from it. Pods keep the old one until they are made anew",
				KO: "모든 머신의 인터페이스와 그 사이 스위치 포트의 MTU를 같게 설정합니다. flannel과 플러그인은 이를 따릅니다. 기존 Pod는 다시 만들 때까지 이전 값을 유지합니다",
			}}},
		}
		p.Report(f)
	}
}

// usualMTUs are the sizes that most machines' overlay devices have, by device; none where fewer than three
// machines have it.
func usualMTUs(machines []snapshot.Machine) map[string]int64 {
	counts := map[string]map[int64]int{}
	for _, m := range machines {
		for _, device := range m.Names("overlay/device/*/vni") {
			if mtu, ok := m.Int(deviceKey(device, "mtu")); ok {
				if counts[device] == nil {
					counts[device] = map[int64]int{}
				}
				counts[device][mtu]++
			}
		}
	}
	usual := map[string]int64{}
	for device, sizes := range counts {
		total := 0
		for _, n := range sizes {
			total += n
		}
		for mtu, n := range sizes {
			if total >= 3 && 2*n > total {
				usual[device] = mtu
			}
		}
	}
	return usual
}

// unusual is a machine whose overlay device takes other sizes than most machines' do. TCP agrees on the
// smaller one when it connects, so that only large packets of others are lost.
func unusual(m snapshot.Machine, usual map[string]int64) (finding.Finding, bool) {
	for _, device := range m.Names("overlay/device/*/vni") {
		mtu, _ := m.Int(deviceKey(device, "mtu"))
		most, ok := usual[device]
		if !ok || mtu == most {
			continue
		}
		return finding.Finding{
			Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismMisconfigured, Field: device, Severity: finding.Info,
			Title: finding.Textf("node %s: %s takes packets of %d bytes, on most machines of %d", "노드 %s: %s의 MTU가 %d바이트인데 대부분의 머신에서는 %d바이트입니다", m.Node(), device, mtu, most),
			Why: finding.Text{
				EN: "TCP agrees on the smaller size. Large UDP packets between this machine's pods and others' are lost or refused.",
				KO: "TCP는 작은 쪽에 맞춥니다. 이 머신의 Pod와 다른 머신의 Pod 사이에서 큰 UDP 패킷은 유실되거나 거부됩니다.",
			},
			Evidence: []finding.Evidence{m.Evidence(deviceKey(device, "mtu")), m.Evidence(deviceKey(device, "underlay-mtu"))},
			Remedies: finding.Remedies{Now: []finding.Remedy{{
				Text:    finding.Text{EN: "compare with another machine, and set the same size on the interface below", KO: "다른 머신과 비교하고 하위 인터페이스의 MTU를 같게 설정합니다"},
				Command: "ip -d link show " + device + "; ip link show " + m.Value(deviceKey(device, "underlay")), Machine: m.Node(),
			}}},
		}, true
	}
	return finding.Finding{}, false
}

// mtuFaults says what is wrong with the size of one device.
func mtuFaults(m snapshot.Machine, device string, f *finding.Finding) []finding.Text {
	mtu, _ := m.Int(deviceKey(device, "mtu"))
	var out []finding.Text
	if under, ok := m.Int(deviceKey(device, "underlay-mtu")); ok {
		overhead := overheads[m.Value(deviceKey(device, "type"))]
		if mtu > under-overhead {
			out = append(out, finding.Textf("%s takes packets of %d bytes; %s, through which it sends them with %d more, takes %d.", "%s의 MTU는 %d바이트인데 %[4]d바이트를 더해 내보내는 %[3]s의 MTU는 %[5]d바이트입니다.",
				device, mtu, m.Value(deviceKey(device, "underlay")), overhead, under))
			f.Field = device
			f.Evidence = append(f.Evidence, m.Evidence(deviceKey(device, "mtu")), m.Evidence(deviceKey(device, "underlay-mtu")))
		}
	}
	if strings.HasPrefix(device, "flannel.") {
		out = append(out, innerFaults(m, device, mtu, f)...)
	}
	return out
}

// innerFaults compares what pods get with what flannel's device takes.
func innerFaults(m snapshot.Machine, device string, mtu int64, f *finding.Finding) []finding.Text {
	keys := []snapshot.EvidenceKey{deviceKey("cni0", "mtu"), "flannel/subnet-file/mtu"}
	if first := m.Value("cni/first"); first != "" {
		keys = append(keys, snapshot.KeyOf("cni", "configuration", first, "mtu"))
	}
	var out []finding.Text
	for _, key := range keys {
		size, ok := m.Int(key)
		// A bridge that no pod is on has the kernel's size, whatever pods will get.
		if !ok || size <= mtu || key == keys[0] && m.Value(deviceKey("cni0", "members")) == "0" {
			continue
		}
		e := m.Evidence(key)
		out = append(out, finding.Textf("%s lets pods send %d bytes; %s takes %d.", "%s의 값은 %d바이트인데 %s의 MTU는 %d바이트입니다.", e.Path, size, device, mtu))
		f.Evidence = append(f.Evidence, e, m.Evidence(deviceKey(device, "mtu")))
	}
	return out
}
