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
	Code:  "ApiServerUnreachableFromMachine",
	Title: finding.Text{EN: "machines do not reach an API server", KO: "머신에서 API server에 연결되지 않습니다"},
	Doc: finding.Text{
		EN: "Agents ask every API server whether it lives, each from its own machine. A server that some machines reach and others do not is well; the path from those is cut, and their kubelets will be taken for dead although their pods run on. " +
			"A server that nobody reaches has ended (connections are refused), hangs, or its machine is off. A server that answers that it fails is told elsewhere, and so is one whose certificate does not fit.",
		KO: "agent는 각자의 머신에서 모든 API server에 살아 있는지 묻습니다. 일부 머신에서만 연결되지 않으면 서버는 정상이고 그 머신들에서 오는 경로가 끊긴 것입니다. 그 머신의 kubelet은 죽은 것으로 처리되지만 Pod는 계속 실행됩니다. " +
			"어디에서도 연결되지 않으면 종료되었거나(연결 거부) 멈췄거나 머신이 꺼진 것입니다. 오류를 응답하는 서버와 인증서가 맞지 않는 서버는 다른 규칙이 알립니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/control-plane-node-communication/",
	Severity: finding.Critical,
	Needs:    meshNeeds(),
	Machine:  append(serverKeys("service/kubernetes"), meshKeys...),
	For:      20 * time.Second,
	Causes: []rule.Cause{
		{Code: "MachineUnreachable", Via: rule.OnMachine},
		{Code: "NetworkPartitioned", Via: rule.Cluster},
		{Code: "HostPathBroken", Via: rule.OnMachine},
		{Code: "PacketFilterBlocksCluster", Via: rule.OnMachine, Holds: filtersAPIServer},
		{Code: "DefaultRouteMissing", Via: rule.OnMachine},
		{Code: "InterfaceDown", Via: rule.OnMachine},
		{Code: "ApiServerUnreachable", Via: rule.Cluster},
		{Code: "ComponentNotAnswering", Via: rule.Claimed},
		{Code: "StaticPodManifestInvalid", Via: rule.Claimed},
		{Code: "StaticPodManifestMissing", Via: rule.Claimed},
	},
	Detect: detectAPIServerUnreachable,
})

func detectAPIServerUnreachable(p *rule.Pass) {
	m := readMatrix(p)
	all := readServers(p, "service", "kubernetes")
	direct := slices.ContainsFunc(all, func(a asked) bool { return !a.service })
	byServer := map[string][]asked{}
	for _, a := range all {
		// Where no server is known, the last one took itself out of the Service as it ended: the Service's
		// address is all that can be asked.
		if a.service != direct {
			byServer[a.address] = append(byServer[a.address], a)
		}
	}
	// cut are the servers that each machine does not reach while others do.
	cut := map[string][]asked{}
	reached := map[string]int{}
	for _, address := range slices.Sorted(maps.Keys(byServer)) {
		var good, bad []asked
		for _, a := range byServer[address] {
			switch {
			case a.answers():
				good = append(good, a)
			case a.answer == answerTimeout || a.answer == answerUnreachable || a.answer == answerRefused:
				bad = append(bad, a)
			}
		}
		for _, a := range good {
			reached[a.by.Node()]++
		}
		switch {
		case len(bad) == 0:
		case len(good) == 0 && bad[0].answer != answerRefused && len(bad) == 1 && m.reachesMachine(bad[0]):
			cut[bad[0].by.Node()] = append(cut[bad[0].by.Node()], bad[0])
		case len(good) == 0:
			p.Report(serverDown(m, address, bad))
		case len(bad) > 1 && !slices.ContainsFunc(good, func(a asked) bool { return a.by.Node() != a.node }):
			p.Report(serverCutOff(m, address, good, bad))
		default:
			for _, a := range bad {
				cut[a.by.Node()] = append(cut[a.by.Node()], a)
			}
		}
	}
	for _, node := range slices.Sorted(maps.Keys(cut)) {
		p.Report(machineCutOff(m, node, cut[node], reached[node], len(byServer[cut[node][0].address]) == 1))
	}
}

// reachesMachine tells whether beacons come from the machine of a server to the one that asks.
func (m *matrix) reachesMachine(a asked) bool {
	return a.node != "" && a.node != a.by.Node() && m.judge(way{a.node, a.by.Node()}, hostNetwork) == fine
}

// nodesAsking are the machines that asked.
func nodesAsking(all []asked) []string {
	var out []string
	for _, a := range all {
		out = append(out, a.by.Node())
	}
	return out
}

func apiEvidence(f *finding.Finding, all []asked) {
	for _, a := range all {
		f.Since = finding.Later(f.Since, a.since)
		if len(f.Evidence) < 3 {
			f.Evidence = append(f.Evidence, a.by.Evidence(a.key))
		}
	}
}

// word says what became of requests, for a title.
func word(answer string) finding.Text {
	switch answer {
	case answerRefused:
		return finding.Text{EN: "connections are refused", KO: "연결이 거부됩니다"}
	case answerUnreachable:
		return finding.Text{EN: "there is no way to it", KO: "경로가 없습니다"}
	default:
		return finding.Text{EN: "nothing comes back", KO: "응답이 없습니다"}
	}
}

// machineCutOff is a machine that does not reach servers that others reach.
// Alone tells that no other machine was asked.
func machineCutOff(m *matrix, node string, bad []asked, reached int, alone bool) finding.Finding {
	var addresses []string
	for _, a := range bad {
		addresses = append(addresses, a.address)
	}
	list := finding.List(addresses)
	f := finding.Finding{
		Subject:   finding.Subject{Kind: "Path", Name: "API server", Machine: node},
		Mechanism: v1alpha1.MechanismUnreachable,
		Title: finding.Format("machine %s does not reach the API server (%s): %s", "머신 %s에서 API server(%s)에 연결되지 않습니다: %s",
			finding.Verbatim(node), list, word(bad[0].answer)),
		Why: finding.Format("From %s %s does not answer, and from other machines it does: the API server is well, and the path from this machine to it is cut. The kubelet on %s cannot report; its pods run on.",
			"%s에서는 %s가 응답하지 않지만 다른 머신에서는 응답합니다. API server는 정상이고 이 머신에서 가는 경로가 끊겼습니다. %s의 kubelet은 보고하지 못하지만 Pod는 계속 실행됩니다.", finding.Verbatim(node), list, finding.Verbatim(node)),
		Explains: []finding.Subject{{Kind: "Node", Name: node}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "the way there, and filters on it", KO: "경로와 패킷 필터를 확인합니다"},
					Command: "curl -ks -m 3 " + finding.ShellWord("https://"+bad[0].address+"/livez") + "; nft list ruleset | grep -nE 'drop|reject'; iptables-save | grep -nE 'DROP|REJECT'", Machine: node,
				},
				{Text: finding.Text{
					EN: "do not drain or delete the node: its pods run, and would run twice", KO: "노드를 drain하거나 삭제하지 않습니다. Pod가 실행 중이므로 이중으로 실행될 수 있습니다",
				}},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "keep TCP 6443 to all control planes open in every packet filter that is rolled out", KO: "배포하는 모든 패킷 필터에서 모든 control plane으로의 TCP 6443을 열어 둡니다",
			}}},
		},
	}
	apiEvidence(&f, bad)
	if reached > 0 {
		f.Explains = nil
		f.Why = finding.Format("From %s %s does not answer, and from other machines it does: the path from this machine to it is cut. It reaches other API servers.",
			"%s에서는 %s가 응답하지 않지만 다른 머신에서는 응답합니다. 이 머신에서 가는 경로가 끊겼습니다. 다른 API server에는 연결됩니다.", finding.Verbatim(node), list)
	}
	if alone {
		f.Confidence = v1alpha1.ConfidenceMedium
		f.Why = finding.Format("From %s %s does not answer, though beacons of its machine arrive: its port is cut, or the server hangs. No other machine reports that could tell which.",
			"%s에서는 %s가 응답하지 않지만 그 머신의 beacon은 도착합니다. 포트가 차단되었거나 서버가 멈췄습니다. 이를 구분해 줄 다른 머신의 보고서가 없습니다.", finding.Verbatim(node), list)
		return f
	}
	// It is one machine's loss, as that of a node is.
	f.Severity = finding.Warning
	if m.reachesMachine(bad[0]) {
		f.RuledOut = []finding.Statement{{Text: finding.Format("the path between the machines: beacons of %s arrive, so it is the port that is cut", "머신 사이의 경로: %s의 beacon이 도착하므로 그 포트만 끊긴 것입니다", finding.Verbatim(bad[0].node))}}
	}
	return f
}

// serverCutOff is a server that only its own machine reaches.
func serverCutOff(m *matrix, address string, good, bad []asked) finding.Finding {
	node := good[0].node
	f := machineServer(address, node, bad)
	f.Title = finding.Format("API server %s on %s is reached from its own machine only: %s do not", "%[2]s의 API server %[1]s는 자기 머신에서만 연결됩니다: %[3]s에서는 연결되지 않습니다",
		finding.Verbatim(address), finding.Verbatim(node), finding.List(nodesAsking(bad)))
	f.Why = finding.Format("It answers on %s, and from %s %s. The server is well; what comes from outside does not get to it.",
		"%s에서는 응답하지만 %s에서는 %s. 서버는 정상이고 외부에서 오는 연결이 도착하지 않습니다.", finding.Verbatim(node), finding.List(nodesAsking(bad)), word(bad[0].answer))
	f.RuledOut = []finding.Statement{{Text: finding.Text{EN: "the API server: it answers on its own machine", KO: "API server: 자기 머신에서는 응답합니다"}}}
	if slices.ContainsFunc(bad, m.reachesMachine) {
		f.RuledOut = append(f.RuledOut, finding.Statement{Text: finding.Text{EN: "the path between the machines: beacons arrive, so it is the port that is cut", KO: "머신 사이의 경로: beacon이 도착하므로 그 포트만 끊긴 것입니다"}})
	}
	for _, a := range bad {
		f.Explains = append(f.Explains, finding.Subject{Kind: "Node", Name: a.by.Node()})
	}
	return f
}

// serverDown is a server that nobody reaches.
func serverDown(m *matrix, address string, bad []asked) finding.Finding {
	f := machineServer(address, bad[0].node, bad)
	f.Title = finding.Format("API server %s%s: %s, from any machine (%s)", "API server %s%s: 어느 머신(%[4]s)에서도 %[3]s",
		finding.Verbatim(address), onNode(bad[0].node), word(bad[0].answer), finding.List(nodesAsking(bad)))
	f.Why = finding.Format("None of the machines that report reaches it: %s.", "보고하는 머신 중 어디에서도 연결되지 않습니다: %s.", finding.List(nodesAsking(bad)))
	if bad[0].answer == answerRefused {
		f.Mechanism = v1alpha1.MechanismRefused
		why := finding.Text{EN: "The machine is there and refuses: no kube-apiserver listens.", KO: "머신은 있으나 연결을 거부합니다. kube-apiserver가 실행되지 않습니다."}
		if bad[0].service {
			why = finding.Text{EN: "It is the Service's address, and no server is behind it any more: the last kube-apiserver ended.", KO: "Service 주소이며 그 뒤에 서버가 없습니다. 마지막 kube-apiserver가 종료되었습니다."}
		}
		f.Why = finding.Join(" ", f.Why, why)
	} else if slices.ContainsFunc(bad, m.reachesMachine) {
		f.Why = finding.Join(" ", f.Why, finding.Text{EN: "Its machine runs, for beacons of it arrive: the server hangs, or its port is filtered.", KO: "머신의 beacon은 도착하므로 머신은 살아 있습니다. 서버가 멈췄거나 포트가 차단되었습니다."})
	}
	return f
}

func onNode(node string) finding.Text {
	if node == "" {
		return finding.Text{}
	}
	return finding.Textf(" on %s", "(%s)", node)
}

func machineServer(address, node string, bad []asked) finding.Finding {
	f := finding.Finding{
		Subject:   finding.Subject{Kind: "Endpoint", Name: address, Machine: node},
		Mechanism: v1alpha1.MechanismUnreachable,
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text:    finding.Text{EN: "does it run, does it answer there, what filters it", KO: "실행 중인지, 그 머신에서 응답하는지, 차단하는 필터가 있는지 확인합니다"},
				Command: "crictl ps -a --name kube-apiserver; curl -ks -m 3 " + finding.ShellWord("https://"+address+"/livez") + "; nft list ruleset | grep -nE 'drop|reject'; iptables-save | grep -nE 'DROP|REJECT'", Machine: node,
			}},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "three API servers behind one address that leaves out those that do not answer", KO: "API server 3개를 두고, 응답하지 않는 서버를 제외하는 하나의 주소로 제공합니다",
			}}},
		},
	}
	apiEvidence(&f, bad)
	return f
}
