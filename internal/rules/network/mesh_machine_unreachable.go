package network

import (
	"fmt"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MachineUnreachable",
	Title: finding.Text{EN: "nobody hears the machine", KO: "머신의 신호가 끊겼습니다"},
	Doc: finding.Text{
		EN: "The agents of other machines hear nothing from a machine's agent any more, over the machines' network and the pod network, requests to it get no answer and no refusal, and it gives no report. " +
			"The machine is off or hung, or its cable is cut. Known within seconds, from every machine that has an agent, without the API server. " +
			"Left alone: an agent that said that it ends (a planned reboot, an update), one whose machine refuses the connection (the agent alone is gone), cordoned nodes, nodes that are being deleted. " +
			"Several machines lost at one moment are NetworkPartitioned.",
		KO: "다른 머신의 agent가 이 머신의 agent로부터 머신 네트워크와 Pod 네트워크 어느 쪽으로도 신호를 받지 못합니다. 요청에 응답도 거부도 없고 보고서도 없습니다. 머신이 꺼졌거나 멈췄거나 네트워크 연결이 끊긴 상태입니다. " +
			"API server 없이도 agent가 있는 모든 머신에서 몇 초 안에 알 수 있습니다. 종료를 알린 agent(계획된 재부팅, 업데이트), 머신이 연결을 거부하는 경우(agent만 없음), cordon된 노드, 삭제 중인 노드는 대상이 아닙니다. " +
			"여러 머신이 동시에 끊기면 NetworkPartitioned입니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/nodes/#condition",
	Severity: finding.Warning,
	Needs:    meshNeeds(),
	Machine:  meshKeys,
	Detect:   detectMachineUnreachable,
})

func detectMachineUnreachable(p *rule.Pass) {
	m := readMatrix(p)
	for _, l := range findSides(m).lost {
		p.Report(machineUnreachable(m, l))
	}
}

func machineUnreachable(m *matrix, l lostMachine) finding.Finding {
	by := m.reports[l.seenBy[0]]
	address := by.Value(snapshot.KeyOf("mesh", "peer", l.node, "address"))
	f := finding.Finding{
		Subject:   machineSubject(l.node),
		Mechanism: v1alpha1.MechanismUnreachable,
		Since:     l.last,
		Title: finding.Format("machine %s: nothing comes back from it (seen by %s)", "머신 %s: 응답이 없습니다(%s에서 확인)",
			finding.Verbatim(l.node), finding.List(l.seenBy)),
		Why: finding.Format(
			"Every machine that watches %s has lost it: %s. Neither its beacons over the machines' network nor those over the pod network arrive, and requests to %s are neither answered nor refused. It is off, hung, or cut off.",
			"%s의 신호를 받던 모든 머신(%s)에서 신호가 끊겼습니다. 머신 네트워크와 Pod 네트워크의 beacon이 모두 오지 않고, %s에 보낸 요청에는 응답도 거부도 없습니다. 머신이 꺼졌거나 멈췄거나 네트워크에서 끊긴 상태입니다.",
			finding.Verbatim(l.node), finding.List(l.seenBy), finding.Verbatim(address)),
		Evidence: m.evidence(hostNetwork, l.ways, false),
		Explains: []finding.Subject{{Kind: "Node", Name: l.node}},
		RuledOut: []finding.Statement{{Text: finding.Text{
			EN: "kubelet or agent stopped alone: the machine would refuse the connection to the agent's port",
			KO: "kubelet이나 agent만 중지됨: 그렇다면 머신이 agent 포트로의 연결을 거부합니다",
		}}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "an answer means that the machine runs and its agent's port is cut; none means power, a hang or the cable", KO: "응답이 있으면 머신은 켜져 있고 agent 포트만 끊긴 것이며, 없으면 전원, 멈춤, 케이블을 확인합니다"},
					Command: "ping -c 3 " + finding.ShellWord(address), Machine: by.Node(),
				},
				{Text: finding.Text{EN: "switch it on, or look at its console", KO: "전원을 켜거나 콘솔을 확인합니다"}},
				{
					Text: finding.Text{
						EN: "only once it is certain that it is off: lets its pods and volumes move to other nodes at once",
						KO: "머신이 꺼진 것이 확실할 때만 실행합니다. Pod와 볼륨을 바로 다른 노드로 옮기게 합니다",
					},
					Command: fmt.Sprintf("kubectl taint nodes %s node.kubernetes.io/out-of-service=nodeshutdown:NoExecute", finding.ShellWord(l.node)),
				},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "let no workload depend on one machine: two replicas or more, spread by topologySpreadConstraints",
				KO: "워크로드가 한 머신에 의존하지 않도록 replica를 2개 이상 두고 topologySpreadConstraints로 분산합니다",
			}}},
		},
	}
	if len(l.seenBy) == 1 {
		f.Confidence = v1alpha1.ConfidenceMedium
	} else {
		f.RuledOut = append(f.RuledOut, finding.Statement{Text: finding.Format(
			"the network of the machine that looks: %s lost it alike", "관측한 쪽의 네트워크: %s에서 모두 끊겼습니다", finding.List(l.seenBy))})
	}
	return f
}
