package node

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeCordoned",
	Title: finding.Text{
		EN: "node is cordoned",
		KO: "노드가 cordon되어 있습니다",
	},
	Doc: finding.Text{
		EN: "A node is cordoned (spec.unschedulable), and pods wait that would run there: it matches their selectors, has room, and they tolerate its other taints, while no other node takes them. Where " +
			"several cordoned nodes would do, they are one finding about the cluster, and where every node that takes ordinary pods is cordoned that is critical. Who wrote to the node last, " +
			"and when, is named as far as its managed fields tell. A cordoned node for which nobody waits is under maintenance: it is noted and is no incident. Nodes that an " +
			"autoscaler is removing are left alone.",
		KO: "노드가 cordon되어 있고(spec.unschedulable) 그곳에서 실행될 수 있는 Pod가 대기합니다. selector가 맞고 자리가 있으며 다른 taint도 허용하지만 받아 줄 다른 노드가 없습니다. cordon된 노드 여러 개가 해당하면 클러스터에 대한 문제 하나로 보고하고, " +
			"일반 Pod를 받는 모든 노드가 cordon되어 있으면 critical입니다. managedFields로 알 수 있으면 누가 언제 마지막으로 노드에 썼는지 알립니다. 기다리는 Pod가 없는 cordon은 유지 보수로 보고 참고로만 표시합니다. " +
			"autoscaler가 제거 중인 노드는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/nodes/#manual-node-administration",
	Severity: finding.Info, Gravest: finding.Critical,
	Needs:  queueNeeds(),
	For:    time.Minute,
	Detect: detectNodeCordoned,
})

func detectNodeCordoned(p *rule.Pass) {
	var cordoned []*corev1.Node
	open := 0
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		switch {
		case n.Spec.Unschedulable && !leaving(n):
			cordoned = append(cordoned, n)
		case !n.Spec.Unschedulable && !reserved(n):
			open++
		}
	}
	if len(cordoned) == 0 {
		return
	}
	waiting, wanted := heldByCordon(p, cordoned)
	for _, n := range cordoned {
		if !wanted[n.Name] {
			p.Report(cordonedForNobody(p, n))
		}
	}
	if len(waiting) == 0 {
		return
	}
	p.Report(cordonHolds(slices.DeleteFunc(slices.Clone(cordoned), func(n *corev1.Node) bool { return !wanted[n.Name] }), waiting, open == 0))
}

// heldByCordon returns the queues that only a cordon keeps from a node, and the nodes that they want.
func heldByCordon(p *rule.Pass, cordoned []*corev1.Node) (waiting []queue, wanted map[string]bool) {
	b := newBoard(p.Snapshot)
	wanted = map[string]bool{}
	for _, q := range queues(p.Snapshot) {
		held, pod := false, newSeeker(q.pods[0])
		for _, n := range cordoned {
			if h, wants := b.between(pod, n); wants && h.onlyCordon() {
				wanted[n.Name], held = true, true
			}
		}
		if held {
			waiting = append(waiting, q)
		}
	}
	return waiting, wanted
}

func cordonEvidence(n *corev1.Node) finding.Evidence {
	e := finding.Evidence{Source: "Node " + n.Name, Path: ".spec.unschedulable", Value: "true"}
	if at := cordonedAt(n); !at.IsZero() {
		e.At = finding.Timestamp(at)
	}
	return e
}

// cordonedAt is when a node was cordoned, as the taint tells that the node lifecycle controller sets for
// it; the zero time where it does not.
func cordonedAt(n *corev1.Node) time.Time {
	for _, t := range n.Spec.Taints {
		if t.Key == corev1.TaintNodeUnschedulable && t.TimeAdded != nil {
			return t.TimeAdded.Time
		}
	}
	return time.Time{}
}

func cordonedForNobody(p *rule.Pass, n *corev1.Node) finding.Finding {
	return finding.Finding{
		Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismStopped, Field: ".spec.unschedulable", Since: cordonedAt(n),
		Title: finding.Textf("node %s is cordoned, and no pod waits for it", "노드 %s: cordon되어 있으며 기다리는 Pod는 없습니다", n.Name),
		Why: finding.Join(" ", finding.Text{
			EN: "It takes no new pods, as during maintenance.", KO: "유지 보수 중처럼 새 Pod를 받지 않습니다.",
		}, writtenBy(n), carries(p.Snapshot, n)),
		Evidence: []finding.Evidence{cordonEvidence(n)},
		Remedies: finding.Remedies{Now: []finding.Remedy{uncordon(n.Name)}},
	}
}

func uncordon(names string) finding.Remedy {
	return finding.Remedy{
		Text:    finding.Text{EN: "once the maintenance is over, let it take pods again", KO: "유지 보수가 끝났으면 다시 Pod를 받게 합니다"},
		Command: "kubectl uncordon " + names,
	}
}

func cordonHolds(nodes []*corev1.Node, waiting []queue, all bool) finding.Finding {
	explains, since := claims(waiting)
	f := finding.Finding{
		Subject: snapshot.SubjectOf(nodes[0]), Severity: finding.Warning, Mechanism: v1alpha1.MechanismStopped, Field: ".spec.unschedulable",
		Explains: explains, Since: since,
		Title: finding.Format("node %s is cordoned, and pods wait that only it would take: %s", "노드 %s: cordon되어 있고 이 노드만 받을 수 있는 Pod가 대기하고 있습니다: %s",
			finding.Verbatim(nodes[0].Name), workloadsOf(waiting)),
	}
	for _, n := range nodes[:min(3, len(nodes))] {
		f.Evidence = append(f.Evidence, cordonEvidence(n))
		f.Remedies.Now = append(f.Remedies.Now, uncordon(n.Name))
	}
	f.Evidence = append(f.Evidence, waiting[0].evidence())
	if len(nodes) > 1 {
		f.Subject = cluster
		f.Title = finding.Format("%s nodes are cordoned, and pods wait that only they would take: %s", "cordon된 노드 %s개 때문에 Pod가 대기하고 있습니다: %s",
			finding.Textf("%d", "%d", len(nodes)), workloadsOf(waiting))
	}
	if all {
		f.Severity = finding.Critical
		f.Subject = cluster
		f.Title = finding.Format("every node that takes pods is cordoned (%s), and pods wait: %s", "Pod를 받는 모든 노드가 cordon되어 있어(%s) Pod가 대기하고 있습니다: %s",
			finding.List(nodeNames(nodes)), workloadsOf(waiting))
	}
	f.Why = finding.Join(" ", finding.Format(
		"Waiting: %s. But for the cordon, %s would take them: labels, room and other taints fit. No other node does.",
		"대기 중: %s. cordon이 아니면 %s에 배정됩니다. label, 자리, 다른 taint는 모두 맞습니다. 다른 노드는 받을 수 없습니다.",
		finding.Pods(podsIn(waiting)), finding.List(nodeNames(nodes))), writtenBy(nodes[0]))
	f.RuledOut = []finding.Statement{{Text: finding.Text{
		EN: "too little room, a selector that no node matches: the cordoned node has what the pods ask for",
		KO: "자리 부족, 맞는 노드가 없는 selector: cordon된 노드가 Pod의 조건을 모두 만족합니다",
	}}}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "end maintenance with `kubectl uncordon` in the same script that cordons, and let every workload run on more than one node",
		KO: "cordon하는 스크립트에서 유지 보수 끝에 `kubectl uncordon`까지 실행하고, 모든 워크로드가 둘 이상의 노드에서 실행될 수 있게 합니다",
	}}}
	return f
}
