package network

import (
	"maps"
	"slices"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "GatewayUnreachable",
	Title: finding.Text{EN: "gateway of the default route does not answer", KO: "default route의 gateway가 응답하지 않습니다"},
	Doc: finding.Text{
		EN: "The kernel asked for the hardware address of the next hop of the default route, and got no answer: the gateway is off, its address is wrong, or the network between is cut. Nothing outside the machine's own networks can be reached. " +
			"An entry that is merely old (stale), and a gateway that nothing was sent to, are left alone; another default route that answers makes it a remark.",
		KO: "kernel이 default route의 next hop 하드웨어 주소를 물었으나 응답이 없습니다. gateway가 꺼졌거나, 주소가 틀렸거나, 사이의 네트워크가 끊긴 상태입니다. 머신이 속한 네트워크 밖으로 연결할 수 없습니다. " +
			"오래되었을 뿐인 항목(stale)과 아무것도 보내지 않은 gateway는 대상이 아닙니다. 응답하는 다른 default route가 있으면 참고로 알립니다.",
	},
	Link: "https://man7.org/linux/man-pages/man8/ip-neighbour.8.html", Severity: finding.Warning,
	Machine: routeKeys, For: 30 * time.Second, Causes: []rule.Cause{{Code: "InterfaceDown", Via: rule.OnMachine}}, Detect: gatewayUnreachable,
})

func gatewayUnreachable(p *rule.Pass) {
	failed := map[string][]snapshot.Machine{}
	answered := map[string]snapshot.Machine{}
	state := func(m snapshot.Machine, hop string) string {
		return m.Value(snapshot.KeyOf("route", "default", hop, "neighbour"))
	}
	for _, m := range p.Machines() {
		for _, hop := range defaultRoutes(m) {
			switch state(m, hop) {
			case "failed":
				failed[hop] = append(failed[hop], m)
			case "reachable", "stale", "delay", "permanent":
				if _, ok := answered[hop]; !ok {
					answered[hop] = m
				}
			}
		}
	}
	for _, hop := range slices.Sorted(maps.Keys(failed)) {
		machines := failed[hop]
		if other, ok := answered[hop]; ok || len(machines) == 1 {
			for _, m := range machines {
				f := gateway(hop, []snapshot.Machine{m})
				f.Subject = m.Subject("Endpoint", hop)
				if ok {
					key := snapshot.KeyOf("route", "default", hop, "neighbour")
					f.RuledOut = []finding.Statement{{Text: finding.Textf("the gateway itself: machine %s has its hardware address", "gateway 자체: 머신 %s는 하드웨어 주소를 알고 있습니다", other.Node()), Evidence: []finding.Evidence{other.Evidence(key)}}}
				}
				if slices.ContainsFunc(defaultRoutes(m), func(o string) bool {
					return o != hop && state(m, o) == "reachable" && m.Value(snapshot.KeyOf("route", "default", o, "family")) == m.Value(snapshot.KeyOf("route", "default", hop, "family"))
				}) {
					f.Severity = finding.Info
				}
				p.Report(f)
			}
			continue
		}
		p.Report(gateway(hop, machines))
	}
}

// gateway tells of a gateway that does not answer some machines.
func gateway(hop string, machines []snapshot.Machine) finding.Finding {
	var names []string
	f := finding.Finding{Subject: finding.Subject{Kind: "Endpoint", Name: hop}, Mechanism: v1alpha1.MechanismUnreachable}
	for _, m := range machines {
		names = append(names, m.Node())
		key := snapshot.KeyOf("route", "default", hop, "neighbour")
		f.Since = finding.Later(f.Since, m.Since(key))
		if len(f.Evidence) < 3 {
			f.Evidence = append(f.Evidence, m.Evidence(key))
		}
	}
	device := machines[0].Value(snapshot.KeyOf("route", "default", hop, "device"))
	f.Title = finding.Format("gateway %s does not answer (%s)", "gateway %s의 응답이 없습니다(%s)", finding.Verbatim(hop), finding.List(names))
	f.Why = finding.Textf("Questions for its hardware address on %s got no answer. Nothing outside the machines' own networks can be reached through it.",
		"%s에서 하드웨어 주소를 물었으나 응답이 없습니다. 이 gateway를 거쳐 머신이 속한 네트워크 밖으로 연결할 수 없습니다.", device)
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{{
			Text:    finding.Text{EN: "does it answer, and is its address right", KO: "응답하는지, 주소가 맞는지 확인합니다"},
			Command: "ip route show default; arping -c 3 -I " + finding.ShellWord(device) + " " + finding.ShellWord(hop) + "; ip neigh show " + finding.ShellWord(hop), Machine: machines[0].Node(),
		}},
		Later: []finding.Remedy{{Text: finding.Text{EN: "give the gateway a second router behind one address (VRRP)", KO: "gateway를 하나의 주소를 공유하는 두 라우터로 구성합니다(VRRP)"}}},
	}
	return f
}
