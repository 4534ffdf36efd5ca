package node

import (
	"net/url"
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "KubeletCannotReachApiServer",
	Title: finding.Text{
		EN: "kubelet's way to the API server is cut",
		KO: "kubelet에서 API server로 가는 경로가 끊겼습니다",
	},
	Doc: finding.Text{
		EN: "From the machine, the address under which its kubelet reports takes no connection, while other machines get through, or while nothing comes back at all: the node looks lost and its containers run. " +
			"An address that refuses, or that no machine reaches, is ApiServerUnreachable.",
		KO: "머신에서 kubelet이 보고하는 API server 주소로 연결되지 않습니다. 다른 머신은 연결되거나, 아무 응답도 오지 않는 상태입니다. 노드는 끊긴 것처럼 보이지만 컨테이너는 실행 중입니다. " +
			"주소가 연결을 거부하거나 모든 머신이 연결하지 못하면 ApiServerUnreachable입니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/control-plane-node-communication/#node-to-control-plane",
	Severity: finding.Warning,
	Symptom:  true,
	Machine:  append(pathKeys(), "kubelet/api-server/error"),
	Causes: []rule.Cause{
		{Code: "ApiServerUnreachable", Via: rule.Claimed},
		// An API server without etcd takes connections and lets them wait.
		{Code: "EtcdQuorumLost", Via: rule.Cluster},
		{Code: "EtcdNoLeader", Via: rule.Cluster},
		{Code: "ApiServerUnreachableFromMachine", Via: rule.OnMachine},
		{Code: "ApiServerUnreachableFromMachine", Via: rule.Cluster, Holds: sameServer},
		{Code: "HostPathBroken", Via: rule.OnMachine},
		{Code: "MachineUnreachable", Via: rule.OnMachine},
		{Code: "NetworkPartitioned", Via: rule.Cluster},
		{Code: "PacketFilterBlocksCluster", Via: rule.Claimed},
		{Code: "DefaultRouteMissing", Via: rule.OnMachine, Holds: saysNoRoute},
		{Code: "InterfaceDown", Via: rule.OnMachine},
	},
	Detect: detectKubeletCannotReachAPIServer,
})

// sameServer tells whether the cause is about the server to which the effect's kubelet reports.
func sameServer(_ *snapshot.Snapshot, effect, cause finding.Finding) bool {
	u, err := url.Parse(effect.Subject.Name)
	return err == nil && u.Host != "" && u.Host == cause.Subject.Name
}

func detectKubeletCannotReachAPIServer(p *rule.Pass) {
	type tally struct{ through, cut int }
	tallies := map[string]tally{}
	for _, m := range p.Machines() {
		t := tallies[m.Value("kubelet/api-server/url")]
		if m.Value("kubelet/api-server/outcome") == "answered" {
			t.through++
		} else if m.Value("kubelet/api-server/outcome") != "" {
			t.cut++
		}
		tallies[m.Value("kubelet/api-server/url")] = t
	}
	for _, m := range p.Machines() {
		outcome := m.Value("kubelet/api-server/outcome")
		t := tallies[m.Value("kubelet/api-server/url")]
		switch {
		case outcome == "" || outcome == "answered":
		case t.through > 0, t.cut == 1 && outcome != "refused":
			p.Report(cutFromAPIServer(m, outcome, t.through))
		}
	}
}

// saysNoRoute tells whether the machine itself has no way to the API server.
func saysNoRoute(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return slices.ContainsFunc(effect.Evidence, func(e finding.Evidence) bool { return e.Value == "no-route" })
}

func cutFromAPIServer(m snapshot.Machine, outcome string, through int) finding.Finding {
	address := m.Value("kubelet/api-server/url")
	host, port := address, ""
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host, port = u.Hostname(), u.Port()
	}
	f := finding.Finding{
		Subject: m.Subject("Endpoint", address), Mechanism: v1alpha1.MechanismUnreachable, Since: m.Since("kubelet/api-server/outcome"),
		Title:    finding.Textf("machine %s: its kubelet does not get through to the API server", "머신 %s: kubelet이 API server에 연결하지 못합니다", m.Node()),
		Evidence: []finding.Evidence{m.Evidence("kubelet/api-server/outcome"), m.Evidence("kubelet/api-server/error")},
		Explains: nodeOnly(m),
		RuledOut: []finding.Statement{machineUp(m)},
	}
	said := finding.Quote(m.Value("kubelet/api-server/error"))
	class := finding.Textf("Nothing comes back from %s: the network between is cut, or a firewall drops it, or the machine behind that address is off.", "%s에서 응답이 없습니다. 사이의 네트워크가 끊겼거나, 방화벽이 버리거나, 그 주소의 머신이 꺼졌습니다.", host)
	if through > 0 {
		class = finding.Textf("Nothing comes back from %s: the network between is cut, or a firewall drops it.", "%s에서 응답이 없습니다. 사이의 네트워크가 끊겼거나 방화벽이 버립니다.", host)
	}
	switch outcome {
	case "refused":
		f.Mechanism = v1alpha1.MechanismRefused
		class = finding.Textf("%s refuses this machine: something in between (a firewall, a load balancer) says no in its place, or this name leads elsewhere from here.", "%s 주소가 이 머신의 연결을 거부합니다. 중간의 방화벽이나 로드 밸런서가 거부하거나, 여기에서는 이름이 다른 곳을 가리킵니다.", host)
	case "no-route":
		class = finding.Textf("This machine has no route to %s.", "이 머신에 %s로 가는 경로가 없습니다.", host)
	case "name-unknown":
		f.Mechanism = v1alpha1.MechanismMissing
		class = finding.Textf("The name %s has no address here: the machine's resolver does not know it.", "이 머신의 resolver가 %s 이름을 알지 못합니다.", host)
	case "tls":
		f.Mechanism = v1alpha1.MechanismUnauthorized
		class = finding.Textf("The connection opens and the certificate that %s shows is not accepted.", "연결은 되지만 %s 주소가 제시하는 인증서를 받아들일 수 없습니다.", host)
	}
	f.Why = finding.Join(" ", finding.Textf("From this machine %s fails: %s.", "이 머신에서 %s 연결이 실패합니다: %s.", address, said), class)
	if through > 0 {
		f.Why = finding.Join(" ", f.Why, finding.Textf("Of the other machines %d get through to it, so it is this machine's way.", "다른 머신 %d대는 연결되므로 이 머신의 경로 문제입니다.", through))
		f.RuledOut = append(f.RuledOut, finding.Statement{Text: finding.Textf("API server down: other machines (%d) get through", "API server 중지: 다른 머신 %d대가 연결됩니다", through)})
	} else {
		f.Confidence = v1alpha1.ConfidenceMedium
	}
	f.Why = finding.Join(" ", f.Why, finding.Text{
		EN: "Containers here go on running; the node is taken for lost, and its pods are replaced elsewhere. Do not drain it.",
		KO: "컨테이너는 계속 실행되지만 노드가 끊긴 것으로 처리되어 Pod가 다른 곳에 다시 만들어집니다. drain하지 마십시오.",
	})
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{Text: finding.Text{EN: "how far the way goes", KO: "경로가 어디까지 이어지는지 확인합니다"}, Command: "ip route get " + finding.ShellWord(host) + "; ping -c 3 " + finding.ShellWord(host) + "; curl -sk -m 5 " + finding.ShellWord(address+"/livez"), Machine: m.Node()},
			{Text: finding.Text{EN: "is it filtered here", KO: "이 머신에서 막고 있는지 확인합니다"}, Command: "nft list ruleset | grep -nE 'drop|reject'; iptables-save | grep -E 'DROP|REJECT'", Machine: m.Node()},
		},
		Later: []finding.Remedy{{Text: finding.Textf("keep TCP %s from every node to the control plane open in firewalls", "방화벽에서 모든 노드에서 control plane으로 가는 TCP %s를 열어 둡니다", orDefault(port))}},
	}
	return f
}

func orDefault(port string) string {
	if port == "" {
		return "443"
	}
	return port
}
