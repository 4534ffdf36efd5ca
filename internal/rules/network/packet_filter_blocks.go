package network

import (
	"fmt"
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PacketFilterBlocksCluster",
	Title: finding.Text{EN: "packet filter drops what the cluster sends", KO: "패킷 필터가 클러스터 트래픽을 차단합니다"},
	Doc: finding.Text{
		EN: "A rule of the machine's packet filter, outside of the tables and chains of kube-proxy and network plugins, drops or rejects what the cluster needs there: the API server's port, the kubelet's, etcd's, the overlay's, name look-ups, or all that another node sends. " +
			"Read by root on the machine (kubectl-maek machine); agents lack the capability (CAP_NET_ADMIN). Left alone: rules behind one that lets some of the same packets pass (as from known addresses), rules with further conditions, for addresses that are no node's, for interfaces " +
			"that the node's traffic does not take, and ports that nothing on this machine serves. A chain that drops what no rule lets pass, and the older iptables, are not judged.",
		KO: "kube-proxy와 네트워크 플러그인의 table과 chain이 아닌, 머신의 패킷 필터 규칙이 클러스터에 필요한 트래픽을 drop하거나 reject합니다. API server, kubelet, etcd, overlay 포트, 이름 조회, 또는 다른 노드가 보내는 모든 패킷입니다. " +
			"머신에서 root로 실행할 때(kubectl-maek machine) 읽으며, agent에는 권한(CAP_NET_ADMIN)이 없습니다. 같은 패킷 일부를 먼저 허용하는 규칙이 있는 경우(알려진 주소 허용 등), 다른 조건이 있는 규칙, 노드가 아닌 주소, 노드 트래픽이 지나지 않는 인터페이스, " +
			"이 머신에서 제공하지 않는 포트에 대한 규칙은 대상이 아닙니다. 허용되지 않은 것을 모두 버리는 chain과 이전 방식의 iptables는 판단하지 않습니다.",
	},
	Link: "https://kubernetes.io/docs/reference/networking/ports-and-protocols/", Severity: finding.Warning, Gravest: finding.Critical,
	Needs: flannelNeeds(),
	Machine: slices.Concat(flannelEvidence, interfaceKeys, []snapshot.EvidenceKey{
		"filter/rule/*/*/*/*", "cluster/node/*/control-plane", "kubelet/api-server/url",
	}),
	Detect: packetFilterBlocks,
})

// filtered is something that the cluster needs and a machine's packet filter takes.
type filtered struct {
	// what it is, and field its protocol and port.
	what     finding.Text
	field    string
	severity finding.Severity
	harms    []finding.Subject
	rules    []filterRule
}

func packetFilterBlocks(p *rule.Pass) {
	nodes := nodeAddresses(p)
	v := readFlannel(p)
	for _, m := range p.Machines() {
		rules := filterRules(m)
		if len(rules) == 0 {
			continue
		}
		s := sceneOf(m, nodes)
		told := map[string]bool{}
		for _, b := range s.needs(p, v) {
			// A chain that packets meet both ways can take the same port both ways: the graver is told.
			if len(b.rules) > 0 && !told[b.name()] {
				told[b.name()] = true
				p.Report(blockedBy(m, b))
			}
		}
	}
}

// name of what is filtered, by the first rule that takes it.
func (b filtered) name() string { return b.rules[0].table + " " + b.rules[0].chain + ": " + b.field }

// needs are what the cluster needs of a machine, each with the rules that take it.
func (s filterScene) needs(p *rule.Pass, v *flannelView) []filtered {
	all := filterRules(s.m)
	take := func(protocol string, port int, ways ...func(filterRule) bool) []filterRule {
		return slices.DeleteFunc(slices.Clone(all), func(r filterRule) bool {
			return !r.takes(protocol, port) || !slices.ContainsFunc(ways, func(way func(filterRule) bool) bool { return way(r) })
		})
	}
	node := []finding.Subject{{Kind: "Node", Name: s.m.Node()}}
	peers := v.of(s.m).peers()
	ways := append(waysOut(s.m.Node(), peers), waysIn(s.m.Node(), peers)...)
	var out []filtered
	if s.controlPlane {
		out = append(out, filtered{
			what: finding.Text{EN: "the way of other machines to its API server", KO: "다른 머신에서 이 머신의 API server로 오는 경로"}, field: fmt.Sprint("TCP ", s.apiPort),
			severity: finding.Critical, harms: kubeletsOf(p, s), rules: take("tcp", s.apiPort, s.inward),
		}, filtered{
			what: finding.Text{EN: "etcd between the control planes", KO: "control plane 사이의 etcd"}, field: "TCP 2379-2380", severity: finding.Warning,
			rules: slices.CompactFunc(append(take("tcp", 2379, s.inward, s.outward), take("tcp", 2380, s.inward, s.outward)...), sameRule),
		})
	}
	out = append(out, filtered{
		what: finding.Text{EN: "its way to the API server", KO: "API server로 가는 경로"}, field: fmt.Sprint("TCP ", s.apiPort), severity: finding.Warning,
		harms: append(node, s.m.Subject("Endpoint", s.m.Value("kubelet/api-server/url"))), rules: take("tcp", s.apiPort, s.outward, s.through),
	}, filtered{
		what:  finding.Text{EN: "the API server's way to its kubelet (logs, exec, metrics)", KO: "API server에서 kubelet으로 가는 경로(로그, exec, 메트릭)"},
		field: "TCP 10250", severity: finding.Warning, rules: take("tcp", 10250, s.inward),
	}, filtered{
		what:  finding.Text{EN: "the load balancers' question to kube-proxy", KO: "로드 밸런서에서 kube-proxy로 보내는 상태 확인"},
		field: "TCP 10256", severity: finding.Info, rules: take("tcp", 10256, s.inward),
	}, filtered{
		what:  finding.Text{EN: "look-ups of names", KO: "이름 조회"},
		field: "UDP 53", severity: finding.Warning, rules: take("udp", 53, s.lookup),
	}, filtered{
		what:  finding.Text{EN: "Maek's agents", KO: "Maek agent 사이의 통신"},
		field: fmt.Sprint("UDP ", monitor.Port), severity: finding.Info, harms: []finding.Subject{{Kind: "Network", Name: "beacons"}},
		rules: append(take("udp", monitor.Port, s.inward, s.outward), take("tcp", monitor.Port, s.inward, s.outward)...),
	})
	for _, port := range s.overlay {
		out = append(out, filtered{
			what: finding.Text{EN: "the pod network", KO: "Pod 네트워크"}, field: fmt.Sprint("UDP ", port), severity: finding.Critical,
			harms: ways, rules: take("udp", port, s.inward, s.outward),
		})
	}
	return append(out, filtered{
		what: finding.Text{EN: "all between it and another node", KO: "다른 노드와의 모든 통신"}, field: "all", severity: finding.Warning,
		harms: ways, rules: slices.DeleteFunc(slices.Clone(all), func(r filterRule) bool {
			return r.value("ports") != "" || !(r.value("sources") != "" && s.inward(r) || r.value("destinations") != "" && s.outward(r))
		}),
	})
}

func sameRule(a, b filterRule) bool { return a.key("text") == b.key("text") }

// lookup tells whether a rule takes the machine's own questions for names, or those of its pods, to whomever.
func (s filterScene) lookup(r filterRule) bool {
	return r.meets("output", "postrouting", "forward", "prerouting") && r.value("in") == "" && r.value("out") == "" && r.value("sources") == "" && r.value("destinations") == ""
}

// kubeletsOf are the other machines' ways to the API server of a machine.
func kubeletsOf(p *rule.Pass, s filterScene) []finding.Subject {
	var out []finding.Subject
	for _, other := range p.Machines() {
		if address := other.Value("kubelet/api-server/url"); other.Node() != s.m.Node() && address != "" && address == s.m.Value("kubelet/api-server/url") {
			out = append(out, other.Subject("Endpoint", address), finding.Subject{Kind: "Node", Name: other.Node()})
		}
	}
	return out
}

func blockedBy(m snapshot.Machine, b filtered) finding.Finding {
	first := b.rules[0]
	f := finding.Finding{
		Subject: m.Subject("PacketFilter", b.name()), Mechanism: v1alpha1.MechanismRefused, Field: b.field, Severity: b.severity, Explains: b.harms,
		Title: finding.Format("machine %s: its packet filter drops %s (table %s, chain %s)", "머신 %s: 패킷 필터가 %s 트래픽을 차단합니다(table %s, chain %s)",
			finding.Verbatim(m.Node()), finding.Verbatim(named(b.field)), finding.Verbatim(first.table), finding.Verbatim(first.chain)),
		Why: finding.Format("The rule \"%s\" cuts %s. It is not of kube-proxy or of a network plugin.", "규칙 \"%s\"은 다음을 차단합니다: %s. kube-proxy나 네트워크 플러그인의 규칙이 아닙니다.",
			finding.Verbatim(first.value("text")), b.what),
	}
	for _, r := range b.rules {
		f.Evidence = append(f.Evidence, m.Evidence(r.key("text")))
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Textf("remove the rule \"%s\" of %s", "%[2]s의 규칙 \"%[1]s\"을 제거합니다", r.value("text"), r.chain),
			Command: "nft delete rule " + r.table + " " + r.chain + " handle " + r.handle, Machine: m.Node(),
		})
	}
	f.Remedies.Now = append([]finding.Remedy{{
		Text: finding.Text{EN: "see the chain first", KO: "먼저 chain을 확인합니다"}, Command: "nft -a list chain " + first.table + " " + first.chain, Machine: m.Node(),
	}}, f.Remedies.Now...)
	f.Remedies.Later = []finding.Remedy{{Text: finding.Format(
		"let %s pass in what writes the rules (/etc/nftables.conf, firewalld, ufw, configuration management); otherwise they come back with its next run",
		"규칙을 작성하는 곳(/etc/nftables.conf, firewalld, ufw, 구성 관리 도구)에서 %s를 허용합니다. 그렇지 않으면 다음 실행 때 되돌아옵니다", finding.Verbatim(named(b.field)))}}
	return f
}

// filtersOverlay, filtersAPIServer and filtersAll tell what a filter takes, for the rules on what then fails.
func filtersOverlay(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	return cause.Severity == finding.Critical && strings.HasPrefix(cause.Field, "UDP ") || cause.Field == "all"
}

func filtersAPIServer(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	return strings.HasPrefix(cause.Field, "TCP ") && cause.Field != "TCP 10250" && cause.Field != "TCP 10256" || cause.Field == "all"
}

func filtersAll(_ *snapshot.Snapshot, _, cause finding.Finding) bool { return cause.Field == "all" }

// named is a field in a sentence.
func named(field string) string {
	if field == "all" {
		return "TCP, UDP"
	}
	return field
}
