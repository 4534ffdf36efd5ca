package workload

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// obstruction is what keeps one pod from a node, in words.
type obstruction struct {
	kind      obstacle
	mechanism finding.Mechanism
	field     string
	says      finding.Text
	detail    finding.Text
	evidence  []finding.Evidence
	remedies  []finding.Remedy
	// edit tells that the field is to be corrected in the workload.
	edit bool
	// node is the one node that decides; empty where it is not one.
	node string
	// settles tells that it is about to pass.
	settles bool
}

// nodeJoins is how long a node may take to get ready once it has joined, as the rules about nodes have
// it: its network plugin is installed and started meanwhile.
const nodeJoins = 2 * time.Minute

// survey is what the nodes themselves show about a pod that cannot be placed.
type survey struct {
	*outlook

	s      *snapshot.Snapshot
	p      *corev1.Pod
	v      verdict
	ledger ledger
}

// outlook is what nodes have for pods that ask for the same.
type outlook struct {
	// wanted are the nodes that the pod's selector and affinity accept.
	wanted []*corev1.Node
	// of these, faulty are kept from it by their own trouble, cordoned by a cordon, tainted by
	// another taint; reserved are those of the control plane.
	faulty, cordoned, tainted, reserved []*corev1.Node
	// fault and cordon are the obstructions by these nodes, once somebody asked.
	fault, cordon *obstruction
}

func look(l ledger, p *corev1.Pod, v verdict) survey {
	return survey{outlook: l.outlook(p), s: l.s, p: p, v: v, ledger: l}
}

// outlook looks at the nodes once for all pods that ask for the same: there may be thousands of both.
func (l ledger) outlook(p *corev1.Pod) *outlook {
	asks := corev1.PodSpec{NodeSelector: p.Spec.NodeSelector, Affinity: p.Spec.Affinity, Tolerations: p.Spec.Tolerations}
	key, err := asks.Marshal()
	if known, ok := l.outlooks[string(key)]; ok && err == nil {
		return known
	}
	out := &outlook{}
	for _, n := range snapshot.List[*corev1.Node](l.s) {
		if !snapshot.NodeWanted(p, n) {
			continue
		}
		out.wanted = append(out.wanted, n)
		t := untolerated(p, n)
		switch {
		case n.Spec.Unschedulable && (t == nil || t.Key == corev1.TaintNodeUnschedulable):
			out.cordoned = append(out.cordoned, n)
		case t == nil:
		case snapshot.FaultTaint(t):
			out.faulty = append(out.faulty, n)
		case snapshot.ControlPlaneTaint(t):
			out.reserved = append(out.reserved, n)
		default:
			out.tainted = append(out.tainted, n)
		}
	}
	l.outlooks[string(key)] = out
	return out
}

// conditions are the obstacles that can pass without a change to the pod.
var conditions = []obstacle{
	obstaclePodAffinity, obstacleAntiAffinity, obstacleSpread, obstaclePorts, obstacleResources, obstaclePods, obstacleVolumePlace,
	obstacleVolumeCount, obstacleVolumeInUse, obstacleUnbound, obstacleNoClaim, obstacleClaimGoing, obstacleDevices, obstacleNoNodes,
}

// obstruct finds the obstacle that decides. What rules out the most nodes among those that the pod
// would accept goes first; then what the pod itself asks for. The scheduler stops at a node's
// first obstacle, so a node that lacks resources has passed the pod's selector and taints.
func obstruct(l ledger, p *corev1.Pod, v verdict) obstruction {
	sv := look(l, p, v)
	state, found := v.widest(conditions...)
	_, cordons := v.widest(obstacleCordon)
	_, taints := v.widest(obstacleTaints)
	most := 0
	// A volume that is bound to a place is not what is wrong when its place is out of order.
	if found && state.kind != obstacleVolumePlace {
		most = max(state.nodes, 1)
	}
	switch {
	case cordons && len(sv.cordoned) > most && len(sv.cordoned) >= len(sv.faulty):
		return sv.byCordon()
	case taints && len(sv.faulty) > most:
		return sv.byFault()
	case found:
		return sv.condition(state)
	case taints && len(sv.tainted) > 0:
		return sv.taint(sv.tainted)
	}
	wish, _ := v.widest(obstacleAffinity, obstacleNodeName)
	switch {
	case wish.kind != obstacleOther:
		return sv.wish(wish)
	case taints:
		return sv.taint(sv.reserved)
	default:
		return sv.other()
	}
}

// share tells how many of how many nodes.
func (sv survey) share(n int) finding.Text {
	switch sv.v.total {
	case 0:
		return finding.Textf("%d nodes", "노드 %d개", n)
	case 1:
		return finding.Textf("the only node", "유일한 노드")
	case n:
		return finding.Textf("all %d nodes", "노드 %d개 모두", n)
	}
	return finding.Textf("%d of %d nodes", "노드 %[2]d개 중 %[1]d개", n, sv.v.total)
}

func namesOfNodes(nodes []*corev1.Node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	return out
}

// byCordon and byFault tell of nodes only, and so the same of all pods with one outlook.
func (sv survey) byCordon() obstruction {
	if sv.cordon == nil {
		sv.cordon = new(sv.cordonedNodes())
	}
	return *sv.cordon
}

func (sv survey) byFault() obstruction {
	if sv.fault == nil {
		sv.fault = new(sv.faultyNodes())
	}
	return *sv.fault
}

func (sv survey) cordonedNodes() obstruction {
	o := obstruction{
		kind: obstacleCordon, mechanism: v1alpha1.MechanismStopped, field: ".spec.unschedulable",
		says:   finding.Format("cordoned: %s", "cordon된 노드: %s", finding.List(namesOfNodes(sv.cordoned))),
		detail: finding.Textf("apart from the cordon, the pod's labels and tolerations fit there", "cordon이 아니면 Pod의 조건에 맞는 노드입니다"),
	}
	for _, n := range sv.cordoned {
		e := finding.Evidence{Source: "Node " + n.Name, Path: ".spec.unschedulable", Value: "true"}
		for _, t := range n.Spec.Taints {
			if t.Key == corev1.TaintNodeUnschedulable && t.TimeAdded != nil {
				e.At = finding.Timestamp(t.TimeAdded.Time)
			}
		}
		o.evidence = append(o.evidence, e)
		o.remedies = append(o.remedies, finding.Remedy{
			Text:    finding.Textf("let pods onto %s again, once its maintenance is over", "%s 유지 보수가 끝났으면 Pod를 다시 받도록 합니다", n.Name),
			Command: "kubectl uncordon " + n.Name,
		})
	}
	o.evidence, o.remedies = o.evidence[:min(3, len(o.evidence))], o.remedies[:min(3, len(o.remedies))]
	if len(sv.cordoned) == 1 {
		o.node = sv.cordoned[0].Name
		o.says = finding.Textf("is cordoned, and pods wait that no other node takes", "cordon되어 있고, 다른 노드에 배정할 수 없는 Pod가 대기하고 있습니다")
	}
	return o
}

func (sv survey) faultyNodes() obstruction {
	var of []string
	for _, n := range sv.faulty {
		of = append(of, fmt.Sprintf("%s (%s)", n.Name, strings.TrimPrefix(untolerated(sv.p, n).Key, "node.kubernetes.io/")))
	}
	o := obstruction{
		kind: obstacleFault, mechanism: v1alpha1.MechanismDegraded,
		settles: !slices.ContainsFunc(sv.faulty, func(n *corev1.Node) bool { return sv.s.Now().Sub(n.CreationTimestamp.Time) >= nodeJoins }),
		says:    finding.Format("nodes in trouble of their own: %s", "노드 자체에 문제가 있습니다: %s", finding.List(of)),
	}
	for _, n := range sv.faulty[:min(2, len(sv.faulty))] {
		o.evidence = append(o.evidence, taintEvidence(n, untolerated(sv.p, n)))
	}
	o.remedies = []finding.Remedy{{
		Text:    finding.Textf("see what the node says of itself", "노드의 상태를 확인합니다"),
		Command: "kubectl describe node " + sv.faulty[0].Name,
	}}
	return o
}

func taintEvidence(n *corev1.Node, t *corev1.Taint) finding.Evidence {
	e := finding.Evidence{Source: "Node " + n.Name, Path: ".spec.taints", Value: t.ToString()}
	if t.TimeAdded != nil {
		e.At = finding.Timestamp(t.TimeAdded.Time)
	}
	return e
}

func (sv survey) taint(nodes []*corev1.Node) obstruction {
	o := obstruction{kind: obstacleTaints, mechanism: v1alpha1.MechanismMisconfigured, field: podField(sv.workload(), ".tolerations"), edit: true}
	var taints []string
	for _, n := range nodes {
		t := untolerated(sv.p, n)
		taints = append(taints, t.ToString())
		if len(o.evidence) < 2 {
			o.evidence = append(o.evidence, taintEvidence(n, t))
		}
	}
	if len(taints) == 0 {
		o.says = finding.Textf("it does not tolerate the taints of the nodes", "Pod에 노드의 taint에 대한 toleration이 없습니다")
		return o
	}
	o.says = finding.Format("it does not tolerate the taint %s of %s", "Pod에 taint %s에 대한 toleration이 없습니다(노드 %s)", finding.List(taints), finding.List(namesOfNodes(nodes)))
	return o
}

func (sv survey) workload() finding.Subject { return sv.s.Workload(sv.p) }

// wish says what the pod asks for that no node has.
func (sv survey) wish(c clause) obstruction {
	o := obstruction{kind: c.kind, mechanism: v1alpha1.MechanismMisconfigured, edit: true}
	o.field = podField(sv.workload(), ".affinity.nodeAffinity")
	o.says = finding.Format("its node affinity does not match %s", "%s의 label이 Pod의 node affinity와 맞지 않습니다", sv.share(c.nodes))
	if c.kind == obstacleNodeName {
		o.field = podField(sv.workload(), ".nodeName")
		o.says = finding.Textf("the node that it names does not exist", "Pod가 지정한 노드가 없습니다")
		return o
	}
	nodes := snapshot.List[*corev1.Node](sv.s)
	var missing []string
	for k, v := range sv.p.Spec.NodeSelector {
		if !slices.ContainsFunc(nodes, func(n *corev1.Node) bool { got, has := n.Labels[k]; return has && got == v }) {
			missing = append(missing, k+"="+v)
		}
	}
	switch {
	case len(missing) > 0 && len(nodes) > 0:
		o.field = podField(sv.workload(), ".nodeSelector")
		o.says = finding.Format("no node has the label %s", "label이 %s인 노드가 없습니다", finding.List(missing))
	case len(sv.p.Spec.NodeSelector) > 0:
		o.field = podField(sv.workload(), ".nodeSelector")
		o.says = finding.Format("its node selector does not match %s", "%s의 label이 Pod의 nodeSelector와 맞지 않습니다", sv.share(c.nodes))
	}
	return o
}

func (sv survey) other() obstruction {
	return obstruction{
		kind: obstacleOther, mechanism: v1alpha1.MechanismFailing,
		says: finding.Textf("the scheduler cannot place it", "scheduler가 Pod를 배정하지 못합니다"),
		remedies: []finding.Remedy{{
			Text:    finding.Textf("see all that the scheduler says", "scheduler 메시지를 모두 확인합니다"),
			Command: fmt.Sprintf("kubectl -n %s describe pod %s", sv.p.Namespace, sv.p.Name),
		}},
	}
}

// largeEnough tells whether a node could take a pod if nothing else ran on it.
func largeEnough(p *corev1.Pod, n *corev1.Node) bool {
	return !slices.ContainsFunc([]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}, func(name corev1.ResourceName) bool {
		all, known := n.Status.Allocatable[name]
		want := requested(p, name)
		return known && want.Cmp(all) > 0
	})
}
