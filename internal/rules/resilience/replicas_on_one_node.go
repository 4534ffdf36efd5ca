package resilience

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ReplicasOnOneNode",
	Title: finding.Text{EN: "all replicas of workloads run on one node", KO: "워크로드의 모든 replica가 한 노드에서 실행됩니다"},
	Doc: finding.Text{
		EN: "Workloads with two replicas or more have all of them on one node, though another node would take them: the loss of that node takes all of each at once. Left alone: single " +
			"replicas (SingleReplica tells those), clusters with one node that takes pods, and workloads that a node selector keeps on one node.",
		KO: "replica가 둘 이상인 워크로드의 Pod가 모두 한 노드에 있습니다. 다른 노드도 받을 수 있는데 그 노드를 잃으면 한꺼번에 모두 사라집니다. replica가 하나인 워크로드(SingleReplica), " +
			"Pod를 받는 노드가 하나뿐인 클러스터, node selector로 한 노드에 묶인 워크로드는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/",
	Severity: finding.Info,
	Risk:     true,
	Needs:    append(workloadNeeds(), rule.Whole[*corev1.Node](), rule.Optional[*corev1.Service]()),
	Detect: func(p *rule.Pass) {
		open := openNodes(p.Snapshot)
		if len(open) < 2 {
			return
		}
		on := map[string][]workload{}
		for _, w := range workloads(p.Snapshot) {
			node := w.oneNode()
			if w.replicas < 2 || len(w.pods) < 2 || node == "" || !couldSpread(w.template, open) {
				continue
			}
			on[node] = append(on[node], w)
		}
		for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
			ws := on[n.Name]
			if len(ws) == 0 {
				continue
			}
			first := ws[0].subject
			p.Report(finding.Finding{
				Subject: finding.Subject{Kind: "Node", Name: n.Name}, Mechanism: v1alpha1.MechanismDegraded,
				Title: finding.Format("node %s carries every replica of %s", "모든 replica가 노드 %s에만 있는 워크로드: %s", finding.Verbatim(n.Name), finding.List(names(ws))),
				Why: finding.Textf("all their ready pods are there, though %d nodes of the cluster take pods",
					"준비된 Pod가 모두 이 노드에 있습니다. 클러스터에서 Pod를 받는 노드는 %d대입니다", len(open)),
				Explains: subjects(p.Snapshot, ws),
				Remedies: finding.Remedies{Later: []finding.Remedy{{
					Text:    finding.Text{EN: "spread them over nodes: topologySpreadConstraints with topologyKey kubernetes.io/hostname in the pod template", KO: "Pod template에 topologyKey kubernetes.io/hostname인 topologySpreadConstraints를 추가하여 노드에 나눕니다"},
					Command: "kubectl -n " + first.Namespace + " edit " + kubectlName(first),
				}, {
					Text:    finding.Text{EN: "or let the scheduler place the present pods anew", KO: "또는 현재 Pod를 다시 배치하게 합니다"},
					Command: "kubectl -n " + first.Namespace + " rollout restart " + kubectlName(first),
				}}},
			})
		}
	},
})

// openNodes are the nodes that take ordinary pods: ready, not cordoned, without a taint that keeps
// pods away.
func openNodes(s *snapshot.Snapshot) []*corev1.Node {
	var out []*corev1.Node
	for _, n := range snapshot.List[*corev1.Node](s) {
		ready := snapshot.NodeCondition(n, corev1.NodeReady)
		closed := slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule })
		if ready != nil && ready.Status == corev1.ConditionTrue && !n.Spec.Unschedulable && !closed {
			out = append(out, n)
		}
	}
	return out
}

// couldSpread tells whether more than one open node carries what a pod's selector asks for. Affinity
// that only some nodes satisfy is taken for intended.
func couldSpread(t *corev1.PodTemplateSpec, open []*corev1.Node) bool {
	if a := t.Spec.Affinity; a != nil && (a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil || a.PodAffinity != nil) {
		return false
	}
	fits := 0
	for _, n := range open {
		if len(t.Spec.NodeSelector) == 0 || snapshot.Selects(t.Spec.NodeSelector, n.Labels) {
			fits++
		}
	}
	return fits > 1
}

// kubectlName writes a workload as kubectl takes it: "deployment/front".
func kubectlName(s finding.Subject) string {
	if s.Kind == "StatefulSet" {
		return "statefulset/" + s.Name
	}
	return "deployment/" + s.Name
}
