package node

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

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
			"the machine is shutting down, a storage driver does not start, the machine's capacity cannot be read. The kubelet's own words are quoted. So is one whose kubelet renews its Lease while Ready has been Unknown for two minutes: its writing of the status is refused. A node in its first two minutes, " +
			"one that is being removed, and one whose kubelet is dead are left alone.",
		KO: "살아 있는 kubelet이 노드가 준비되지 않았다고 보고하며, 그 이유가 컨테이너 런타임(ContainerRuntimeDown)이나 네트워크 플러그인(NetworkPluginNotReady)이 아닙니다. 머신이 종료 중이거나, storage driver가 시작되지 않거나, " +
			"머신의 용량을 읽지 못하는 경우입니다. kubelet의 메시지를 그대로 보여 줍니다. Lease는 갱신되는데 Ready가 2분 넘게 Unknown이면 노드 상태 쓰기가 거부되는 것으로 보고합니다. 참여한 지 2분이 안 된 노드, 제거 중인 노드, kubelet이 죽은 노드는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/node/node-status/#condition",
	Severity: finding.Warning,
	Needs:    readyFalseNeeds(),
	For:      time.Minute,
	Causes: append(kubeletOnMachine(), []rule.Cause{
		{Code: "WebhookUnavailable", Via: rule.Claimed},
		{Code: "ApiServerOverloaded", Via: rule.Cluster, Holds: critical},
	}...),
	Detect: detectNodeNotReady,
})

// shuttingDown is what a kubelet says once systemd told it of the machine's shutdown
// (k8s.io/kubernetes/pkg/kubelet/nodeshutdown/nodeshutdown_manager_linux.go, ShutdownStatus).
const shuttingDown = "node is shutting down"

// statusGrace is how long a kubelet that renews its Lease may leave the node's status unwritten.
const statusGrace = 2 * time.Minute

func detectNodeNotReady(p *rule.Pass) {
	unwritten(p)
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

// unwritten reports the nodes whose kubelet renews its Lease and does not write the node's status:
// both go to the API server, so it is the writing of the status that something refuses. A kubelet that
// comes back writes it within seconds (nodeStatusUpdateFrequency, 10 s).
func unwritten(p *rule.Pass) {
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		ready := snapshot.NodeCondition(n, corev1.NodeReady)
		if ready == nil || ready.Status != corev1.ConditionUnknown || young(p.Snapshot, n) || leaving(n) ||
			p.Now().Sub(ready.LastTransitionTime.Time) < statusGrace || p.Writer(snapshot.KubeletOn(n.Name)).State != snapshot.Alive {
			continue
		}
		p.Report(finding.Finding{
			Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismRefused, Since: ready.LastTransitionTime.Time,
			Confidence: v1alpha1.ConfidenceMedium,
			Title:      finding.Textf("node %s is not ready: its kubelet lives and does not write its status", "노드 %s: 준비되지 않았습니다. kubelet은 살아 있으나 노드 상태를 쓰지 못합니다", n.Name),
			Why: finding.Join(" ", finding.Textf(
				"Its Ready is Unknown since %s, and its kubelet renews its Lease: it gets through to the API server, which refuses what it writes about the node (an admission webhook, authorization), unless it came back this very moment.",
				"Ready condition이 %s부터 Unknown이나 kubelet은 Lease를 갱신하고 있습니다. API server에는 연결되지만 노드 상태 쓰기가 거부되는 상태입니다(admission webhook, 권한). 방금 복구된 직후라면 곧 해소됩니다.",
				finding.Clock(p.Now(), ready.LastTransitionTime.Time)), carries(p.Snapshot, n)),
			Evidence: append([]finding.Evidence{readyEvidence(n, ready)}, p.Writer(snapshot.KubeletOn(n.Name)).Evidence...),
			RuledOut: kubeletLives(p.Snapshot, n),
			Remedies: finding.Remedies{Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "the kubelet says what its writing meets with", KO: "kubelet 로그에 쓰기가 실패한 이유가 남습니다"},
					Command: "journalctl -u kubelet -n 200 --no-pager | grep -iE 'node status|forbidden|denied|webhook'", Machine: n.Name,
				},
				{
					Text:    finding.Text{EN: "see which webhooks are called for nodes/status", KO: "nodes/status에 호출되는 webhook을 확인합니다"},
					Command: "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
				},
			}},
		})
	}
}
