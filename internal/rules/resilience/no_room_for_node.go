package resilience

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "NoRoomForNode",
	Title: finding.Text{EN: "the other nodes have no room for a node's pods", KO: "한 노드의 Pod를 나머지 노드가 받을 수 없습니다"},
	Doc: finding.Text{
		EN: "What the pods of one node request is more than all other nodes together have left: when it is lost, some of them stay Pending. Counted in sums, so that there may be less room than it " +
			"says and never more. Left alone: pods of DaemonSets and static pods, which go with their node, and clusters with one node that takes pods, which have nowhere to go at all.",
		KO: "한 노드의 Pod가 요청하는 자원이 나머지 노드에 남은 자원의 합보다 많습니다. 그 노드를 잃으면 일부 Pod는 Pending으로 남습니다. 합계로 계산하므로 실제 여유는 이보다 적을 수는 있어도 많지는 않습니다. " +
			"노드와 함께 사라지는 DaemonSet Pod와 static pod, 그리고 Pod를 받는 노드가 하나뿐인 클러스터는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",
	Severity: finding.Info,
	Risk:     true,
	Needs:    []rule.Need{rule.Whole[*corev1.Pod](), rule.Whole[*corev1.Node]()},
	Detect: func(p *rule.Pass) {
		open := openNodes(p.Snapshot)
		if len(open) < 2 {
			return
		}
		told := ""
		for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceCPU} {
			if l, lack := scarcest(p.Snapshot, open, name); l.node != nil && l.node.Name != told {
				told = l.node.Name
				reportShortage(p, name, l, lack)
			}
		}
	},
})

// load is what the pods of a node request of one resource, in the unit of amountOf.
type load struct {
	node *corev1.Node
	// moves is what has to find another place when the node is lost, left what else it could take.
	moves, left int64
}

// scarcest is the node for whose pods the others lack the most room, and how much they lack; no node
// where they have enough for each.
func scarcest(s *snapshot.Snapshot, open []*corev1.Node, name corev1.ResourceName) (worst load, lack int64) {
	loads := make([]load, 0, len(open))
	var room int64
	for _, n := range open {
		l := load{node: n, left: amountOf(n.Status.Allocatable, name)}
		for _, pod := range s.PodsOn(n.Name) {
			if snapshot.PodDone(pod) {
				continue
			}
			want := requested(pod, name)
			l.left -= want
			if !staysWithNode(pod) {
				l.moves += want
			}
		}
		room += max(0, l.left)
		loads = append(loads, l)
	}
	for _, l := range loads {
		if short := l.moves - room + max(0, l.left); short > lack {
			worst, lack = l, short
		}
	}
	return worst, lack
}

// movingPods are the pods that have to find another place when a node is lost.
func movingPods(s *snapshot.Snapshot, n *corev1.Node) []finding.Subject {
	var out []finding.Subject
	for _, pod := range s.PodsOn(n.Name) {
		if !snapshot.PodDone(pod) && !staysWithNode(pod) {
			out = append(out, finding.Subject{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name})
		}
	}
	return out
}

func reportShortage(p *rule.Pass, name corev1.ResourceName, worst load, lack int64) {
	pods := movingPods(p.Snapshot, worst.node)
	p.Report(finding.Finding{
		Subject: finding.Subject{Kind: "Node", Name: worst.node.Name}, Mechanism: v1alpha1.MechanismExhausted,
		Title: finding.Textf("without node %s there is not enough %s for its pods", "노드 %s 없이는 그 Pod를 위한 %s 자원이 부족합니다", worst.node.Name, name),
		Why: finding.Format("%s would have to move and request %s of %s together; all other nodes have %s left", "옮겨야 할 %s의 %[3]s 요청량은 합계 %[2]s이지만, 나머지 노드에는 모두 합쳐 %[4]s만 남아 있습니다",
			finding.Pods(len(pods)), finding.Verbatim(written(worst.moves, name)), finding.Verbatim(string(name)), finding.Verbatim(written(worst.moves-lack, name))),
		Explains: pods,
		Evidence: []finding.Evidence{{Source: "Node " + worst.node.Name, Path: ".status.allocatable[" + string(name) + "]", Value: quantity(worst.node.Status.Allocatable, name)}},
		Remedies: finding.Remedies{Later: []finding.Remedy{{
			Text:    finding.Text{EN: "see how much each node has given away; one node more, or smaller requests, make room", KO: "노드마다 할당된 양을 확인합니다. 노드를 늘리거나 요청량을 줄입니다"},
			Command: "kubectl describe nodes | grep -A 8 'Allocated resources'",
		}}},
	})
}

func quantity(list corev1.ResourceList, name corev1.ResourceName) string {
	q := list[name]
	return q.String()
}

// staysWithNode tells whether a pod is made for its node and goes with it.
func staysWithNode(p *corev1.Pod) bool {
	return snapshot.StaticPod(p) || slices.ContainsFunc(p.OwnerReferences, func(r metav1.OwnerReference) bool { return r.Kind == "DaemonSet" })
}

// requested is what a pod's containers ask for together, in the unit of amountOf: init containers run
// before the others and are left out, as they seldom ask for more (k8s.io/component-helpers/resource
// counts them exactly).
func requested(p *corev1.Pod, name corev1.ResourceName) int64 {
	var sum int64
	for i := range p.Spec.Containers {
		sum += amountOf(p.Spec.Containers[i].Resources.Requests, name)
	}
	return sum
}

// amountOf is how much of a resource a list names: thousandths of a CPU, bytes of memory. Numbers are
// added up many times faster than quantities, and there are as many as containers.
func amountOf(list corev1.ResourceList, name corev1.ResourceName) int64 {
	q, ok := list[name]
	switch {
	case !ok:
		return 0
	case name == corev1.ResourceCPU:
		return q.MilliValue()
	default:
		return q.Value()
	}
}

// written is an amount as Kubernetes writes it.
func written(amount int64, name corev1.ResourceName) string {
	if name == corev1.ResourceCPU {
		return resource.NewMilliQuantity(amount, resource.DecimalSI).String()
	}
	return resource.NewQuantity(amount, resource.BinarySI).String()
}
