package node

import (
	"fmt"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// droppedShare is from what share on of the table dropped packets are blamed on it.
const droppedShare = 0.75

var _ = Catalog.Add(rule.Rule{
	Code:  "ConntrackFull",
	Title: finding.Text{EN: "machine can track hardly any more connections", KO: "머신의 연결 추적(conntrack) 테이블이 거의 가득 찼습니다"},
	Doc: finding.Text{
		EN: "The kernel's table of connections is nine tenths full, or three quarters full with packets dropped within the last ten minutes. New connections through Services then fail at random on this machine, with timeouts and " +
			"no error anywhere but in the kernel's log. Many short connections, or a limit that is too small for the machine, are the cause. Drops that are longer ago are left alone.",
		KO: "커널의 연결 추적 테이블(conntrack)이 9/10 넘게 찼거나, 3/4 넘게 찬 채로 최근 10분 안에 패킷을 버렸습니다. 이 머신에서 Service로 가는 새 연결이 무작위로 timeout되며 커널 로그 외에는 오류가 남지 않습니다. 짧은 연결이 많거나 한도가 머신에 비해 작은 것이 " +
			"원인입니다. 더 오래된 것은 대상이 아닙니다.",
	},
	Link:     "https://docs.kernel.org/networking/nf_conntrack-sysctl.html",
	Severity: finding.Warning,
	Machine:  []snapshot.EvidenceKey{"limit/conntrack/used", "limit/conntrack/max", "limit/conntrack/dropped"},
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			used, ok1 := m.Int("limit/conntrack/used")
			most, ok2 := m.Int("limit/conntrack/max")
			dropped := m.Since("limit/conntrack/dropped")
			// Packets that race for one entry are counted as dropped too (nf_ct_resolve_clash of
			// net/netfilter/nf_conntrack_core.c), so that drops only tell where the table is rather full.
			late := dropped.IsZero() || m.ObservedAt().Sub(dropped) > refusedTold || float64(used) < droppedShare*float64(most)
			if !ok1 || !ok2 || most <= 0 || float64(used) < takenShare*float64(most) && late {
				continue
			}
			f := finding.Finding{
				Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismExhausted, Field: "net.netfilter.nf_conntrack_max",
				Title: finding.Textf("machine %s can track hardly any more connections, %d of %d are tracked", "머신 %s: 연결 추적(conntrack) 테이블이 거의 가득 찼습니다(%[3]d개 중 %[2]d개 사용)", m.Node(), used, most),
				Why: finding.Text{
					EN: "What does not fit into the table is dropped: new connections, also to Services, time out at random.",
					KO: "테이블에 들어가지 못하는 것은 버려지므로 Service를 포함한 새 연결이 무작위로 timeout됩니다.",
				},
				Evidence: []finding.Evidence{m.Evidence("limit/conntrack/used"), m.Evidence("limit/conntrack/max")},
				Remedies: finding.Remedies{
					Now: []finding.Remedy{
						{Text: finding.Text{EN: "who has the connections", KO: "연결이 많은 쪽을 확인합니다"}, Command: "awk '{for(i=1;i<=NF;i++) if($i~/^src=/){print $i; break}}' /proc/net/nf_conntrack | sort | uniq -c | sort -n | tail -5", Machine: m.Node()},
						{Text: finding.Text{EN: "give room: a connection takes about 320 bytes", KO: "한도를 올립니다(연결 하나에 약 320바이트)"}, Command: fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*most), Machine: m.Node()},
					},
					Later: []finding.Remedy{{Text: finding.Text{
						EN: "raise conntrack.maxPerCore in kube-proxy's configuration, and let clients keep connections open",
						KO: "kube-proxy 설정의 conntrack.maxPerCore를 올리고 클라이언트가 연결을 재사용하게 합니다",
					}}},
				},
			}
			if !late {
				f.Why = finding.Join(" ", f.Why, finding.Textf("Packets were dropped for it, last seen at %s.", "이 때문에 패킷을 버렸습니다(마지막 관찰 %s).", finding.Clock(m.ObservedAt(), dropped)))
				f.Evidence = append(f.Evidence, m.Evidence("limit/conntrack/dropped"))
			}
			p.Report(f)
		}
	},
})
