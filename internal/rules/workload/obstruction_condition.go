package workload

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// condition says what an obstacle that can pass by itself is.
func (sv survey) condition(c clause) obstruction {
	w, nodes := sv.workload(), sv.share(c.nodes)
	o := obstruction{kind: c.kind, mechanism: v1alpha1.MechanismExhausted, edit: true}
	switch c.kind {
	case obstacleResources:
		return sv.resources(c)
	case obstacleUnbound, obstacleNoClaim, obstacleClaimGoing:
		return sv.claims(c)
	case obstaclePods:
		o.edit = false
		o.says = finding.Format("no room for another pod on %s", "Pod를 더 받을 수 없습니다(%s가 최대 Pod 수에 도달)", nodes)
		o.remedies = []finding.Remedy{{
			Text:    finding.Textf("see how many pods each node may run; more nodes, or a higher maxPods, make room", "노드별 최대 Pod 수를 확인합니다. 노드를 늘리거나 maxPods를 올려야 합니다"),
			Command: "kubectl get nodes -o custom-columns=NAME:.metadata.name,PODS:.status.allocatable.pods",
		}}
	case obstacleAntiAffinity:
		o.field = podField(w, ".affinity.podAntiAffinity")
		o.says = finding.Format("a pod that it must not be near runs on %s", "%s에 함께 있을 수 없는 Pod가 이미 있습니다", nodes)
		o.detail = finding.Textf("its anti-affinity allows as many pods as there are such nodes, and no more", "anti-affinity 조건에서는 조건에 맞는 노드 수만큼만 Pod를 둘 수 있습니다")
	case obstaclePodAffinity:
		o.mechanism, o.field = v1alpha1.MechanismMissing, podField(w, ".affinity.podAffinity")
		o.says = finding.Format("no pod that it wants to be near runs on %s", "%s에 함께 있어야 할 Pod가 없습니다", nodes)
	case obstacleSpread:
		o.field = podField(w, ".topologySpreadConstraints")
		o.says = finding.Format("its topology spread constraints rule out %s", "topology spread constraint에 맞지 않습니다(%s)", nodes)
		if strings.Contains(c.text, "missing required label") {
			o.mechanism = v1alpha1.MechanismMisconfigured
			o.says = finding.Format("the label of its topology spread constraints is missing on %s", "%s에 topology spread constraint의 topologyKey label이 없습니다", nodes)
		}
	case obstaclePorts:
		o.field = podField(w, ".containers[*].ports[*].hostPort")
		o.says = finding.Format("its host port is taken on %s", "%s에서 host port가 이미 사용 중입니다", nodes)
	case obstacleVolumePlace:
		o.mechanism, o.field = v1alpha1.MechanismMisconfigured, podField(w, ".volumes")
		o.says = finding.Format("its volume cannot be used on %s", "%s에서는 volume을 사용할 수 없습니다", nodes)
		o.detail = sv.claimNames(finding.Textf("the volume is bound to another node or zone", "volume이 다른 노드나 zone에 묶여 있습니다"))
	case obstacleVolumeCount:
		o.field = podField(w, ".volumes")
		o.says = finding.Format("no room for another volume on %s", "volume을 더 연결할 수 없습니다(%s가 최대 volume 수에 도달)", nodes)
	case obstacleVolumeInUse:
		o.field = podField(w, ".volumes")
		o.says = finding.Textf("its volume is in use by another pod, and may be used by one only", "한 Pod만 사용할 수 있는 volume을 다른 Pod가 사용하고 있습니다")
		o.detail = sv.claimNames(finding.Text{})
	case obstacleDevices:
		o.field = podField(w, ".resourceClaims")
		o.says = finding.Format("no devices for its resource claims on %s", "%s에 resource claim을 만족하는 device가 없습니다", nodes)
	case obstacleNoNodes:
		o.edit, o.mechanism = false, v1alpha1.MechanismMissing
		o.says = finding.Textf("the cluster has no nodes", "클러스터에 노드가 없습니다")
		o.remedies = []finding.Remedy{{Text: finding.Textf("see whether any node has joined", "등록된 노드가 있는지 확인합니다"), Command: "kubectl get nodes"}}
	default:
		return sv.other()
	}
	return o
}

// resources says which resource is short, how much the pod asks for and how much there is.
func (sv survey) resources(c clause) obstruction {
	name := corev1.ResourceName(strings.TrimPrefix(c.text, "Insufficient "))
	want := requested(sv.p, name)
	o := obstruction{
		kind: obstacleResources, mechanism: v1alpha1.MechanismExhausted, field: sv.requestField(name), edit: true,
		says: finding.Format("not enough %s on %s", "%[2]s에 %[1]s 자원이 부족합니다", finding.Verbatim(string(name)), sv.share(c.nodes)),
	}
	if !sv.s.Coverage(snapshot.KindOf[*corev1.Node]()).Known() || len(sv.wanted) == 0 {
		o.detail = finding.Textf("it asks for %s", "요청량 %s", want.String())
		return o
	}
	stocks := sv.ledger.account(name)
	if n, most := first(stocks.all, func(n *corev1.Node) bool { return snapshot.NodeWanted(sv.p, n) }); n != nil && want.Cmp(most) > 0 {
		o.mechanism = v1alpha1.MechanismMisconfigured
		o.detail = finding.Textf("it asks for %s, more than any node that it may use has at all (%s has %s)", "요청량 %s는 사용할 수 있는 어느 노드의 용량보다도 큽니다(%s: %s)", want.String(), n.Name, most.String())
		o.evidence = []finding.Evidence{{Source: "Node " + n.Name, Path: fmt.Sprintf(".status.allocatable[%s]", name), Value: most.String()}}
		return o
	}
	if !sv.s.Coverage(snapshot.KindOf[*corev1.Pod]()).Known() {
		o.detail = finding.Textf("it asks for %s", "요청량 %s", want.String())
		return o
	}
	n, left := first(stocks.left, sv.accepted)
	if n == nil {
		return o
	}
	all := n.Status.Allocatable[name]
	o.detail = finding.Textf("it asks for %s, the most that a node has left is %s of %s (%s)", "요청량 %s, 가장 여유 있는 노드도 %[3]s 중 %[2]s만 남아 있습니다(%[4]s)", want.String(), left.String(), all.String(), n.Name)
	o.evidence = []finding.Evidence{{Source: "Node " + n.Name, Path: fmt.Sprintf(".status.allocatable[%s]", name), Value: fmt.Sprintf("%s, %s not requested", all.String(), left.String())}}
	o.remedies = []finding.Remedy{{
		Text:    finding.Textf("see who asks for how much there", "노드에서 누가 얼마나 요청하는지 확인합니다"),
		Command: "kubectl describe node " + n.Name,
	}}
	return o
}

// accepted tells whether the pod accepts a node and the node the pod, but for room.
func (sv survey) accepted(n *corev1.Node) bool {
	return snapshot.NodeWanted(sv.p, n) && !n.Spec.Unschedulable && untolerated(sv.p, n) == nil
}

// requestField is the request of the container that asks for the most of a resource.
func (sv survey) requestField(name corev1.ResourceName) string {
	var container string
	var most resource.Quantity
	for _, c := range sv.p.Spec.Containers {
		if q, ok := c.Resources.Requests[name]; ok && (container == "" || q.Cmp(most) > 0) {
			container, most = c.Name, q
		}
	}
	field := ".resources.requests." + string(name)
	if strings.ContainsAny(string(name), "./") {
		field = fmt.Sprintf(".resources.requests[%s]", name)
	}
	return containerField(sv.workload(), container, false, field)
}

// claims says which claim has no volume, and why as its events tell.
func (sv survey) claims(c clause) obstruction {
	o := obstruction{kind: c.kind, mechanism: v1alpha1.MechanismMissing, field: podField(sv.workload(), ".volumes")}
	if c.kind == obstacleNoClaim {
		o.edit = true
		o.says = finding.Verbatim(c.text)
		o.remedies = []finding.Remedy{{
			Text:    finding.Textf("see which claims there are", "존재하는 PersistentVolumeClaim을 확인합니다"),
			Command: fmt.Sprintf("kubectl -n %s get persistentvolumeclaims", sv.p.Namespace),
		}}
		return o
	}
	if c.kind == obstacleClaimGoing {
		o.says = finding.Textf("its PersistentVolumeClaim is being deleted", "PersistentVolumeClaim이 삭제되는 중입니다")
		o.detail = sv.claimNames(finding.Text{})
		return o
	}
	o.says = finding.Textf("its PersistentVolumeClaim has no volume", "PersistentVolumeClaim에 연결된 volume이 없습니다")
	for _, claim := range claimsOf(sv.s, sv.p) {
		if claim.Status.Phase == corev1.ClaimBound {
			continue
		}
		class := ""
		if claim.Spec.StorageClassName != nil {
			class = *claim.Spec.StorageClassName
		}
		o.says = finding.Textf("PersistentVolumeClaim %s is %s (StorageClass %q)", "PersistentVolumeClaim %s: %s 상태입니다(StorageClass %q)", claim.Name, claim.Status.Phase, class)
		events := sv.s.EventsOf(snapshot.SubjectOf(claim))
		if len(events) > 0 {
			last := events[len(events)-1]
			o.detail = finding.Format("the claim's last event: %s", "PersistentVolumeClaim의 최근 이벤트: %s", inQuotes(last.Message))
			o.evidence = []finding.Evidence{{
				Source: "Event " + finding.Qualified(snapshot.SubjectOf(claim)), Path: last.Reason + ".message", Value: finding.Quote(last.Message), At: finding.Timestamp(snapshot.EventTime(last)),
			}}
		}
		o.remedies = []finding.Remedy{{
			Text:    finding.Textf("see what the claim waits for", "PersistentVolumeClaim이 무엇을 기다리는지 확인합니다"),
			Command: fmt.Sprintf("kubectl -n %s describe persistentvolumeclaim %s", claim.Namespace, claim.Name),
		}}
		break
	}
	return o
}

// claimNames adds the names of the pod's claims to a sentence.
func (sv survey) claimNames(text finding.Text) finding.Text {
	var names []string
	for _, c := range claimsOf(sv.s, sv.p) {
		names = append(names, c.Name)
	}
	if len(names) == 0 {
		return text
	}
	return finding.Join("; ", text, finding.Format("PersistentVolumeClaim %s", "PersistentVolumeClaim %s", finding.List(names)))
}
