package node

import (
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// linkFaults are the patterns of network cards that lose their link or stop sending.
var linkFaults = []string{"link-down", "transmit-timeout"}

var _ = Catalog.Add(rule.Rule{
	Code:  "LinkFlapping",
	Title: finding.Text{EN: "network interface loses its link again and again", KO: "네트워크 인터페이스의 링크가 반복해서 끊깁니다"},
	Doc: finding.Text{
		EN: "Within ten minutes a network interface lost its link three times or more, or its card stopped sending. The machine is cut off for seconds each time: probes fail, heartbeats are late, connections break. A single loss, as when a cable is " +
			"moved or a machine starts, is left alone.",
		KO: "10분 안에 네트워크 인터페이스의 링크가 세 번 이상 끊겼거나 카드가 송신을 멈췄습니다. 그때마다 머신이 몇 초씩 단절되어 probe가 실패하고 heartbeat가 늦고 연결이 끊깁니다. 케이블을 옮기거나 머신이 시작할 때처럼 한 번 끊긴 것은 대상이 아닙니다.",
	},
	Link:     "https://docs.kernel.org/networking/operstates.html",
	Severity: finding.Warning,
	Machine:  append(logKeys(linkFaults...), "interface/*/carrier-losses-recent"),
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			if all := loggedOn(m, linkFaults...); len(all) > 0 {
				p.Report(linkLogged(m, all))
				continue
			}
			lost := slices.DeleteFunc(m.Names("interface/*/carrier-losses-recent"), func(name string) bool {
				losses, _ := m.Int(snapshot.KeyOf("interface", name, "carrier-losses-recent"))
				return losses < manyLosses
			})
			if len(lost) > 0 {
				p.Report(linksCounted(m, lost))
			}
		}
	},
})

// manyLosses of a link within ten minutes are no cable that is moved (as the logs' pattern has it).
const manyLosses = 3

func linkLogged(m snapshot.Machine, all []logged) finding.Finding {
	f := logFinding(m, all, v1alpha1.MechanismDegraded,
		finding.Format("machine %s: %s loses its link again and again", "머신 %s: %s 링크가 반복해서 끊깁니다", finding.Verbatim(m.Node()), named(all, finding.Text{EN: "a network interface", KO: "네트워크 인터페이스"})),
		finding.Text{EN: "Each time the machine is cut off for seconds, and connections break.", KO: "그때마다 머신이 몇 초씩 단절되고 연결이 끊깁니다."})
	f.Remedies = mendFlapping(m)
	return f
}

// linksCounted are interfaces whose counters alone tell: where the kernel's log is not kept, or their drivers
// are silent.
func linksCounted(m snapshot.Machine, names []string) finding.Finding {
	f := finding.Finding{
		Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismDegraded, Field: strings.Join(names, ","),
		Title: finding.Format("machine %s: %s loses its link again and again", "머신 %s: %s 링크가 반복해서 끊깁니다", finding.Verbatim(m.Node()), finding.List(names)),
		Why: finding.Textf("It was lost %s times within ten minutes. Each time the machine is cut off for seconds, and connections break.",
			"10분 동안 %s번 끊겼습니다. 그때마다 머신이 몇 초씩 단절되고 연결이 끊깁니다.", m.Value(snapshot.KeyOf("interface", names[0], "carrier-losses-recent"))),
		Remedies: mendFlapping(m),
	}
	for _, name := range names {
		f.Evidence = append(f.Evidence, m.Evidence(snapshot.KeyOf("interface", name, "carrier-losses-recent")))
	}
	return f
}

func mendFlapping(m snapshot.Machine) finding.Remedies {
	return finding.Remedies{
		Now: []finding.Remedy{{
			Text: finding.Text{EN: "how often, and what the card counts", KO: "횟수와 카드의 오류 수를 확인합니다"}, Machine: m.Node(),
			Command: "grep . /sys/class/net/*/carrier_changes; ip -s link; dmesg -T | grep -iE 'link is|link down|WATCHDOG' | tail -20",
		}},
		Later: []finding.Remedy{{Text: finding.Text{EN: "change the cable, the transceiver or the switch's port; update the card's driver", KO: "케이블, 트랜시버, 스위치 포트를 바꾸고 카드 드라이버를 업데이트합니다"}}},
	}
}

var _ = Catalog.Add(rule.Rule{
	Code:  "ConntrackOverflowed",
	Title: finding.Text{EN: "table of connections overflowed", KO: "연결 추적 테이블이 넘쳤습니다"},
	Doc: finding.Text{
		EN: "Within the last five minutes the kernel dropped packets because its table of connections was full, though it is not now: a burst of connections. Those that were begun then timed out. A table that is still full has a finding of its " +
			"own (ConntrackFull).",
		KO: "최근 5분 안에 커널의 연결 추적 테이블(conntrack)이 가득 차 패킷을 버렸습니다. 지금은 가득 차 있지 않으므로 연결이 한꺼번에 몰린 것입니다. 그때 시작한 연결은 timeout됐습니다. 아직 가득 찬 것은 ConntrackFull에서 다룹니다.",
	},
	Link:     "https://docs.kernel.org/networking/nf_conntrack-sysctl.html",
	Severity: finding.Warning,
	Machine:  append(logKeys("conntrack-full"), "limit/conntrack/used", "limit/conntrack/max"),
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			all := loggedOn(m, "conntrack-full")
			used, _ := m.Int("limit/conntrack/used")
			most, known := m.Int("limit/conntrack/max")
			if len(all) == 0 || known && float64(used) >= droppedShare*float64(most) {
				continue
			}
			f := logFinding(m, all, v1alpha1.MechanismExhausted,
				finding.Textf("machine %s: the table of connections overflowed", "머신 %s: 연결 추적 테이블이 넘쳤습니다", m.Node()),
				finding.Text{EN: "New connections, also to Services, timed out at random.", KO: "Service를 포함한 새 연결이 무작위로 timeout됐습니다."})
			f.Field = "net.netfilter.nf_conntrack_max"
			f.Remedies = finding.Remedies{
				Now: []finding.Remedy{{
					Text: finding.Text{EN: "how full it is, and who has the connections", KO: "얼마나 찼는지와 연결이 많은 쪽을 확인합니다"}, Machine: m.Node(),
					Command: "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max; awk '{for(i=1;i<=NF;i++) if($i~/^src=/){print $i; break}}' /proc/net/nf_conntrack | sort | uniq -c | sort -n | tail -5",
				}},
				Later: []finding.Remedy{{Text: finding.Text{EN: "raise conntrack.maxPerCore in kube-proxy's configuration", KO: "kube-proxy 설정의 conntrack.maxPerCore를 올립니다"}}},
			}
			p.Report(f)
		}
	},
})

var _ = Catalog.Add(rule.Rule{
	Code:  "NeighbourTableFull",
	Title: finding.Text{EN: "table of neighbours is full", KO: "neighbor(ARP) 테이블이 가득 찼습니다"},
	Doc: finding.Text{
		EN: "Within the last ten minutes the kernel could not remember another host of its own networks (neighbour table overflow). Connections to such hosts fail at random. Large flat networks, and overlays with an entry for each node, need a larger " +
			"table than the default of 1024.",
		KO: "최근 10분 안에 커널이 같은 네트워크의 다른 호스트를 neighbor(ARP) 테이블에 넣지 못했습니다(neighbour table overflow). 그런 호스트로 가는 연결이 무작위로 실패합니다. 큰 단일 네트워크나 노드마다 항목을 두는 overlay에는 기본값 1024보다 큰 테이블이 필요합니다.",
	},
	Link:     "https://docs.kernel.org/networking/ip-sysctl.html",
	Severity: finding.Warning,
	Machine:  logKeys("neighbour-table-full"),
	Detect: detectLogged([]string{"neighbour-table-full"}, func(m snapshot.Machine, all []logged) finding.Finding {
		f := logFinding(m, all, v1alpha1.MechanismExhausted,
			finding.Textf("machine %s: its table of neighbours is full", "머신 %s: neighbor(ARP) 테이블이 가득 찼습니다", m.Node()),
			finding.Text{EN: "Connections to hosts that do not fit into it fail at random.", KO: "테이블에 들어가지 못한 호스트로 가는 연결이 무작위로 실패합니다."})
		f.Field = "net.ipv4.neigh.default.gc_thresh3"
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "how many there are", KO: "항목 수를 확인합니다"}, Command: "ip neigh | wc -l; sysctl net.ipv4.neigh.default.gc_thresh3", Machine: m.Node()},
				{Text: finding.Text{EN: "give room", KO: "한도를 올립니다"}, Command: "sysctl -w net.ipv4.neigh.default.gc_thresh1=8192 net.ipv4.neigh.default.gc_thresh2=16384 net.ipv4.neigh.default.gc_thresh3=32768", Machine: m.Node()},
			},
			Later: []finding.Remedy{{Text: finding.Text{EN: "set it in /etc/sysctl.d on every machine", KO: "모든 머신의 /etc/sysctl.d에 설정합니다"}}},
		}
		return f
	}),
})
