package network

import (
	"maps"
	"slices"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ServiceAddressUnreachable",
	Title: finding.Text{EN: "Service addresses lead nowhere on a machine", KO: "머신에서 Service 주소로 연결되지 않습니다"},
	Doc: finding.Text{
		EN: "From a machine the addresses of Services (cluster DNS, the API) do not answer, while the servers behind them answer the same machine directly. What turns Service addresses into servers, kube-proxy or what replaces it, does not do so on this machine, " +
			"and every pod on it that calls a Service fails. Where the servers themselves do not answer, it is another finding, and kube-proxy has a minute after they came back.",
		KO: "머신에서 Service 주소(클러스터 DNS, API)는 응답하지 않지만 그 뒤의 서버는 같은 머신에서 직접 연결하면 응답합니다. Service 주소를 서버로 연결해 주는 kube-proxy(또는 대체 구현)가 이 머신에서 동작하지 않으며, " +
			"이 머신에서 Service를 호출하는 모든 Pod가 실패합니다. 서버 자체가 응답하지 않으면 다른 finding이며, 서버가 돌아온 뒤 1분 동안은 kube-proxy를 기다립니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/networking/virtual-ips/",
	Severity: finding.Critical,
	Machine:  serverKeys("dns", "service/kubernetes"),
	// kube-proxy asks an API server again that was away after up to a minute
	// (k8s.io/client-go/tools/cache/reflector.go, defaultBackoffMax and its jitter).
	For:    time.Minute,
	Causes: []rule.Cause{{Code: "KubeProxyDown", Via: rule.OnMachine}, {Code: "DefaultRouteMissing", Via: rule.OnMachine}},
	Detect: detectServiceAddressUnreachable,
})

func detectServiceAddressUnreachable(p *rule.Pass) {
	type view struct {
		dead      []asked
		alive     int
		addresses int
	}
	byNode := map[string]*view{}
	for _, all := range [][]asked{readServers(p, "dns"), readServers(p, "service", "kubernetes")} {
		// An address leads to any of its servers: it is only judged where all of them answer, and since they do.
		servers, since := map[string]bool{}, map[string]time.Time{}
		for _, a := range all {
			if so, ok := servers[a.by.Node()]; !a.service {
				servers[a.by.Node()] = a.answers() && (so || !ok)
				since[a.by.Node()] = finding.Later(since[a.by.Node()], a.since)
			}
		}
		for _, a := range all {
			if !a.service {
				continue
			}
			v := byNode[a.by.Node()]
			if v == nil {
				v = &view{}
				byNode[a.by.Node()] = v
			}
			v.addresses++
			switch {
			case a.answers():
				v.alive++
			case servers[a.by.Node()]:
				a.since = finding.Later(a.since, since[a.by.Node()])
				v.dead = append(v.dead, a)
			}
		}
	}
	for _, node := range slices.Sorted(maps.Keys(byNode)) {
		if v := byNode[node]; len(v.dead) > 0 {
			p.Report(serviceAddresses(node, v.dead, v.alive))
		}
	}
}

func serviceAddresses(node string, dead []asked, alive int) finding.Finding {
	f := finding.Finding{
		Subject:   finding.Subject{Kind: "Path", Name: "Service addresses", Machine: node},
		Mechanism: v1alpha1.MechanismUnreachable,
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "does kube-proxy run here, and when did it last write its rules", KO: "이 머신에서 kube-proxy가 실행 중인지, 규칙을 언제 마지막으로 썼는지 확인합니다"},
					Command: "systemctl status kube-proxy 2>/dev/null || crictl ps -a --name kube-proxy; curl -s http://127.0.0.1:10256/healthz", Machine: node,
				},
				{
					Text:    finding.Text{EN: "are the rules there", KO: "규칙이 있는지 확인합니다"},
					Command: "nft list table ip kube-proxy 2>/dev/null | head -40; iptables-save -t nat | grep -c KUBE-SVC; ipvsadm -Ln 2>/dev/null | head", Machine: node,
				},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "watch kube-proxy's /healthz on every machine: nodes and pods stay Ready without it",
				KO: "kube-proxy가 없어도 노드와 Pod는 Ready이므로 모든 머신에서 kube-proxy의 /healthz를 모니터링합니다",
			}}},
		},
	}
	var addresses []string
	for _, a := range dead {
		addresses = append(addresses, a.address)
		f.Since = finding.Later(f.Since, a.since)
		f.Evidence = append(f.Evidence, a.by.Evidence(a.key))
	}
	list := finding.List(addresses)
	f.Title = finding.Format("machine %s: Service addresses lead nowhere (%s)", "머신 %s: Service 주소로 연결되지 않습니다(%s)", finding.Verbatim(node), list)
	f.Why = finding.Format("%s: no answer on %s, though servers behind them answer the same machine directly. Pods on %s that call Services fail.",
		"%s: %s에서 응답이 없지만 그 뒤의 서버는 같은 머신에서 직접 응답합니다. %s에서 Service를 호출하는 Pod가 실패합니다.", list, finding.Verbatim(node), finding.Verbatim(node))
	f.RuledOut = []finding.Statement{{Text: finding.Text{EN: "the servers, and the paths to them: they answer directly", KO: "서버와 서버까지의 경로: 직접 연결하면 응답합니다"}}}
	if alive > 0 {
		f.Severity = finding.Warning
		f.Why = finding.Join(" ", f.Why, finding.Text{EN: "Another Service's address still works here: rules that were written last may be out of date.", KO: "다른 Service 주소는 동작합니다. 마지막으로 쓴 규칙이 오래되었을 수 있습니다."})
	}
	return f
}
