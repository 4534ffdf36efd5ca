package network

import (
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// routeKeys are what rules about default routes read of machines.
var routeKeys = []snapshot.EvidenceKey{"route/default/*/*", "route/count", "kubelet/api-server/outcome"}

var _ = Catalog.Add(rule.Rule{
	Code:  "DefaultRouteMissing",
	Title: finding.Text{EN: "machine has no default route", KO: "머신에 default route가 없습니다"},
	Doc: finding.Text{
		EN: "A machine has no route to what lies outside its own networks, or only one over an interface without a link. Image pulls, names and other networks are out of reach, and so are Services for programs of the machine itself, for the kernel wants a route before it translates the Service's address. " +
			"Clusters in which no machine has one are made so, and are left alone; a machine of which nothing else is known, and whose kubelet gets through, is a remark.",
		KO: "머신에 자기 네트워크 밖으로 가는 route가 없거나, 링크가 없는 인터페이스를 통하는 route만 있습니다. 이미지 pull, 이름 조회, 다른 네트워크에 연결할 수 없고, kernel이 Service 주소를 변환하기 전에 route를 요구하므로 머신 자체의 프로그램은 Service에도 연결할 수 없습니다. " +
			"어떤 머신에도 없는 클러스터는 그렇게 구성한 것이므로 대상이 아닙니다. 비교할 머신이 없고 kubelet이 정상적으로 연결되면 참고로 알립니다.",
	},
	Link: "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/#check-network-adapters", Severity: finding.Warning,
	Machine: routeKeys, Detect: defaultRouteMissing,
})

// defaultRoutes are the next hops of a machine's default routes that are taken, those with the best metric of
// their family first.
func defaultRoutes(m snapshot.Machine) []string {
	out := slices.DeleteFunc(m.Names("route/default/*/device"), func(hop string) bool {
		return m.True(snapshot.KeyOf("route", "default", hop, "dead"))
	})
	slices.SortStableFunc(out, func(a, b string) int {
		x, _ := m.Int(snapshot.KeyOf("route", "default", a, "metric"))
		y, _ := m.Int(snapshot.KeyOf("route", "default", b, "metric"))
		return int(x - y)
	})
	return out
}

func defaultRouteMissing(p *rule.Pass) {
	var without []snapshot.Machine
	with := 0
	for _, m := range p.Machines() {
		if !m.Looked("routes") {
			continue
		}
		if len(defaultRoutes(m)) > 0 {
			with++
		} else {
			without = append(without, m)
		}
	}
	for _, m := range without {
		outcome := m.Value("kubelet/api-server/outcome")
		if with == 0 && outcome != "no-route" && len(without) > 1 {
			continue
		}
		f := finding.Finding{
			Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismMissing, Field: "default route",
			Title: finding.Textf("machine %s: no default route", "머신 %s: default route가 없습니다", m.Node()),
			Why: finding.Text{
				EN: "Nothing outside its own networks can be reached from it, nor a Service from the machine itself.",
				KO: "머신이 속한 네트워크 밖으로 연결할 수 없고, 머신 자체에서는 Service에도 연결할 수 없습니다.",
			},
			Evidence: []finding.Evidence{m.Evidence("route/count")},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{Text: finding.Text{EN: "what there is, and what the network's configuration says", KO: "현재 route와 네트워크 설정을 확인합니다"}, Command: "ip route; ip -br link; networkctl status --no-pager || nmcli device show", Machine: m.Node()},
					{Text: finding.Text{EN: "set it until the next start, with the gateway of the other machines", KO: "다른 머신의 gateway를 참고하여 다음 부팅까지 설정합니다"}, Machine: m.Node(), Command: "ip route add default via GATEWAY"},
				},
				Later: []finding.Remedy{{Text: finding.Text{EN: "set the gateway in the machine's network configuration", KO: "머신의 네트워크 설정에 gateway를 지정합니다"}}},
			},
		}
		for _, hop := range m.Names("route/default/*/device") {
			key := snapshot.KeyOf("route", "default", hop, "dead")
			f.Why = finding.Join(" ", finding.Textf("Its default route by way of %s is not taken: %s has no link.", "%s를 거치는 default route는 %s의 링크가 없어 사용되지 않습니다.", hop, m.Value(snapshot.KeyOf("route", "default", hop, "device"))), f.Why)
			f.Evidence = append(f.Evidence, m.Evidence(key))
		}
		for _, other := range p.Machines() {
			if hops := defaultRoutes(other); len(hops) > 0 {
				f.Remedies.Now[1].Command = "ip route add default via " + finding.ShellWord(hops[0])
				f.Evidence = append(f.Evidence, other.Evidence(snapshot.KeyOf("route", "default", hops[0], "device")))
				break
			}
		}
		switch {
		case outcome == "no-route":
			f.Evidence = append(f.Evidence, m.Evidence("kubelet/api-server/outcome"))
		case with == 0:
			f.Severity = finding.Info
			f.Remedies.Now = f.Remedies.Now[:1]
		}
		p.Report(f)
	}
}
