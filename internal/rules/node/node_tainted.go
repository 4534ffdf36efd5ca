package node

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeTainted",
	Title: finding.Text{
		EN: "taint that nothing tolerates keeps pods away",
		KO: "아무 Pod도 허용하지 않는 taint가 Pod를 막고 있습니다",
	},
	Doc: finding.Text{
		EN: "Pods wait, and the only thing that keeps them from a node with room is a taint that no pod of the cluster tolerates by its name: it serves nobody, so it was set by mistake, left behind, " +
			"or waits for something that should take it away again, such as a cloud controller (uninitialized) or a network plugin's start-up taint. Pods that run on the node without tolerating " +
			"it show that it came after them. A taint that some workload tolerates by name dedicates the node and is left alone, as are the control plane's, the cordon's, and those that stand " +
			"for a node's own trouble: those have rules of their own.",
		KO: "Pod가 대기하고 있는데, 자리가 있는 노드를 막는 것은 클러스터의 어떤 Pod도 이름을 지정하여 허용하지 않는 taint뿐입니다. 이런 taint는 아무에게도 쓸모가 없으므로 실수로 지정되었거나, 남겨졌거나, 제거해야 할 주체(cloud controller의 uninitialized, " +
			"네트워크 플러그인의 시작 taint)를 기다리는 것입니다. toleration 없이 그 노드에서 실행 중인 Pod가 있으면 taint가 나중에 지정된 것입니다. 어떤 워크로드가 이름을 지정하여 허용하는 taint는 전용 노드이므로 대상이 아니며, " +
			"control plane의 taint, cordon, 노드 자체의 문제를 나타내는 taint는 해당 규칙에서 다룹니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/",
	Severity: finding.Warning,
	Needs:    queueNeeds(),
	For:      time.Minute,
	Detect:   detectNodeTainted,
})

func detectNodeTainted(p *rule.Pass) {
	type hold struct {
		nodes   []*corev1.Node
		waiting []queue
	}
	var tainted []*corev1.Node
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		if slices.ContainsFunc(n.Spec.Taints, suspicious) && !leaving(n) && !young(p.Snapshot, n) {
			tainted = append(tainted, n)
		}
	}
	if len(tainted) == 0 {
		return
	}
	var known map[string]bool
	holds := map[string]*hold{}
	b := newBoard(p.Snapshot)
	for _, q := range queues(p.Snapshot) {
		seen, pod := map[string]bool{}, newSeeker(q.pods[0])
		for _, n := range tainted {
			h, wants := b.between(pod, n)
			if !wants || !h.onlyTaints() || !slices.ContainsFunc(h.taints, suspicious) || slices.ContainsFunc(h.taints, func(t corev1.Taint) bool { return !suspicious(t) }) {
				continue
			}
			if known == nil {
				known = toleratedKeys(p.Snapshot)
			}
			if slices.ContainsFunc(h.taints, func(t corev1.Taint) bool { return known[t.Key] }) {
				continue
			}
			key := h.taints[0].Key
			if holds[key] == nil {
				holds[key] = &hold{}
			}
			if !slices.Contains(holds[key].nodes, n) {
				holds[key].nodes = append(holds[key].nodes, n)
			}
			if !seen[key] {
				seen[key] = true
				holds[key].waiting = append(holds[key].waiting, q)
			}
		}
	}
	taken := map[finding.Subject]bool{}
	keys := make([]string, 0, len(holds))
	for key := range holds {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		f := tainting(p, key, holds[key].nodes, holds[key].waiting)
		if taken[f.Subject] {
			f.Subject = finding.Subject{Kind: "Taint", Name: key}
		}
		taken[f.Subject] = true
		p.Report(f)
	}
}

// suspicious tells whether a taint may be a mistake: it keeps pods away, and is neither the control
// plane's nor set for a node's own state.
func suspicious(t corev1.Taint) bool {
	return t.Effect != corev1.TaintEffectPreferNoSchedule && !snapshot.FaultTaint(&t) && !snapshot.ControlPlaneTaint(&t) && t.Key != corev1.TaintNodeUnschedulable
}

// toleratedKeys are the keys of taints that some pod tolerates by name.
func toleratedKeys(s *snapshot.Snapshot) map[string]bool {
	out := map[string]bool{}
	for _, p := range snapshot.List[*corev1.Pod](s) {
		for i := range p.Spec.Tolerations {
			out[p.Spec.Tolerations[i].Key] = true
		}
	}
	delete(out, "")
	return out
}

// starters are taints with which a node starts, and who takes them away.
var starters = []struct{ key, remover string }{
	{"node.cloudprovider.kubernetes.io/uninitialized", "cloud-controller-manager"},
	{"node.cloudprovider.kubernetes.io/shutdown", "cloud-controller-manager"},
	{"node.cilium.io/agent-not-ready", "cilium-operator"},
	{"ebs.csi.aws.com/agent-not-ready", "aws-ebs-csi-driver"},
}

func tainting(p *rule.Pass, key string, nodes []*corev1.Node, waiting []queue) finding.Finding {
	first := nodes[0]
	taint := first.Spec.Taints[slices.IndexFunc(first.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })]
	explains, since := claims(waiting)
	f := finding.Finding{
		Subject: snapshot.SubjectOf(first), Mechanism: v1alpha1.MechanismMisconfigured, Field: ".spec.taints", Since: since, Explains: explains,
		Title: finding.Format("node %s: the taint %s, which nothing tolerates, keeps pods away: %s", "노드 %s: 아무 Pod도 허용하지 않는 taint %s 때문에 Pod가 대기하고 있습니다: %s",
			finding.Verbatim(first.Name), finding.Verbatim(taint.ToString()), workloadsOf(waiting)),
	}
	if len(nodes) > 1 {
		f.Subject = cluster
		f.Title = finding.Format("%s nodes have the taint %s, which nothing tolerates, and pods wait: %s", "노드 %s개에 아무 Pod도 허용하지 않는 taint %s가 있어 Pod가 대기하고 있습니다: %s",
			finding.Textf("%d", "%d", len(nodes)), finding.Verbatim(taint.ToString()), workloadsOf(waiting))
	}
	for _, n := range nodes[:min(2, len(nodes))] {
		e := finding.Evidence{Source: "Node " + n.Name, Path: ".spec.taints", Value: taint.ToString()}
		if taint.TimeAdded != nil {
			e.At = finding.Timestamp(taint.TimeAdded.Time)
		}
		f.Evidence = append(f.Evidence, e)
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Text{EN: "if nobody needs it, take it off", KO: "필요 없는 taint이면 제거합니다"},
			Command: "kubectl taint node " + n.Name + " " + key + ":" + string(taint.Effect) + "-",
		})
	}
	f.Evidence = append(f.Evidence, waiting[0].evidence())
	why := finding.Format("Waiting: %s. But for this taint, %s would take them: labels and room fit. No pod in the cluster tolerates it by name.",
		"대기 중: %s. 이 taint가 아니면 %s에 배정됩니다. label과 자리는 맞습니다. 이름을 지정하여 이 taint를 허용하는 Pod는 클러스터에 없습니다.",
		finding.Pods(podsIn(waiting)), finding.List(nodeNames(nodes)))
	if i := slices.IndexFunc(starters, func(s struct{ key, remover string }) bool { return s.key == key }); i >= 0 {
		f.Mechanism = v1alpha1.MechanismMissing
		why = finding.Join(" ", why, finding.Textf("Nodes start with it, and %s is to take it away: that has not happened.", "노드가 처음에 갖는 taint이며 제거할 주체(%s)가 제거하지 않았습니다.", starters[i].remover))
	} else if pod := strayPod(p, nodes, taint); pod != nil {
		why = finding.Join(" ", why, finding.Textf("Pod %s/%s runs there without tolerating it: the taint came later.", "Pod %s/%s는 toleration 없이 그곳에서 실행 중이므로 taint가 나중에 지정된 것입니다.", pod.Namespace, pod.Name))
	}
	f.Why = finding.Join(" ", why, writtenBy(first))
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "set taints where nodes are declared (kubelet's registerWithTaints, the node group), not by hand",
		KO: "taint는 수동으로 지정하지 말고 노드를 선언하는 곳(kubelet의 registerWithTaints, node group)에서 지정합니다",
	}}}
	return f
}

// strayPod is a pod that runs on one of the nodes and does not tolerate the taint, so that it was there
// before it; nil where there is none.
func strayPod(p *rule.Pass, nodes []*corev1.Node, taint corev1.Taint) *corev1.Pod {
	for _, n := range nodes {
		for _, pod := range p.PodsOn(n.Name) {
			ref := metav1.GetControllerOfNoCopy(pod)
			if !snapshot.PodDone(pod) && !snapshot.StaticPod(pod) && (ref == nil || ref.Kind != "DaemonSet") && !snapshot.Tolerates(pod, &taint) {
				return pod
			}
		}
	}
	return nil
}
