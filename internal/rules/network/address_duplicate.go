package network

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "DuplicateAddress",
	Title: finding.Text{EN: "address is on two machines", KO: "두 머신이 같은 주소를 사용합니다"},
	Doc: finding.Text{
		EN: "Two machines of one network have the same address, or a machine is answered for another's address from a hardware address that is not the other's. Packets go now to one, now to the other: connections break at random, nodes flap. " +
			"Left alone: networks that every machine has for itself alone with the same addresses (as bridges of containers and of virtual machines, or NAT of a hypervisor), one hardware address that answers for many (a router, a cloud), and entries that nobody has confirmed lately.",
		KO: "같은 네트워크의 두 머신이 같은 주소를 사용하거나, 어떤 머신의 주소에 대해 그 머신의 것이 아닌 하드웨어 주소가 응답합니다. 패킷이 번갈아 다른 곳으로 가므로 연결이 무작위로 끊기고 노드 상태가 바뀝니다. " +
			"컨테이너나 가상 머신의 bridge, 하이퍼바이저의 NAT처럼 각 머신이 따로 갖는 같은 주소의 네트워크, 여러 주소에 응답하는 하나의 하드웨어 주소(라우터, 클라우드), 최근에 확인되지 않은 항목은 대상이 아닙니다.",
	},
	Link: "https://www.rfc-editor.org/rfc/rfc5227", Severity: finding.Warning,
	Needs:   hostNeeds(),
	Machine: append([]snapshot.EvidenceKey{"route/neighbour/*/*"}, interfaceKeys...),
	Detect:  duplicateAddress,
})

// place is an address on an interface of a machine.
type place struct {
	i      hostInterface
	prefix netip.Prefix
}

func duplicateAddress(p *rule.Pass) {
	nodes := nodeAddresses(p)
	owners := map[netip.Addr][]place{}
	// in are the different addresses of each network: one in which all have the same is nobody's but their own.
	in := map[netip.Prefix]map[netip.Addr]bool{}
	macs := map[string][]string{}
	for _, m := range p.Machines() {
		for _, i := range interfacesOf(m, nodes) {
			macs[m.Node()] = append(macs[m.Node()], i.value("mac"))
			if i.value("type") == "dummy" {
				continue
			}
			for _, a := range i.addresses {
				owners[a.Addr()] = append(owners[a.Addr()], place{i, a})
				if in[a.Masked()] == nil {
					in[a.Masked()] = map[netip.Addr]bool{}
				}
				in[a.Masked()][a.Addr()] = true
			}
		}
	}
	around := neighbours(p.Machines())
	for _, a := range slices.SortedFunc(maps.Keys(owners), netip.Addr.Compare) {
		places := owners[a]
		first := places[0]
		if other := slices.IndexFunc(places, func(o place) bool { return o.i.m.Node() != first.i.m.Node() }); other > 0 {
			if len(in[first.prefix.Masked()]) > 1 {
				p.Report(onTwoMachines(a, first, places[other]))
			}
			continue
		}
		if h, ok := foreign(around[a], first.i.m.Node(), macs[first.i.m.Node()]); ok {
			p.Report(answeredByStranger(a, first, h))
		}
	}
}

func onTwoMachines(a netip.Addr, first, second place) finding.Finding {
	f := duplicate(a, first)
	f.Title = finding.Textf("address %s is on two machines: %s (%s) and %s (%s)", "두 머신이 같은 주소(%s)를 사용합니다: %s(%s), %s(%s)", a, first.i.m.Node(), first.i.name, second.i.m.Node(), second.i.name)
	f.Why = finding.Text{
		EN: "Both interfaces have it, in one network. Packets go now to the one, now to the other.",
		KO: "같은 네트워크에서 두 인터페이스에 모두 설정되어 있습니다. 패킷이 번갈아 다른 쪽으로 갑니다.",
	}
	f.Evidence = []finding.Evidence{
		first.i.m.Evidence(first.i.key("addresses")), first.i.m.Evidence(first.i.key("mac")),
		second.i.m.Evidence(second.i.key("addresses")), second.i.m.Evidence(second.i.key("mac")),
	}
	f.Explains = append(f.Explains, finding.Subject{Kind: "Node", Name: second.i.m.Node()})
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text: finding.Text{EN: "take it from the machine that it is not meant for", KO: "주소가 잘못 설정된 머신에서 제거합니다"}, Command: "ip address del " + second.prefix.String() + " dev " + second.i.name, Machine: second.i.m.Node(),
	})
	return f
}

func answeredByStranger(a netip.Addr, owner place, h heard) finding.Finding {
	by, mac := h.by, h.mac
	f := duplicate(a, owner)
	f.Confidence = v1alpha1.ConfidenceMedium
	f.Title = finding.Textf("address %s of machine %s is answered for by another host (%s)", "머신 %[2]s의 주소 %[1]s에 다른 호스트(%[3]s)가 응답합니다", a, owner.i.m.Node(), mac)
	f.Why = finding.Textf("%s sends what is for %s to the hardware address %s; that of %s on %s is %s. Another host has the same address.",
		"%s에서는 %s로 가는 패킷을 하드웨어 주소 %s로 보내지만 %s(%s)의 하드웨어 주소는 %s입니다. 다른 호스트가 같은 주소를 사용합니다.",
		by.Node(), a, mac, owner.i.m.Node(), owner.i.name, owner.i.value("mac"))
	f.Evidence = []finding.Evidence{by.Evidence(h.key), owner.i.m.Evidence(owner.i.key("mac")), owner.i.m.Evidence(owner.i.key("addresses"))}
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Text{EN: "at which switch port is the other host", KO: "다른 호스트가 연결된 스위치 포트를 찾습니다"},
		Command: "ip neigh show | grep -i " + mac + "; arping -c 3 " + a.String(), Machine: by.Node(),
	})
	return f
}

// duplicate is what both kinds of the finding have.
func duplicate(a netip.Addr, owner place) finding.Finding {
	return finding.Finding{
		Subject: owner.i.m.Subject("Address", a.String()), Mechanism: v1alpha1.MechanismMisconfigured,
		Explains: []finding.Subject{{Kind: "Node", Name: owner.i.m.Node()}},
		Remedies: finding.Remedies{
			Now:   []finding.Remedy{{Text: finding.Text{EN: "who answers", KO: "누가 응답하는지 확인합니다"}, Command: "arping -D -I " + owner.i.name + " -c 3 " + a.String(), Machine: owner.i.m.Node()}},
			Later: []finding.Remedy{{Text: finding.Text{EN: "keep machines' addresses out of the range that DHCP gives out, and write down who has which", KO: "머신 주소를 DHCP 할당 범위에서 제외하고 사용 내역을 관리합니다"}}},
		},
	}
}

// confirmed are states of entries that the other end has confirmed, or that are in use.
var confirmed = []string{"reachable", "delay", "probe"}

// heard is what a machine has for the address of another.
type heard struct {
	by  snapshot.Machine
	key snapshot.EvidenceKey
	mac string
}

// neighbours are the confirmed hardware addresses that machines have for addresses, without those that answer
// for several addresses of one machine's table: these are routers.
func neighbours(machines []snapshot.Machine) map[netip.Addr][]heard {
	out := map[netip.Addr][]heard{}
	for _, by := range machines {
		entries := by.Select("route/neighbour/*/mac")
		answersFor := map[string]int{}
		for _, e := range entries {
			answersFor[strings.ToLower(e.Value)]++
		}
		for _, e := range entries {
			name := e.Key.Segments()[2]
			a, err := netip.ParseAddr(name)
			if err == nil && answersFor[strings.ToLower(e.Value)] == 1 && slices.Contains(confirmed, by.Value(snapshot.KeyOf("route", "neighbour", name, "state"))) {
				out[a] = append(out[a], heard{by, e.Key, e.Value})
			}
		}
	}
	return out
}

// foreign is the first of what machines have for an address that is none of its owner's hardware addresses.
func foreign(all []heard, owner string, own []string) (heard, bool) {
	at := slices.IndexFunc(all, func(h heard) bool {
		return h.by.Node() != owner && !slices.ContainsFunc(own, func(o string) bool { return strings.EqualFold(o, h.mac) })
	})
	if at < 0 {
		return heard{}, false
	}
	return all[at], true
}
