package network

import (
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "FlannelDeviceMisconfigured",
	Title: finding.Text{EN: "flannel's device is not as flannel announced it", KO: "flannel 장치가 flannel이 알린 것과 다릅니다"},
	Doc: finding.Text{
		EN: "The other machines send to a node by what its flanneld announced: the hardware address of the VXLAN device, its network identifier, the machine's address. Where the device has another hardware address " +
			"(systemd-udevd's MACAddressPolicy gives one), is switched off, sends from another address or to another port than all others, packets arrive and are dropped without a word, or never leave. " +
			"A flanneld that announced itself in the last minute and a half is left alone.",
		KO: "다른 머신은 그 노드의 flanneld가 알린 VXLAN 장치의 MAC 주소, VNI, 머신 주소를 보고 트래픽을 보냅니다. 장치의 MAC 주소가 다르거나(systemd-udevd의 MACAddressPolicy가 바꿈), 꺼져 있거나, 다른 주소에서 보내거나, 다른 머신과 다른 포트로 보내면 " +
			"패킷이 도착해도 아무 표시 없이 버려지거나 나가지 못합니다. 알린 지 1분 30초가 안 된 flanneld는 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/troubleshooting.md", Severity: finding.Critical,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: flannelDeviceMisconfigured,
})

// deviceFault is one value of a device that is not as it should be.
type deviceFault struct {
	word    string
	says    finding.Text
	inbound bool
	both    bool
}

func flannelDeviceMisconfigured(p *rule.Pass) {
	v := readFlannel(p)
	ports := usualPorts(p.Machines())
	for _, m := range p.Machines() {
		o := v.of(m)
		if o.own == nil || o.own.backend != "vxlan" || o.own.changing || m.Value(deviceKey(o.own.device(), "type")) == "" {
			continue
		}
		if faults := deviceFaults(m, *o.own, ports); len(faults) > 0 {
			p.Report(misconfigured(m, o, faults))
		}
	}
}

// usualPort is the port that most machines send to, by device; empty where no port has a majority of three.
func usualPorts(machines []snapshot.Machine) map[string]string {
	counts := map[string]map[string]int{}
	for _, m := range machines {
		for _, device := range m.Names("overlay/device/*/port") {
			if counts[device] == nil {
				counts[device] = map[string]int{}
			}
			counts[device][m.Value(deviceKey(device, "port"))]++
		}
	}
	usual := map[string]string{}
	for device, ports := range counts {
		total := 0
		for _, n := range ports {
			total += n
		}
		for port, n := range ports {
			if total >= 3 && 2*n > total {
				usual[device] = port
			}
		}
	}
	return usual
}

// deviceFaults compares a device with what its node announced.
func deviceFaults(m snapshot.Machine, own holder, ports map[string]string) []deviceFault {
	device := own.device()
	value := func(word string) string { return m.Value(deviceKey(device, word)) }
	var out []deviceFault
	if kind := value("type"); kind != "vxlan" {
		return []deviceFault{{word: "type", both: true, says: finding.Textf("It is a %s, not a VXLAN.", "VXLAN이 아니라 %s입니다.", kind)}}
	}
	if value("up") == "false" {
		out = append(out, deviceFault{word: "up", both: true, says: finding.Text{EN: "It is switched off, and with that its routes and neighbours are lost.", KO: "장치가 꺼져 있어 route와 neighbour 항목이 사라집니다."}})
	}
	if mac := strings.ToLower(value("mac")); mac != own.mac {
		out = append(out, deviceFault{word: "mac", inbound: true, says: finding.Textf("Its hardware address is %s; the others send to %s, as it was announced, and the machine drops that.",
			"MAC 주소가 %s인데 다른 머신은 알려진 %s로 보내므로 이 머신이 버립니다.", mac, own.mac)})
	}
	if vni := value("vni"); vni != itoa(own.vni) {
		out = append(out, deviceFault{word: "vni", both: true, says: finding.Textf("Its network identifier is %s; %d was announced.", "VNI가 %s인데 알려진 값은 %d입니다.", vni, own.vni)})
	}
	wanted := ports[device]
	if configured, ok := m.Int("flannel/config/port"); ok && configured > 0 {
		wanted = itoa(configured)
	}
	if port := value("port"); wanted != "" && port != wanted {
		out = append(out, deviceFault{word: "port", both: true, says: finding.Textf("It sends to UDP port %s; the others use %s.", "UDP 포트 %s로 보내는데 다른 머신은 %s를 사용합니다.", port, wanted)})
	}
	if !slices.Contains(strings.Fields(value("addresses")), own.subnet.Addr().String()+"/32") {
		out = append(out, deviceFault{word: "addresses", says: finding.Textf("Its address should be %s/32 and is %q: what the machine itself sends to pods elsewhere gets no answer.",
			"주소가 %s/32여야 하는데 %q입니다. 머신 자체가 다른 노드의 Pod로 보내는 트래픽은 응답을 받지 못합니다.", own.subnet.Addr(), value("addresses"))})
	}
	return append(out, localFault(m, own, value("local"))...)
}

// localFault tells of a device that sends from another address than was announced. Behind address
// translation the two differ rightly, and then the announced one is none of the machine's.
func localFault(m snapshot.Machine, own holder, local string) []deviceFault {
	if local == "" || local == own.publicIP || !ownAddress(m, own.publicIP) {
		return nil
	}
	return []deviceFault{{word: "local", inbound: true, says: finding.Textf("It sends from %s; %s was announced.", "%s에서 보내는데 알려진 주소는 %s입니다.", local, own.publicIP)}}
}

func misconfigured(m snapshot.Machine, o overlay, faults []deviceFault) finding.Finding {
	device, peers := o.own.device(), o.peers()
	f := finding.Finding{
		Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismMisconfigured, Field: faults[0].word, Severity: finding.Warning,
		Title: finding.Textf("node %s: flannel's device %s is not as flannel announced it", "노드 %s: flannel 장치 %s가 flannel이 알린 것과 다릅니다", m.Node(), device),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				restartFlannel(m),
				{Text: finding.Text{EN: "see how the device is", KO: "장치의 상태를 확인합니다"}, Command: "ip -d addr show dev " + device, Machine: m.Node()},
			},
			Later: []finding.Remedy{leaveAlone},
		},
	}
	in, out := false, false
	var says []finding.Text
	for _, fault := range faults {
		says = append(says, fault.says)
		f.Evidence = append(f.Evidence, m.Evidence(deviceKey(device, fault.word)))
		in, out = in || fault.inbound || fault.both, out || fault.both
	}
	f.Evidence = append(f.Evidence, o.own.said)
	if in {
		f.Severity = finding.Critical
		f.Explains = append(f.Explains, waysIn(m.Node(), peers)...)
		says = append(says, finding.Text{EN: "Pods on other nodes do not reach the pods there.", KO: "다른 노드의 Pod가 이 노드의 Pod에 닿지 못합니다."})
	}
	if out {
		f.Explains = append(f.Explains, waysOut(m.Node(), peers)...)
	}
	f.Why = finding.Join(" ", says...)
	return f
}
