package dns

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ClusterDNSUnreachableFromMachine",
	Title: finding.Text{EN: "cluster DNS does not answer a machine", KO: "머신에서 클러스터 DNS가 응답하지 않습니다"},
	Doc: finding.Text{
		EN: "Agents ask every server of cluster DNS for the name of the API's Service, each from its own machine. Where no server answers a machine and other machines are answered, the path from that machine is broken, and the pods on it look up no name. " +
			"A server that answers nobody is at fault itself. Where servers answer and only the Service's address does not, it is ServiceAddressUnreachable; where there is no server at all, the Service's address is judged.",
		KO: "agent는 각자의 머신에서 클러스터 DNS의 모든 서버에 API Service의 이름을 조회합니다. 한 머신에서만 어느 서버도 응답하지 않으면 그 머신에서 가는 경로가 끊겼고 그 머신의 Pod는 이름을 조회하지 못합니다. " +
			"누구에게도 응답하지 않는 서버는 서버 자체의 문제입니다. 서버는 응답하고 Service 주소만 응답하지 않으면 ServiceAddressUnreachable이며, 서버가 하나도 없으면 Service 주소로 판단합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
	Severity: finding.Critical,
	Machine:  []snapshot.EvidenceKey{"dns/*/role", "dns/*/node", "dns/*/answer", "dns/*/error"},
	For:      30 * time.Second,
	Causes: []rule.Cause{
		{Code: "ClusterDNSDown", Via: rule.Cluster},
		{Code: "MachineUnreachable", Via: rule.OnMachine},
		{Code: "NetworkPartitioned", Via: rule.Cluster, Holds: loses},
	},
	Detect: detectDNSFromMachine,
})

// loses tells whether a cut lies before the machine that a finding is about.
func loses(_ *snapshot.Snapshot, effect, cause finding.Finding) bool {
	return slices.Contains(cause.Explains, finding.Subject{Kind: "Node", Name: effect.Subject.Machine})
}

// reportAge is how old a machine's report may be to tell of the present.
const reportAge = 2 * time.Minute

// dnsAnswer is what became of a query from a machine to a server.
type dnsAnswer struct {
	by      snapshot.Machine
	key     snapshot.EvidenceKey
	server  string
	node    string
	service bool
	answers bool
	since   time.Time
}

func dnsAnswers(p *rule.Pass) []dnsAnswer {
	var out []dnsAnswer
	for _, by := range p.Machines() {
		if age := p.Now().Sub(by.ObservedAt()); age > reportAge || age < -reportAge {
			continue
		}
		for _, server := range by.Names("dns/*/answer") {
			key := func(name string) snapshot.EvidenceKey { return snapshot.KeyOf("dns", server, name) }
			word := by.Value(key("answer"))
			out = append(out, dnsAnswer{
				by: by, key: key("answer"), server: server, node: by.Value(key("node")), service: by.Value(key("role")) == "service",
				// One that answers that it fails is reached.
				answers: word == "ok" || word == "failing", since: by.Since(key("answer")),
			})
		}
	}
	return out
}

func detectDNSFromMachine(p *rule.Pass) {
	all := dnsAnswers(p)
	// servers that answer somebody, and machines that somebody answers.
	works, served := map[string]bool{}, map[string]bool{}
	direct := false
	for _, a := range all {
		if a.service {
			continue
		}
		direct = true
		works[a.server] = works[a.server] || a.answers
		served[a.by.Node()] = served[a.by.Node()] || a.answers
	}
	if !direct {
		reportNoServers(p, all)
		return
	}
	dead := map[string][]dnsAnswer{}
	alone := map[string][]dnsAnswer{}
	for _, a := range all {
		switch {
		case a.service || a.answers:
		case !works[a.server]:
			dead[a.server] = append(dead[a.server], a)
		case !served[a.by.Node()]:
			alone[a.by.Node()] = append(alone[a.by.Node()], a)
		}
	}
	anyWorks := slices.Contains(slices.Collect(maps.Values(works)), true)
	for _, server := range slices.Sorted(maps.Keys(dead)) {
		p.Report(deadServer(server, dead[server], anyWorks))
	}
	for _, node := range slices.Sorted(maps.Keys(alone)) {
		p.Report(aloneMachine(node, alone[node]))
	}
}

// reportNoServers judges the Service's address where it has no server.
func reportNoServers(p *rule.Pass, all []dnsAnswer) {
	byAddress := map[string][]dnsAnswer{}
	for _, a := range all {
		if a.answers {
			return
		}
		byAddress[a.server] = append(byAddress[a.server], a)
	}
	for _, server := range slices.Sorted(maps.Keys(byAddress)) {
		p.Report(deadServer(server, byAddress[server], false))
	}
}

// deadServer is a server that answers nobody.
func deadServer(server string, asked []dnsAnswer, others bool) finding.Finding {
	f := finding.Finding{
		Subject:   finding.Subject{Kind: "Endpoint", Name: server, Machine: asked[0].node},
		Mechanism: v1alpha1.MechanismUnreachable,
	}
	who := tell(&f, asked)
	on := finding.Text{}
	if asked[0].node != "" {
		on = finding.Textf(" on %s", "(%s)", asked[0].node)
	}
	f.Title = finding.Format("cluster DNS %s%s answers no machine", "클러스터 DNS %s%s가 어느 머신에도 응답하지 않습니다", finding.Verbatim(server), on)
	f.Why = finding.Format("It was asked from %s, and no answer came.", "%s에서 조회했으나 응답이 없었습니다.", who)
	if asked[0].service {
		f.Title = finding.Format("cluster DNS has no server behind %s", "클러스터 DNS 주소 %s에 서버가 없습니다", finding.Verbatim(server))
		f.Why = finding.Format("The agents know of no endpoint of its Service, and the address answers none of %s.", "agent가 아는 Service endpoint가 없고 %s 어디에서도 이 주소의 응답이 없습니다.", who)
	}
	if others {
		f.Severity = finding.Warning
		f.Why = finding.Join(" ", f.Why, finding.Text{
			EN: "Other servers answer; queries that go to this one time out before they are asked again.",
			KO: "다른 서버는 응답합니다. 이 서버로 간 조회는 timeout이 지나야 다시 시도됩니다.",
		})
	} else {
		f.Why = finding.Join(" ", f.Why, affects)
	}
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{{
			Text:    finding.Text{EN: "does it run, and what does it say", KO: "실행 중인지, 로그에 무엇이 남았는지 확인합니다"},
			Command: "crictl ps -a --name coredns; crictl logs --tail 20 $(crictl ps -aq --name coredns | head -1)", Machine: asked[0].node,
		}},
		Later: spread(),
	}
	if asked[0].service {
		f.Remedies.Now = []finding.Remedy{{Text: finding.Text{EN: "start its servers", KO: "서버를 시작합니다"}, Command: "kubectl -n kube-system get deployments,pods -l " + dnsLabel + "=" + dnsValue}}
	}
	return f
}

// aloneMachine is a machine that no server answers, though others are answered.
func aloneMachine(node string, asked []dnsAnswer) finding.Finding {
	f := finding.Finding{
		Subject:   finding.Subject{Kind: "Path", Name: "cluster DNS", Machine: node},
		Mechanism: v1alpha1.MechanismUnreachable,
		RuledOut:  []finding.Statement{{Text: finding.Text{EN: "the DNS servers: they answer other machines", KO: "DNS 서버: 다른 머신에는 응답합니다"}}},
		// What is known of the machine, of the servers' machines, and of the paths between them, is what it waits for.
		WaitsFor: []finding.Subject{{Kind: "Machine", Name: node, Machine: node}, {Kind: "Network", Name: "pods"}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text:    finding.Text{EN: "the way to a DNS server, and filters on it", KO: "DNS 서버까지의 경로와 패킷 필터를 확인합니다"},
				Command: "ip route get " + hostOf(asked[0].server) + "; ping -c 3 -W 1 " + hostOf(asked[0].server) + "; nft list ruleset | grep -nE 'drop|reject'", Machine: node,
			}},
			Later: spread(),
		},
	}
	tell(&f, asked)
	var servers []string
	for _, a := range asked {
		servers = append(servers, a.server)
		if a.node != "" && a.node != node {
			f.WaitsFor = append(f.WaitsFor, finding.Subject{Kind: "Machine", Name: a.node, Machine: a.node},
				finding.Subject{Kind: "Path", Name: node + " -> " + a.node, Machine: node}, finding.Subject{Kind: "Path", Name: a.node + " -> " + node, Machine: a.node})
		}
	}
	f.Title = finding.Format("machine %s: no server of cluster DNS answers", "머신 %s: 클러스터 DNS의 어느 서버도 응답하지 않습니다", finding.Verbatim(node))
	f.Why = finding.Format("%s answer other machines and not %s: the path from it is broken. Pods on %s cannot look up names.",
		"%s는 다른 머신에는 응답하지만 %s에는 응답하지 않습니다. 이 머신에서 가는 경로가 끊겼으며 %s의 Pod는 이름을 조회하지 못합니다.",
		finding.List(servers), finding.Verbatim(node), finding.Verbatim(node))
	return f
}

// tell gives a finding its evidence and age, and returns who asked.
func tell(f *finding.Finding, asked []dnsAnswer) finding.Text {
	var who []string
	for _, a := range asked {
		who = append(who, a.by.Node())
		f.Since = finding.Later(f.Since, a.since)
		if len(f.Evidence) < 3 {
			f.Evidence = append(f.Evidence, a.by.Evidence(a.key))
		}
	}
	return finding.List(who)
}

// hostOf is the address of "address:port".
func hostOf(server string) string {
	at, err := netip.ParseAddrPort(server)
	if err != nil {
		return server
	}
	return at.Addr().String()
}
