package node

import (
	"fmt"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "KubeletStopped",
	Title: finding.Text{
		EN: "kubelet does not run",
		KO: "kubelet이 실행되지 않습니다",
	},
	Doc: finding.Text{
		EN: "The kubelet's Lease ran out, and the machine refuses connections to the kubelet's port: the machine is there and nothing listens. Containers go on running; the node " +
			"takes no new pods, ends none, and its pods leave the endpoints of their Services. Where nobody could ask the port, or nothing came back, it is NodeUnreachable. " +
			"A node that has just joined, a cordoned node that reports, and a fresh Lease beside a Ready that is still Unknown are left alone.",
		KO: "kubelet의 Lease가 만료되었고, 머신이 kubelet 포트로의 연결을 거부합니다. 머신은 살아 있고 받는 프로세스만 없는 상태입니다. 컨테이너는 계속 실행되지만 그 노드에서는 Pod를 새로 시작하거나 " +
			"종료할 수 없고, Pod는 Service endpoint에서 빠집니다. 포트를 확인하지 못했거나 응답이 없으면 NodeUnreachable입니다. 방금 참여한 노드, 보고 중인 cordon된 노드, Lease는 새로운데 Ready가 아직 Unknown인 노드는 " +
			"대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats",
	Severity: finding.Warning,
	Needs:    lossNeeds(),
	Causes:   append(kubeletOnMachine(), rule.Cause{Code: "NodesLostTogether", Via: rule.Claimed}),
	// No further patience: a Lease that ran out is 50 s of silence, and the port is shut now.
	Detect: detectKubeletStopped,
})

func detectKubeletStopped(p *rule.Pass) {
	all := losses(p)
	for i, l := range all {
		answer, ok := kubeletAnswer(p, i, l)
		if !ok || answer.Outcome != snapshot.Refused {
			continue
		}
		name, port := l.node.Name, kubeletPort(l.node)
		endpoints := finding.Text{EN: "Its pods leave the endpoints of their Services.", KO: "이 노드의 Pod는 Service endpoint에서 빠집니다."}
		if p.Writer(snapshot.ControllerManager).State == snapshot.Dead {
			endpoints = finding.Text{EN: "Nobody takes its pods out of the endpoints of their Services.", KO: "이 노드의 Pod를 Service endpoint에서 빼 줄 프로세스도 없습니다."}
		}
		refused := finding.Evidence{Source: "kubelet on " + name, Path: fmt.Sprintf("port %d", port), Value: finding.Quote(answer.Error)}
		p.Report(finding.Finding{
			Subject:   snapshot.SubjectOf(l.node),
			Mechanism: v1alpha1.MechanismStopped,
			Since:     l.since,
			Title:     finding.Textf("node %s: the kubelet does not run", "노드 %s: kubelet이 실행되지 않습니다", name),
			Why: finding.Join(" ", l.how, finding.Textf(
				"The machine answers and nothing listens on port %d. Containers there go on running; the node starts and ends no pods.",
				"머신은 응답하지만 %d 포트에서 받는 프로세스가 없습니다. 컨테이너는 계속 실행되지만 이 노드에서는 Pod를 시작하거나 종료할 수 없습니다.", port),
				endpoints, carries(p.Snapshot, l.node)),
			Evidence: append(l.evidence, refused),
			RuledOut: []finding.Statement{{
				Text: finding.Text{
					EN: "machine off, or the network to it cut: it refuses the connection, so it is there",
					KO: "머신 꺼짐, 네트워크 단절: 연결을 거부하므로 머신은 살아 있습니다",
				},
				Evidence: []finding.Evidence{refused},
			}},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{Text: finding.Text{EN: "see why it ended", KO: "종료된 이유를 확인합니다"}, Command: "systemctl status kubelet; journalctl -u kubelet -n 50 --no-pager", Machine: name},
					{Text: finding.Text{EN: "start it; running containers stay as they are", KO: "시작합니다. 실행 중인 컨테이너에는 영향이 없습니다"}, Command: "systemctl restart kubelet", Machine: name},
				},
				Later: []finding.Remedy{{
					Text:    finding.Text{EN: "have systemd start it at boot and after every end", KO: "부팅할 때와 종료된 뒤에 systemd가 자동으로 시작하게 합니다"},
					Command: "systemctl enable kubelet; systemctl show kubelet -p Restart", Machine: name,
				}},
			},
		})
	}
}
