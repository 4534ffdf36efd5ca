package node

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodesLostTogether",
	Title: finding.Text{
		EN: "several nodes were lost at one moment",
		KO: "여러 노드가 동시에 끊겼습니다",
	},
	Doc: finding.Text{
		EN: "The kubelets of several nodes renewed their Leases for the last time within 20 s of each other, which is as close as one cut can be seen. What they share is the cause, not any one of " +
			"them: a switch, a rack's power, a zone, the path to the API server, or something that stopped all their kubelets. Where they make up at least half of one zone and no other zone " +
			"lost a node, the finding is about that zone. Whether kubelets answer the API server, and whether programs on the lost nodes still renew Leases, tells a cut path from machines that are off. " +
			"It also says what the node lifecycle controller does about the pods: it stops evicting when every node is lost and slows down when most of a zone is. Nodes that were lost at " +
			"different times, a single node, nodes that have just joined and nodes that are being removed are left alone.",
		KO: "여러 노드의 kubelet이 서로 20초 안에 마지막으로 Lease를 갱신했습니다. 한 번의 단절이 이보다 가깝게 관측될 수는 없습니다. 원인은 개별 노드가 아니라 공통으로 쓰는 것입니다. 스위치, 랙 전원, zone, API server까지의 경로, 또는 모든 kubelet을 " +
			"중지시킨 작업입니다. 한 zone의 절반 이상이고 다른 zone에는 끊긴 노드가 없으면 그 zone에 대해 보고합니다. kubelet이 API server의 연결에 응답하는지, 끊긴 노드의 프로그램이 아직 Lease를 갱신하는지로 경로 단절과 머신 꺼짐을 구분합니다. " +
			"node lifecycle controller가 Pod를 어떻게 다루는지도 알립니다. 모든 노드가 끊기면 eviction을 멈추고, zone의 대부분이 끊기면 늦춥니다. 서로 다른 시각에 끊긴 노드, 노드 하나, 방금 참여한 노드, 제거 중인 노드는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction",
	Severity: finding.Warning, Gravest: finding.Critical,
	Needs:   lossNeeds(),
	Machine: lossKeys(),
	For:     30 * time.Second,
	Causes: []rule.Cause{
		{Code: "LeasesNotRenewed", Via: rule.Cluster},
		{Code: "ApiServerOverloaded", Via: rule.Cluster, Holds: critical},
		{Code: "NetworkPartitioned", Via: rule.Cluster, Holds: harmsAll},
		{Code: "ApiServerUnreachableFromMachine", Via: rule.Cluster, Holds: harmsAll},
		// Kubelets stay with the API server to which a load balancer gave them, also with one that fails.
		{Code: "StaticPodManifestInvalid", Via: rule.Cluster, Holds: failsAPIServer},
		{Code: "StaticPodManifestMissing", Via: rule.Cluster, Holds: failsAPIServer},
	},
	Detect: detectNodesLostTogether,
})

// failsAPIServer tells whether the cause takes an API server away, or the etcd that one asks.
func failsAPIServer(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	return slices.ContainsFunc(cause.Explains, func(s finding.Subject) bool {
		return s.Kind == "EtcdMember" || s.Kind == "Endpoint" && s.Name == "kube-apiserver"
	})
}

// harmsAll tells whether a cause claims every node that an effect does.
func harmsAll(_ *snapshot.Snapshot, effect, cause finding.Finding) bool {
	return !slices.ContainsFunc(effect.Explains, func(node finding.Subject) bool { return !slices.Contains(cause.Explains, node) })
}

func detectNodesLostTogether(p *rule.Pass) {
	groups := lostAtOnce(slices.DeleteFunc(losses(p), func(l loss) bool { return toldThere(p, l) }))
	taken := map[finding.Subject]bool{}
	for _, g := range groups {
		f := lostTogether(p, g)
		if taken[f.Subject] {
			// A second mass of losses, at another time, is named by its first node.
			f.Subject = finding.Subject{Kind: "NodeGroup", Name: g[0].node.Name}
		}
		taken[f.Subject] = true
		p.Report(f)
	}
}

// lostAtOnce groups losses whose last signs of life lie within one cut, the largest group first and
// then the oldest. Nodes that never reported were not lost.
func lostAtOnce(all []loss) [][]loss {
	all = slices.DeleteFunc(slices.Clone(all), func(l loss) bool { return l.never || l.since.IsZero() })
	slices.SortStableFunc(all, func(a, b loss) int { return a.since.Compare(b.since) })
	var groups [][]loss
	for start := 0; start < len(all); {
		end := start + 1
		for end < len(all) && all[end].since.Sub(all[start].since) <= together {
			end++
		}
		if end-start > 1 {
			g := slices.Clone(all[start:end])
			slices.SortFunc(g, func(a, b loss) int { return cmp.Compare(a.node.Name, b.node.Name) })
			groups = append(groups, g)
		}
		start = end
	}
	slices.SortStableFunc(groups, func(a, b []loss) int { return len(b) - len(a) })
	return groups
}

func lostTogether(p *rule.Pass, g []loss) finding.Finding {
	first, last := g[0].since, g[0].since
	var names []string
	var nodes []*corev1.Node
	f := finding.Finding{Confidence: v1alpha1.ConfidenceMedium}
	for _, l := range g {
		names, nodes = append(names, l.node.Name), append(nodes, l.node)
		f.Explains = append(f.Explains, snapshot.SubjectOf(l.node))
		if l.since.Before(first) {
			first = l.since
		}
		last = finding.Later(last, l.since)
		if len(f.Evidence) < 3 && len(l.evidence) > 0 {
			f.Evidence = append(f.Evidence, l.evidence[0])
		}
	}
	f.Since = first
	where := zoneOf(p, nodes)
	f.Subject = cluster
	if where != "" {
		f.Subject = finding.Subject{Kind: "Zone", Name: where}
	}
	total := len(snapshot.List[*corev1.Node](p.Snapshot))
	if !anyAlive(p) {
		f.Severity = finding.Critical
	}
	what, class := judge(p, g, &f)
	f.Title = finding.Format("%s nodes %s at one moment: %s", "노드 %s개가 동시에 %s: %s",
		finding.Verbatim(fmt.Sprintf("%d of %d", len(g), total)), what, finding.List(names))
	f.Title.KO = fmt.Sprintf("노드 %d개 중 %d개가 동시에 %s: %s", total, len(g), what.KO, finding.List(names).KO)
	if where != "" {
		f.Title = finding.Format("zone %s: %s", "zone %s: %s", finding.Verbatim(where), f.Title)
	}
	f.Why = finding.Join(" ", finding.Textf(
		"Their kubelets gave their last sign of life within %d s of each other, at %s: what they share failed, not each of them.",
		"kubelet들의 마지막 신호가 %[2]s에 %[1]d초 안에 몰려 있습니다. 노드마다 따로 고장 난 것이 아니라 공통으로 쓰는 것이 실패했습니다.",
		int(last.Sub(first).Seconds())+1, finding.Clock(p.Now(), first)), class, evictions(p))
	f.RuledOut = append(f.RuledOut, finding.Statement{Text: finding.Textf(
		"%d nodes that failed one by one", "노드 %d개가 저마다 따로 고장 난 경우", len(g))})
	return f
}

// judge says what the answers of kubelets and the Leases of programs on the lost nodes tell, and sets
// mechanism, evidence and remedies by it.
func judge(p *rule.Pass, g []loss, f *finding.Finding) (what, class finding.Text) {
	outcomes := map[snapshot.Outcome]int{}
	var example snapshot.Answer
	exampleOf := ""
	for i, l := range g {
		a, ok := kubeletAnswer(p, i, l)
		if !ok {
			continue
		}
		outcomes[a.Outcome]++
		if exampleOf == "" {
			example, exampleOf = a, l.node.Name
		}
	}
	if exampleOf != "" {
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "kubelet on " + exampleOf, Path: "connection from the API server",
			Value: finding.Quote(cmp.Or(example.Error, string(example.Outcome))),
		})
	}
	names := nodeNamesOf(g)
	ping := finding.Remedy{
		Text: finding.Text{
			EN: "from a control-plane machine: do the machines answer? If they do, the path between them and the API server is cut in one direction or for one port",
			KO: "control plane 머신에서 실행하여 머신이 응답하는지 확인합니다. 응답이 있으면 API server와의 경로가 한 방향이나 특정 포트만 끊긴 것입니다",
		},
		Command: fmt.Sprintf("ping -c 3 %s; ping -c 3 %s", addressOf(g[0].node), addressOf(g[1].node)),
	}
	path := finding.Remedy{
		Text: finding.Text{
			EN: "on one of the lost nodes: what does its kubelet meet with on its way to the API server",
			KO: "끊긴 노드에서 kubelet이 API server에 연결할 때 나는 오류를 확인합니다",
		},
		Command: "journalctl -u kubelet -n 100 --no-pager | grep -iE 'timeout|refused|unauthorized|x509|no route'", Machine: g[0].node.Name,
	}
	leave := finding.Remedy{Text: finding.Text{
		EN: "do not drain or delete these nodes: their pods may well be running, and come back as they are once the path is restored",
		KO: "이 노드들을 drain하거나 삭제하지 마십시오. Pod가 계속 실행 중일 수 있으며 경로가 복구되면 그대로 돌아옵니다",
	}}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "spread control plane, workers and replicas over switches and power feeds, and label nodes with topology.kubernetes.io/zone accordingly",
		KO: "control plane, worker, replica를 스위치와 전원 계통별로 분산하고 노드에 topology.kubernetes.io/zone label을 그에 맞게 지정합니다",
	}}}
	answered := len(g)
	if outcomes[snapshot.Refused] == sum(outcomes) && sum(outcomes) > 0 {
		f.Mechanism = v1alpha1.MechanismStopped
		f.Remedies.Now = []finding.Remedy{
			{Text: finding.Text{EN: "see what ended them: an upgrade, a configuration that was rolled out, a certificate", KO: "종료 이유를 확인합니다(업그레이드, 배포된 설정, 인증서)"}, Command: "systemctl status kubelet; journalctl -u kubelet -n 50 --no-pager", Machine: g[0].node.Name},
			{Text: finding.Text{EN: "start them; running containers stay as they are", KO: "시작합니다. 실행 중인 컨테이너에는 영향이 없습니다"}, Command: "systemctl restart kubelet", Machine: g[0].node.Name},
		}
		return finding.Text{EN: "stopped their kubelet", KO: "kubelet이 멈췄습니다"}, finding.Text{
			EN: "The machines refuse the kubelet's port, so they are up and their kubelets are not: something stopped all of them, such as an upgrade, a configuration that was rolled out or a certificate that ran out.",
			KO: "머신이 kubelet 포트의 연결을 거부하므로 머신은 켜져 있고 kubelet만 멈췄습니다. 업그레이드, 배포된 설정, 만료된 인증서처럼 모두를 함께 멈춘 것이 있습니다.",
		}
	}
	f.Mechanism = v1alpha1.MechanismUnreachable
	f.Remedies.Now = []finding.Remedy{ping, path, leave}
	what = finding.Text{EN: "were lost", KO: "끊겼습니다"}
	if lease, node, ok := stillRenewed(p, names, f.Since); ok {
		f.Evidence = append(f.Evidence, lease)
		f.RuledOut = append(f.RuledOut, finding.Statement{
			Text: finding.Textf("machines off: a program on node %s has renewed a Lease since", "머신 꺼짐: 노드 %s의 프로그램이 그 뒤에도 Lease를 갱신했습니다", node), Evidence: []finding.Evidence{lease},
		})
		f.Confidence = v1alpha1.ConfidenceHigh
		return what, finding.Text{
			EN: "The machines are up: a program that runs on one of them still writes to the API server. The kubelets' own path to it is cut, or what they write is refused.",
			KO: "머신은 켜져 있습니다. 그 위에서 실행 중인 프로그램이 아직 API server에 쓰고 있습니다. kubelet이 API server로 가는 경로가 끊겼거나 kubelet의 쓰기가 거부됩니다.",
		}
	}
	switch {
	case outcomes[snapshot.Answered] > 0:
		f.RuledOut = append(f.RuledOut, finding.Statement{Text: finding.Text{EN: "machines off, kubelets stopped: kubelets answer the API server", KO: "머신 꺼짐, kubelet 중지: kubelet이 API server의 연결에 응답합니다"}})
		return what, finding.Text{
			EN: "The API server gets through to their kubelets and hears nothing from them: their path to the API server is cut in that one direction, or it refuses their credentials.",
			KO: "API server에서 kubelet으로는 연결되지만 kubelet의 보고가 오지 않습니다. kubelet에서 API server로 가는 방향만 끊겼거나 인증 정보가 거부됩니다.",
		}
	case outcomes[snapshot.TimedOut] > 0:
		return what, finding.Text{
			EN: "Nothing comes back from the machines: they lost power together, or the network between them and the API server is cut. A partition leaves their pods running, and each side takes the other for dead. Which of the two cannot be told from here.",
			KO: "머신에서 아무 응답도 없습니다. 전원이 함께 나갔거나 API server와의 네트워크가 끊겼습니다. 네트워크 단절이면 Pod는 계속 실행 중이며 양쪽이 서로를 죽은 것으로 봅니다. 둘 중 어느 쪽인지는 여기에서 알 수 없습니다.",
		}
	}
	f.Confidence = v1alpha1.ConfidenceLow
	return what, finding.Textf(
		"The machines lost power together, or the network between them and the API server is cut, or something stopped all %d kubelets: the API alone cannot tell which. A partition leaves their pods running.",
		"전원이 함께 나갔거나, API server와의 네트워크가 끊겼거나, kubelet %d개를 함께 멈춘 것이 있습니다. API만으로는 구분할 수 없습니다. 네트워크 단절이면 Pod는 계속 실행 중입니다.", answered)
}

func sum(outcomes map[snapshot.Outcome]int) int {
	n := 0
	for _, c := range outcomes {
		n += c
	}
	return n
}

func nodeNamesOf(g []loss) map[string]bool {
	out := make(map[string]bool, len(g))
	for _, l := range g {
		out[l.node.Name] = true
	}
	return out
}
