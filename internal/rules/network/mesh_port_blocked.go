package network

import (
	"fmt"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MeshPortBlocked",
	Title: finding.Text{EN: "the agents' beacons are filtered", KO: "agent의 beacon이 차단되어 있습니다"},
	Doc: finding.Text{
		EN: "Requests between agents are answered over TCP, and their UDP beacons do not arrive: a packet filter lets the one port through for TCP alone. The paths work; in which direction one breaks, and whether large packets pass, cannot be told until UDP is open too.",
		KO: "agent 사이의 TCP 요청은 응답되지만 UDP beacon은 도착하지 않습니다. 패킷 필터가 그 포트를 TCP만 허용한 것입니다. 경로는 정상이지만 UDP를 열기 전에는 어느 방향이 끊겼는지, 큰 패킷이 통과하는지 알 수 없습니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/networking/ports-and-protocols/",
	Severity: finding.Info,
	Needs:    meshNeeds(),
	Machine:  meshKeys,
	Causes:   []rule.Cause{{Code: "PacketFilterBlocksCluster", Via: rule.Claimed}},
	Detect:   detectMeshPortBlocked,
})

func detectMeshPortBlocked(p *rule.Pass) {
	m := readMatrix(p)
	var ways []way
	for _, w := range m.directions(hostNetwork) {
		if m.judge(w, hostNetwork) == blocked {
			ways = append(ways, w)
		}
	}
	if len(ways) == 0 {
		return
	}
	port := fmt.Sprintf("UDP %d", monitor.Port)
	p.Report(finding.Finding{
		Subject:   finding.Subject{Kind: "Network", Name: "beacons"},
		Mechanism: v1alpha1.MechanismMisconfigured,
		Since:     m.since(hostNetwork, ways, false),
		Title: finding.Format("%s is filtered between agents (%s)", "agent 사이의 %s 포트가 차단되어 있습니다(%s)",
			finding.Verbatim(port), finding.List(machinesOf(ways))),
		Why: finding.Text{
			EN: "Requests over TCP were answered after the last beacon over UDP came, so the paths work and a filter drops the beacons.",
			KO: "마지막 UDP beacon이 도착한 뒤에도 TCP 요청은 응답되었습니다. 경로는 정상이고 필터가 beacon을 버리고 있습니다.",
		},
		Evidence: m.evidence(hostNetwork, ways, false),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text:    finding.Text{EN: "what drops it", KO: "차단하는 규칙을 확인합니다"},
				Command: "nft list ruleset | grep -nE 'drop|reject|udp'; iptables-save | grep -nE 'DROP|REJECT|udp'", Machine: ways[0].to,
			}},
			Later: []finding.Remedy{{Text: finding.Format("open %s between all machines", "모든 머신 사이에 %s를 엽니다", finding.Verbatim(port))}},
		},
	})
}
