package node

import (
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeOvercommitted",
	Title: finding.Text{
		EN: "pods on a node ask for more than it gives",
		KO: "노드의 Pod가 노드가 내줄 수 있는 것보다 많이 요청합니다",
	},
	Doc: finding.Text{
		EN: "The pods on a node request more cpu or memory than is allocatable there, or are more than it may run. The scheduler never does that: the node's allocatable shrank (a reservation, a smaller " +
			"machine, a lower maxPods), or pods were put there past the scheduler. They go on until the kubelet restarts; then it admits them anew and rejects what does not fit (OutOfcpu, " +
			"OutOfmemory, OutOfpods). Pods that are done, static pods, and resizes that wait for room are not counted. A node that does not report is left alone.",
		KO: "노드의 Pod가 요청하는 cpu나 memory가 allocatable보다 많거나 Pod 수가 한도를 넘습니다. scheduler는 이렇게 배정하지 않으므로 노드의 allocatable이 줄었거나(예약, 더 작은 머신, 낮아진 maxPods) scheduler를 거치지 않고 배정된 것입니다. 지금은 계속 실행되지만 " +
			"kubelet이 재시작하면 다시 허가하면서 들어가지 않는 Pod를 거부합니다(OutOfcpu, OutOfmemory, OutOfpods). 끝난 Pod, static Pod, 자리를 기다리는 resize는 세지 않습니다. 보고하지 않는 노드는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/#node-allocatable",
	Severity: finding.Warning,
	Needs: []rule.Need{
		rule.Any[*corev1.Node](), rule.Any[*corev1.Pod](), rule.Optional[*coordinationv1.Lease](),
	},
	For:    time.Minute,
	Causes: []rule.Cause{{Code: "NodeReservationTooLarge", Via: rule.Claimed}},
	Detect: detectNodeOvercommitted,
})

func detectNodeOvercommitted(p *rule.Pass) {
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		if young(p.Snapshot, n) || leaving(n) || !perhapsOvercommitted(p.Snapshot, n) || p.Writer(snapshot.KubeletOn(n.Name)).State == snapshot.Dead {
			continue
		}
		sum := corev1.ResourceList{}
		for _, pod := range p.PodsOn(n.Name) {
			if snapshot.PodDone(pod) || snapshot.StaticPod(pod) {
				continue
			}
			for name, q := range requests(pod) {
				have := sum[name]
				have.Add(q)
				sum[name] = have
			}
		}
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods} {
			all, known := n.Status.Allocatable[name]
			asked := sum[name]
			if known && asked.Cmp(all) > 0 {
				p.Report(overcommitted(n, name, asked.String(), all.String()))
				break
			}
		}
	}
}

// perhapsOvercommitted looks at a node cheaply: what the containers ask for, or the number of pods.
func perhapsOvercommitted(s *snapshot.Snapshot, n *corev1.Node) bool {
	var cpu, memory, pods int64
	for _, pod := range s.PodsOn(n.Name) {
		if snapshot.PodDone(pod) {
			continue
		}
		pods++
		for i := range pod.Spec.Containers {
			asked := pod.Spec.Containers[i].Resources.Requests
			// Not by asked.Cpu(), which makes an object for each.
			if q, ok := asked[corev1.ResourceCPU]; ok {
				cpu += q.MilliValue()
			}
			if q, ok := asked[corev1.ResourceMemory]; ok {
				memory += q.Value()
			}
		}
	}
	given := n.Status.Allocatable
	over := func(name corev1.ResourceName, asked, all int64) bool {
		_, known := given[name]
		return known && asked > all
	}
	return over(corev1.ResourceCPU, cpu, given.Cpu().MilliValue()) || over(corev1.ResourceMemory, memory, given.Memory().Value()) ||
		over(corev1.ResourcePods, pods, given.Pods().Value())
}

func overcommitted(n *corev1.Node, name corev1.ResourceName, asked, all string) finding.Finding {
	title := finding.Textf("node %s: its pods ask for %s %s, and it gives %s", "노드 %s: Pod의 %[3]s 요청 합계가 노드가 내주는 양보다 많습니다(%[2]s > %[4]s)", n.Name, asked, name, all)
	if name == corev1.ResourcePods {
		title = finding.Textf("node %s runs %s pods, and may run %s", "노드 %s: 최대 Pod 수보다 많은 Pod가 있습니다(%s > %s)", n.Name, asked, all)
	}
	return finding.Finding{
		Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismExhausted, Title: title,
		Why: finding.Textf(
			"The scheduler would not have put them there: allocatable shrank after they came, or they were bound past the scheduler. They go on for now; when the kubelet restarts it rejects what does not fit (OutOf%s).",
			"scheduler는 이렇게 배정하지 않습니다. Pod가 배정된 뒤 allocatable이 줄었거나 scheduler를 거치지 않고 배정된 것입니다. 지금은 계속 실행되지만 kubelet이 재시작하면 들어가지 않는 Pod를 거부합니다(OutOf%s).", name),
		Evidence: []finding.Evidence{
			{Source: "Node " + n.Name, Path: fmt.Sprintf(".status.allocatable[%s]", name), Value: all},
			{Source: "pods on node " + n.Name, Path: ".spec.containers[*].resources.requests", Value: asked},
		},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "see what the node gives and who asks for it", KO: "노드가 내주는 양과 요청하는 Pod를 확인합니다"}, Command: "kubectl describe node " + n.Name},
				{Text: finding.Text{EN: "move pods away in order before the kubelet restarts, by deleting some of a workload that another node can take", KO: "kubelet이 재시작하기 전에, 다른 노드가 받을 수 있는 워크로드의 Pod를 삭제하여 순서대로 옮깁니다"}},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "drain a node before its reservations or maxPods change, and set no spec.nodeName by hand",
				KO: "예약이나 maxPods를 바꾸기 전에 노드를 drain하고, spec.nodeName을 수동으로 지정하지 않습니다",
			}}},
		},
	}
}
