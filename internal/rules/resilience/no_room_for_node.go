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

// load is what the pods of a node request of one resource.
type load struct {
	node *corev1.Node
	// moves is what has to find another place when the node is lost, left what else it could take.
	moves, left resource.Quantity
	pods        []finding.Subject
}

// scarcest is the node for whose pods the others lack the most room, and how much they lack; no node
// where they have enough for each.
func scarcest(s *snapshot.Snapshot, open []*corev1.Node, name corev1.ResourceName) (worst load, lack resource.Quantity) {
	var loads []load
	var room resource.Quantity
	for _, n := range open {
		l := load{node: n, left: n.Status.Allocatable[name].DeepCopy()}
		for _, pod := range s.PodsOn(n.Name) {
			if snapshot.PodDone(pod) {
				continue
			}
			want := requested(pod, name)
			l.left.Sub(want)
			if staysWithNode(pod) {
				continue
			}
			l.moves.Add(want)
			l.pods = append(l.pods, finding.Subject{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name})
		}
		if l.left.Sign() > 0 {
			room.Add(l.left)
		}
		loads = append(loads, l)
	}
	for _, l := range loads {
		short := l.moves.DeepCopy()
		short.Sub(room)
		if l.left.Sign() > 0 {
			short.Add(l.left)
		}
		if short.Cmp(lack) > 0 {
			worst, lack = l, short
		}
	}
	return worst, lack
}

func reportShortage(p *rule.Pass, name corev1.ResourceName, worst load, lack resource.Quantity) {
	elsewhere := worst.moves.DeepCopy()
	elsewhere.Sub(lack)
	p.Report(finding.Finding{
		Subject: finding.Subject{Kind: "Node", Name: worst.node.Name}, Mechanism: v1alpha1.MechanismExhausted,
		Title: finding.Textf("without node %s there is not enough %s for its pods", "노드 %s 없이는 그 Pod를 위한 %s 자원이 부족합니다", worst.node.Name, name),
		Why: finding.Format("%s would have to move and request %s of %s together; all other nodes have %s left", "옮겨야 할 %s의 %[3]s 요청량은 합계 %[2]s이지만, 나머지 노드에는 모두 합쳐 %[4]s만 남아 있습니다",
			finding.Pods(len(worst.pods)), finding.Verbatim(worst.moves.String()), finding.Verbatim(string(name)), finding.Verbatim(elsewhere.String())),
		Explains: worst.pods,
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

// requested is what a pod's containers ask for together: init containers run before the others and
// are left out, as they seldom ask for more (k8s.io/component-helpers/resource counts them exactly).
func requested(p *corev1.Pod, name corev1.ResourceName) resource.Quantity {
	var sum resource.Quantity
	for i := range p.Spec.Containers {
		sum.Add(p.Spec.Containers[i].Resources.Requests[name])
	}
	return sum
}
