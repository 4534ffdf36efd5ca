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
	Code:  "FlannelDeviceMissing",
	Title: finding.Text{EN: "flannel's device is gone", KO: "flannel 장치가 없습니다"},
	Doc: finding.Text{
		EN: "Pods on different machines reach each other through flannel's VXLAN device (flannel.1). Where it is gone, pods on that machine reach only each other; the node stays Ready, for probes stay on the machine. " +
			"It goes by hand, by a network manager, or when the network was cleaned up; flanneld makes it when it starts. Machines on which flannel is not used, other backends, and a flanneld that announced itself in the last minute and a half are left alone.",
		KO: "서로 다른 머신의 Pod는 flannel의 VXLAN 장치(flannel.1)로 통신합니다. 장치가 없으면 그 머신의 Pod는 서로만 통신할 수 있으며, probe는 머신 안에서 이루어지므로 노드는 Ready로 남습니다. " +
			"수동 작업이나 네트워크 관리 도구가 지우면 사라지고, flanneld가 시작할 때 만듭니다. flannel을 쓰지 않는 머신, 다른 backend, 알린 지 1분 30초가 안 된 flanneld는 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md", Severity: finding.Critical,
	Needs: flannelNeeds(), Machine: flannelEvidence, Detect: flannelDeviceMissing, Causes: []rule.Cause{flannelStopped},
})

func flannelDeviceMissing(p *rule.Pass) {
	v := readFlannel(p)
	for _, m := range p.Machines() {
		o := v.of(m)
		if !m.Looked("overlay") || movedAway(m) {
			continue
		}
		switch {
		case o.own != nil:
			if o.own.backend == "vxlan" && !o.own.changing && m.Value(deviceKey(o.own.device(), "type")) == "" {
				p.Report(deviceMissing(m, o, o.own.device()))
			}
		case expectsVXLAN(m) && !hasFlannelDevice(m):
			p.Report(deviceMissing(m, o, "flannel.1"))
		}
	}
}

// movedAway tells whether a machine has another network plugin now, and nothing of flannel but what it once wrote
// to the Node.
func movedAway(m snapshot.Machine) bool {
	first := m.Value("cni/first")
	plugins := strings.Fields(m.Value(snapshot.KeyOf("cni", "configuration", first, "plugins")))
	return m.Looked("flannel") && first != "" && !slices.Contains(plugins, "flannel") && !m.True("flannel/running") && m.Value("flannel/unit-file") == ""
}

// expectsVXLAN tells whether a machine's own files say that flannel is to have a VXLAN device there, where
// nobody else says it.
func expectsVXLAN(m snapshot.Machine) bool {
	return m.Value("flannel/unit-file") != "" && m.Value("flannel/config/backend") == "vxlan"
}

func hasFlannelDevice(m snapshot.Machine) bool {
	for _, name := range m.Names("overlay/device/*/type") {
		if strings.HasPrefix(name, "flannel.") {
			return true
		}
	}
	return false
}

func deviceMissing(m snapshot.Machine, o overlay, device string) finding.Finding {
	peers := o.peers()
	f := finding.Finding{
		Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismMissing, Field: device,
		Title: finding.Textf("node %s: flannel's device %s is gone", "노드 %s: flannel 장치 %s가 없습니다", m.Node(), device),
		Why: finding.Textf("All that goes to pods of other nodes takes its way through %s, and the machine has no such device. Pods on %s reach only each other, and nobody elsewhere reaches them.",
			"다른 노드의 Pod로 가는 모든 트래픽이 %s로 가는데 이 머신에 그 장치가 없습니다. %s의 Pod는 서로만 통신할 수 있고 다른 곳에서는 닿을 수 없습니다.", device, m.Node()),
		Evidence: []finding.Evidence{{Source: "machine " + m.Node(), Path: "overlay device " + device, Value: "absent"}},
		Explains: append(waysOut(m.Node(), peers), waysIn(m.Node(), peers)...),
		Remedies: finding.Remedies{
			Now:   []finding.Remedy{restartFlannel(m), {Text: finding.Text{EN: "see that it is there again, with routes", KO: "장치와 route가 다시 생겼는지 확인합니다"}, Command: "ip -d link show " + device + "; ip route show dev " + device, Machine: m.Node()}},
			Later: []finding.Remedy{leaveAlone},
		},
	}
	if o.own != nil {
		f.Evidence = append(f.Evidence, o.own.said)
	}
	if m.Value("flannel/subnet-file/path") == "" && m.Value("flannel/store") != "" {
		f.Why = finding.Join(" ", f.Why, finding.Text{EN: "Its subnet file is gone too, so that flannel's network plugin starts no pod.", KO: "subnet 파일도 없으므로 flannel 네트워크 플러그인이 Pod를 시작하지 못합니다."})
	}
	state, evidence := daemonState(m)
	f.Why, f.Evidence = finding.Join(" ", f.Why, state), append(f.Evidence, evidence...)
	return f
}
