package node

import (
	"cmp"
	"slices"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "KubeletUnreachable",
	Title: finding.Text{
		EN: "API server cannot reach a kubelet that reports",
		KO: "보고 중인 kubelet에 API server가 연결하지 못합니다",
	},
	Doc: finding.Text{
		EN: "The kubelet renews its Lease, and the API server cannot open a connection to it: kubectl logs, exec, attach and port-forward fail for the pods on that node, and so do metrics, while " +
			"the pods themselves and their Services are well. The path from the control plane to the kubelet's port is cut (a firewall, a network policy of the host, konnectivity), the port is " +
			"not served, or one of the two does not accept the other's certificate. Nodes are not dialed for this: only one of which a log could not be read is asked, so the fault can " +
			"stay unseen while nobody reads logs. Nodes that do not report are KubeletStopped, NodeUnreachable or KubeletCannotReport.",
		KO: "kubelet은 Lease를 갱신하는데 API server가 kubelet에 연결하지 못합니다. 그 노드의 Pod에 대한 kubectl logs, exec, attach, port-forward와 메트릭 수집이 실패하지만 Pod와 Service 자체는 정상입니다. control plane에서 kubelet 포트로 가는 경로가 " +
			"끊겼거나(방화벽, 호스트 네트워크 정책, konnectivity), 포트가 열려 있지 않거나, 어느 한쪽이 상대의 인증서를 받아들이지 않는 것입니다. 이 규칙을 위해 노드에 연결을 시도하지는 않으며 로그를 읽지 못한 노드만 확인합니다. 따라서 로그를 읽을 일이 없으면 드러나지 않을 수 있습니다. " +
			"보고하지 않는 노드는 KubeletStopped, NodeUnreachable, KubeletCannotReport에서 다룹니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/control-plane-node-communication/#apiserver-to-kubelet",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.Node](), rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Pod]()},
	Causes: []rule.Cause{{
		Code: "PacketFilterBlocksCluster", Via: rule.OnMachine,
		Holds: func(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
			return cause.Field == "TCP 10250" || cause.Field == "all"
		},
	}},
	Detect: detectKubeletUnreachable,
})

// doubtsAsked bounds how many nodes are asked to confirm a doubt.
const doubtsAsked = 3

// cutOffKubelet is a reporting kubelet to which the API server gets no connection.
type cutOffKubelet struct {
	node   *corev1.Node
	answer snapshot.Answer
}

func detectKubeletUnreachable(p *rule.Pass) {
	doubts, served := doubtful(p)
	var cut []cutOffKubelet
	for i, n := range doubts {
		if p.Writer(snapshot.KubeletOn(n.Name)).State != snapshot.Alive || i >= doubtsAsked {
			continue
		}
		a, ok := p.Ask(kubeletConnection(n))
		switch {
		case !ok:
		case a.Outcome == snapshot.TimedOut, a.Outcome == snapshot.Refused, a.Outcome == snapshot.Errored && throughDial(a.Error), certificateRefused(a):
			cut = append(cut, cutOffKubelet{n, a})
		case a.Outcome == snapshot.Answered:
			served = true
		}
	}
	if len(cut) > 1 && !served {
		p.Report(unreachableKubelets(p, cut))
		return
	}
	for _, c := range cut {
		p.Report(unreachableKubelets(p, []cutOffKubelet{c}))
	}
}

// doubtful returns the nodes of which a log could not be read because the API server did not reach
// the kubelet, by name, and whether another node's kubelet was reached.
func doubtful(p *rule.Pass) (nodes []*corev1.Node, served bool) {
	doubted := map[string]bool{}
	for _, q := range p.Asked() {
		a, _ := p.Answer(q)
		node := ""
		switch q.Kind {
		case snapshot.ContainerLog:
			if pod, ok := snapshot.Get[*corev1.Pod](p.Snapshot, q.Namespace, q.Name); ok {
				node = pod.Spec.NodeName
			}
		case snapshot.KubeletConnection, snapshot.KubeletStats, snapshot.KubeletConfig:
			node = q.Name
		default:
		}
		switch {
		case node == "":
		case a.Outcome == snapshot.Answered && !certificateRefused(a):
			served = true
		case throughDial(a.Error), a.Outcome == snapshot.TimedOut, certificateRefused(a):
			doubted[node] = true
		}
	}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		if doubted[n.Name] {
			nodes = append(nodes, n)
		}
	}
	return nodes, served
}

// throughDial tells whether an error is the API server's own, of dialing a kubelet or a tunnel to it.
func throughDial(err string) bool {
	return slices.ContainsFunc([]string{"dial tcp", "dial backend", "No agent available", "proxy dial", "remote error: tls"}, func(s string) bool { return strings.Contains(err, s) })
}

// certificateRefused tells whether the API server does not trust the kubelet's certificate, or the
// kubelet not the API server's: the machine answers, and no request gets through.
func certificateRefused(a snapshot.Answer) bool {
	return strings.Contains(a.Error, "x509: ") || strings.Contains(a.Error, "tls: ") || a.Outcome == snapshot.Answered && strings.HasPrefix(a.Error, "Unauthorized")
}

func unreachableKubelets(p *rule.Pass, cut []cutOffKubelet) finding.Finding {
	first := cut[0]
	name, port := first.node.Name, kubeletPort(first.node)
	f := finding.Finding{
		Subject: snapshot.SubjectOf(first.node), Mechanism: v1alpha1.MechanismUnreachable,
		Title: finding.Textf("node %s: the API server cannot reach its kubelet", "노드 %s: API server가 kubelet에 연결하지 못합니다", name),
	}
	var names []string
	for _, c := range cut {
		names = append(names, c.node.Name)
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "kubelet on " + c.node.Name, Path: "connection from the API server", Value: finding.Quote(cmp.Or(c.answer.Error, string(c.answer.Outcome))), At: finding.Timestamp(c.answer.At),
		})
	}
	f.Evidence = append(f.Evidence, p.Writer(snapshot.KubeletOn(name)).Evidence...)
	if len(cut) > 1 {
		f.Subject = cluster
		f.Title = finding.Format("the API server cannot reach kubelets: %s", "API server가 kubelet에 연결하지 못합니다: %s", finding.List(names))
	}
	class := finding.Textf("Nothing comes back from port %d: a firewall, a network policy of the host or the tunnel to the nodes (konnectivity) is in the way.",
		"%d 포트에서 응답이 없습니다. 방화벽, 호스트 네트워크 정책, 노드로 가는 터널(konnectivity)이 막고 있습니다.", port)
	switch {
	case certificateRefused(first.answer):
		f.Mechanism = v1alpha1.MechanismUnauthorized
		class = finding.Text{
			EN: "The connection opens and one side does not accept the other's certificate: the kubelet's serving certificate, or the API server's client certificate for kubelets.",
			KO: "연결은 되지만 한쪽이 상대의 인증서를 받아들이지 않습니다. kubelet의 serving 인증서이거나 API server의 kubelet용 client 인증서입니다.",
		}
	case first.answer.Outcome == snapshot.Refused:
		f.Mechanism = v1alpha1.MechanismRefused
		class = finding.Textf("Nothing listens at port %d of the address that the node reports, or something refuses on its behalf.",
			"노드가 보고한 주소의 %d 포트에서 받는 프로세스가 없거나 중간에서 거부합니다.", port)
	}
	f.Why = finding.Join(" ", finding.Textf("The kubelet renews its Lease, so it runs and reaches the API server; the other way fails: %s.",
		"kubelet이 Lease를 갱신하므로 실행 중이고 API server에 연결됩니다. 반대 방향만 실패합니다: %s.", finding.Quote(cmp.Or(first.answer.Error, string(first.answer.Outcome)))),
		class, finding.Text{
			EN: "kubectl logs, exec and port-forward fail for its pods, and their metrics are missing; the pods themselves go on.",
			KO: "이 노드의 Pod에 대한 kubectl logs, exec, port-forward가 실패하고 메트릭이 비게 됩니다. Pod 자체는 계속 동작합니다.",
		})
	f.RuledOut = kubeletLives(p.Snapshot, first.node)
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "on a control-plane machine: 401 means that the path is open, no answer that it is cut", KO: "control plane 머신에서 실행합니다. 401이면 경로가 열려 있고, 응답이 없으면 끊긴 것입니다"},
				Command: "curl -sk -m 5 -o /dev/null -w '%{http_code}\\n' https://" + addressOf(first.node) + ":" + portText(first.node) + "/healthz",
			},
			{Text: finding.Text{EN: "what filters the port on the node", KO: "노드에서 포트를 막는 규칙을 확인합니다"}, Command: "ss -ltnp 'sport = :" + portText(first.node) + "'; nft list ruleset | grep -n " + portText(first.node), Machine: name},
		},
		Later: []finding.Remedy{{Text: finding.Textf("keep TCP %d from the control plane to every node open in firewalls", "방화벽에서 control plane에서 모든 노드로 가는 TCP %d를 열어 둡니다", port)}},
	}
	return f
}
