package node

import (
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeNotReady",
	Title: finding.Text{
		EN: "node not ready",
		KO: "노드가 준비되지 않았습니다",
	},
	Doc: finding.Text{
		EN: "A living kubelet says that its node is not ready, for a reason that is neither the container runtime (ContainerRuntimeDown) nor the network plugin (NetworkPluginNotReady): " +
			"the machine is shutting down, a storage driver does not start, the machine's capacity cannot be read. The kubelet's own words are quoted. A node in its first two minutes, " +
			"one that is being removed, and one whose kubelet is dead are left alone.",
		KO: "살아 있는 kubelet이 노드가 준비되지 않았다고 보고하며, 그 이유가 컨테이너 런타임(ContainerRuntimeDown)이나 네트워크 플러그인(NetworkPluginNotReady)이 아닙니다. 머신이 종료 중이거나, storage driver가 시작되지 않거나, " +
			"머신의 용량을 읽지 못하는 경우입니다. kubelet의 메시지를 그대로 보여 줍니다. 참여한 지 2분이 안 된 노드, 제거 중인 노드, kubelet이 죽은 노드는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/node/node-status/#condition",
	Severity: finding.Warning,
	Needs:    readyFalseNeeds(),
	For:      time.Minute,
	Detect:   detectNodeNotReady,
})

// shuttingDown is what a kubelet says once systemd told it of the machine's shutdown
// (k8s.io/kubernetes/pkg/kubelet/nodeshutdown/nodeshutdown_manager_linux.go, ShutdownStatus).
const shuttingDown = "node is shutting down"

func detectNodeNotReady(p *rule.Pass) {
	for _, n := range readyFalseNodes(p) {
		if troubleOf(n.ready.Message) != otherTrouble {
			continue
		}
		name := n.node.Name
		f := finding.Finding{
			Subject:   snapshot.SubjectOf(n.node),
			Mechanism: v1alpha1.MechanismDegraded,
			Since:     n.ready.LastTransitionTime.Time,
			Title:     finding.Textf("node %s is not ready: %s", "노드 %s: 준비되지 않았습니다: %s", name, finding.Quote(n.ready.Message)),
			Why: finding.Textf("Its kubelet lives and says %s (%s). The node takes no new pods, and its pods leave the endpoints of their Services.",
				"kubelet이 살아 있으며 다음과 같이 보고합니다: %s(%s). 이 노드에는 새 Pod가 배치되지 않고, Pod는 Service endpoint에서 빠집니다.",
				finding.Quote(n.ready.Message), n.ready.Reason),
			Evidence: []finding.Evidence{readyEvidence(n.node, n.ready)},
			RuledOut: kubeletLives(p.Snapshot, n.node),
			Remedies: finding.Remedies{Now: []finding.Remedy{{
				Text:    finding.Text{EN: "the kubelet's log says more", KO: "kubelet 로그에서 자세한 내용을 확인합니다"},
				Command: "journalctl -u kubelet -n 100 --no-pager", Machine: name,
			}}},
		}
		if strings.Contains(n.ready.Message, shuttingDown) {
			f.Mechanism = v1alpha1.MechanismStopped
			f.Title = finding.Textf("node %s is shutting down", "노드 %s: 종료 중입니다", name)
			f.Why = finding.Text{
				EN: "systemd told its kubelet that the machine is being shut down; pods are being ended in order.",
				KO: "systemd가 머신 종료를 알려 kubelet이 Pod를 차례로 종료하고 있습니다.",
			}
			f.Remedies.Now = []finding.Remedy{{
				Text:    finding.Text{EN: "who asked for it", KO: "누가 종료를 요청했는지 확인합니다"},
				Command: "journalctl -u systemd-logind -n 20 --no-pager; last -x shutdown reboot | head", Machine: name,
			}}
		}
		f.Why = finding.Join(" ", f.Why, carries(p.Snapshot, n.node))
		p.Report(f)
	}
}
