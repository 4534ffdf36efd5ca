package network

import (
	"net/netip"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MtuDiffers",
	Title: finding.Text{EN: "machine takes other packet sizes than the rest of its network", KO: "머신의 MTU가 같은 네트워크의 다른 머신과 다릅니다"},
	Doc: finding.Text{
		EN: "In one network most machines' interfaces take packets of one size (as 9000 for storage, 1500 elsewhere), and this machine's takes another. Nothing tells a sender within a network: what the receiver does not take is lost. TCP agrees on the smaller size, " +
			"but overlays, NFS over UDP and others do not; the classic fault is jumbo frames on one side only. Machines of different networks, and networks of fewer than three machines, are not compared. Where full-size packets are seen to arrive, it is a remark.",
		KO: "한 네트워크에서 대부분의 머신 인터페이스는 MTU가 같은데(예: 스토리지 9000, 그 외 1500) 이 머신만 다릅니다. 같은 네트워크 안에서는 보내는 쪽에 알려 주는 것이 없으므로 받는 쪽이 받지 못하는 패킷은 유실됩니다. TCP는 작은 쪽에 맞추지만 " +
			"overlay나 UDP를 쓰는 NFS 등은 그렇지 않습니다. 한쪽만 jumbo frame인 경우가 대표적입니다. 다른 네트워크의 머신과 머신이 3대 미만인 네트워크는 비교하지 않습니다. 큰 패킷이 도착하는 것이 확인되면 참고로 알립니다.",
	},
	Link: "https://docs.kernel.org/networking/ip-sysctl.html", Severity: finding.Warning,
	Needs:   hostNeeds(),
	Machine: append([]snapshot.EvidenceKey{"mesh/peer/*/host-big-in-loss", "mesh/peer/*/host-big-out-loss", "mesh/peer/*/host-big-size"}, interfaceKeys...),
	Detect:  mtuDiffers,
})

// fewestAlike is how many machines a network must have for most of them to mean something.
const fewestAlike = 3

func mtuDiffers(p *rule.Pass) {
	nodes := nodeAddresses(p)
	networks := map[netip.Prefix]map[int64]int{}
	var used []hostInterface
	for _, m := range p.Machines() {
		for _, i := range interfacesOf(m, nodes) {
			mtu, ok := m.Int(i.key("mtu"))
			if !ok || !i.node && i.storage == "" {
				continue
			}
			used = append(used, i)
			for _, n := range i.networks() {
				if networks[n] == nil {
					networks[n] = map[int64]int{}
				}
				networks[n][mtu]++
			}
		}
	}
	for _, i := range used {
		for _, n := range i.networks() {
			if most, ok := majority(networks[n]); ok {
				if mtu, _ := i.m.Int(i.key("mtu")); mtu != most {
					p.Report(otherMTU(i, n, mtu, most))
					break
				}
			}
		}
	}
}

// networks of an interface, which it shares with other machines.
func (i hostInterface) networks() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range i.addresses {
		if !p.IsSingleIP() {
			out = append(out, p.Masked())
		}
	}
	return out
}

// majority is the value that more than half have.
func majority(counts map[int64]int) (int64, bool) {
	total, best := 0, int64(0)
	for value, n := range counts {
		total += n
		if n > counts[best] {
			best = value
		}
	}
	return best, total >= fewestAlike && 2*counts[best] > total
}

func otherMTU(i hostInterface, network netip.Prefix, mtu, most int64) finding.Finding {
	f := finding.Finding{
		Subject: i.subject(), Mechanism: v1alpha1.MechanismMisconfigured, Field: "mtu",
		Title: finding.Textf("machine %s: interface %s takes packets of %d bytes, on most machines of %s it is %d", "머신 %s: 인터페이스 %s의 MTU가 %d바이트인데 %s의 대부분의 머신에서는 %d바이트입니다", i.m.Node(), i.name, mtu, network, most),
		Why: finding.Format("It carries %s. Small packets pass, so that pings and probes are well; full-size packets that do not agree on a size first, as those of overlays, are lost.",
			"%s에 사용됩니다. 작은 패킷은 통과하므로 ping과 probe는 정상이지만, overlay처럼 크기를 미리 맞추지 않는 큰 패킷은 유실됩니다.", i.role()),
		Evidence: []finding.Evidence{i.m.Evidence(i.key("mtu")), i.m.Evidence(i.key("addresses"))},
		Remedies: finding.Remedies{
			Now:   []finding.Remedy{{Text: finding.Text{EN: "set it until the next start, and look whether transfers flow", KO: "다음 부팅까지 값을 바꾸고 전송이 되는지 확인합니다"}, Command: "ip link set dev " + finding.ShellWord(i.name) + " mtu " + itoa(most), Machine: i.m.Node()}},
			Later: []finding.Remedy{{Text: finding.Textf("set %d in the machine's network configuration (netplan, NetworkManager, ifcfg, systemd-networkd), and on its switch port and hypervisor", "머신의 네트워크 설정(netplan, NetworkManager, ifcfg, systemd-networkd)과 스위치 포트, 하이퍼바이저에 %d로 설정합니다", most)}},
		},
	}
	if !i.node {
		f.Why = finding.Format("It carries %s. Small packets pass, so that mounts and logins succeed; large reads and writes hang.",
			"%s에 사용됩니다. 작은 패킷은 통과하므로 마운트와 로그인은 되지만, 큰 읽기와 쓰기가 멈춥니다.", i.role())
	}
	if big, ok := fullSizeArrives(i.m, most); ok && i.node {
		f.Severity = finding.Info
		f.Why = finding.Format("It carries %s. Full-size packets of other machines arrive nevertheless.", "%s에 사용됩니다. 그래도 다른 머신의 큰 패킷은 도착합니다.", i.role())
		f.Evidence = append(f.Evidence, big)
	}
	return f
}

// fullSizeArrives tells whether the machine receives, from all peers, packets of the size that most take.
func fullSizeArrives(m snapshot.Machine, size int64) (finding.Evidence, bool) {
	var seen finding.Evidence
	arrives := false
	for _, peer := range m.Names("mesh/peer/*/host-big-in-loss") {
		key := snapshot.KeyOf("mesh", "peer", peer, "host-big-in-loss")
		lost, ok := m.Float(key)
		if ok && lost > fineUpTo {
			return seen, false
		}
		if sent, known := m.Int(snapshot.KeyOf("mesh", "peer", peer, "host-big-size")); ok && known && sent >= size {
			seen, arrives = m.Evidence(key), true
		}
	}
	return seen, arrives
}
