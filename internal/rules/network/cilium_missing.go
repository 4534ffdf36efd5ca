package network

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// ciliumGroup is the API group of Cilium's objects.
const ciliumGroup = "cilium.io"

// registering is how long a Cilium agent may take until a node or a pod is written down.
const registering = 5 * time.Minute

var _ = Catalog.Add(rule.Rule{
	Code:  "CiliumNodeMissing",
	Title: finding.Text{EN: "Cilium does not know a node", KO: "Cilium이 노드를 모릅니다"},
	Doc: finding.Text{
		EN: "Each Cilium agent writes a CiliumNode of its node's name, and from these the others learn where to send. A node without one is none for the others: its agent never came up, or cannot write. " +
			"Nodes younger than five minutes, nodes that are not ready (told on their own), Windows nodes, and clusters in which most nodes have none are left alone.",
		KO: "Cilium agent는 노드와 같은 이름의 CiliumNode를 기록하고 다른 agent는 이를 보고 트래픽을 보낼 곳을 압니다. CiliumNode가 없는 노드는 다른 노드가 알지 못합니다. agent가 시작하지 못했거나 기록하지 못한 경우입니다. " +
			"5분이 안 된 노드, 따로 알리는 NotReady 노드, Windows 노드, 대부분의 노드에 없는 클러스터는 대상이 아닙니다.",
	},
	Link: "https://docs.cilium.io/en/stable/network/concepts/ipam/", Severity: finding.Warning,
	Needs: []rule.Need{rule.Any[*corev1.Node]()}, CustomResources: true, Detect: ciliumNodeMissing,
})

// ciliumObjects are the objects of one of Cilium's kinds, by namespace and name; false where not all were read.
func ciliumObjects(s *snapshot.Snapshot, kind string) (map[types.NamespacedName]*snapshot.CustomResource, bool) {
	whole := false
	for _, k := range s.CustomKinds() {
		whole = whole || k.Group == ciliumGroup && k.Kind == kind && s.CustomCoverage(k).Known()
	}
	out := map[types.NamespacedName]*snapshot.CustomResource{}
	for _, r := range s.CustomResources() {
		if r.Kind.Group == ciliumGroup && r.Kind.Kind == kind {
			out[types.NamespacedName{Namespace: r.Namespace, Name: r.Name}] = r
		}
	}
	return out, whole && len(out) > 0
}

func ciliumNodeMissing(p *rule.Pass) {
	known, whole := ciliumObjects(p.Snapshot, "CiliumNode")
	if !whole {
		return
	}
	var without []*corev1.Node
	with := 0
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		ready := snapshot.NodeCondition(n, corev1.NodeReady)
		switch {
		case known[types.NamespacedName{Name: n.Name}] != nil:
			with++
		case n.DeletionTimestamp == nil && n.Labels[corev1.LabelOSStable] != "windows" && p.Now().Sub(n.CreationTimestamp.Time) > registering &&
			ready != nil && ready.Status == corev1.ConditionTrue:
			without = append(without, n)
		}
	}
	if len(without) > with {
		return
	}
	for _, n := range without {
		p.Report(finding.Finding{
			Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismMissing,
			Title:    finding.Textf("node %s: Cilium does not know it", "노드 %s: Cilium이 이 노드를 모릅니다", n.Name),
			Why:      finding.Textf("There is no CiliumNode %s, and %d other nodes have one. The agents elsewhere do not send to its pods.", "CiliumNode %s가 없고 다른 노드 %d개에는 있습니다. 다른 노드의 agent가 이 노드의 Pod로 보내지 않습니다.", n.Name, with),
			Evidence: []finding.Evidence{{Source: "CiliumNodes", Path: ".metadata.name", Value: fmt.Sprintf("%d, none of them %s", len(known), n.Name)}},
			Remedies: finding.Remedies{Now: []finding.Remedy{{
				Text: finding.Text{EN: "see how the agent on the node is, and what it says", KO: "노드의 agent 상태와 로그를 확인합니다"}, Command: "kubectl get pods -A -o wide -l k8s-app=cilium --field-selector spec.nodeName=" + n.Name,
			}}},
		})
	}
}

var _ = Catalog.Add(rule.Rule{
	Code:  "CiliumEndpointMissing",
	Title: finding.Text{EN: "pods run that Cilium does not manage", KO: "Cilium이 관리하지 않는 Pod가 실행 중입니다"},
	Doc: finding.Text{
		EN: "For each pod that it manages Cilium writes a CiliumEndpoint of the pod's name. Pods that were started before Cilium came to the node, or by another network plugin, have none: no policy holds for them, and where the two plugins' addresses differ others do not reach them. " +
			"Restarting such a pod mends it. Pods on the host's network, pods younger than five minutes or about to end, and clusters in which most pods have none (Cilium can be told not to write them) are left alone.",
		KO: "Cilium은 관리하는 Pod마다 같은 이름의 CiliumEndpoint를 기록합니다. Cilium이 노드에 설치되기 전에 시작했거나 다른 네트워크 플러그인으로 시작한 Pod에는 없습니다. 이런 Pod에는 정책이 적용되지 않으며 두 플러그인의 주소 범위가 다르면 다른 곳에서 닿지 못합니다. " +
			"Pod를 다시 시작하면 해결됩니다. hostNetwork Pod, 5분이 안 되었거나 종료 중인 Pod, 대부분의 Pod에 없는 클러스터(기록하지 않게 설정할 수 있음)는 대상이 아닙니다.",
	},
	Link: "https://docs.cilium.io/en/stable/network/kubernetes/ciliumendpoint/", Severity: finding.Warning,
	Needs: append([]rule.Need{rule.Any[*corev1.Pod]()}, rule.Owners()...), CustomResources: true, Detect: ciliumEndpointMissing,
})

func ciliumEndpointMissing(p *rule.Pass) {
	known, whole := ciliumObjects(p.Snapshot, "CiliumEndpoint")
	if !whole {
		return
	}
	without := map[string][]*corev1.Pod{}
	with, total := 0, 0
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.Spec.HostNetwork || pod.Spec.NodeName == "" || pod.Status.PodIP == "" || pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
			continue
		}
		switch {
		case known[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] != nil:
			with++
		case p.Now().Sub(pod.CreationTimestamp.Time) > registering:
			total++
			without[pod.Spec.NodeName] = append(without[pod.Spec.NodeName], pod)
		}
	}
	if total > with {
		return
	}
	for _, n := range slices.Sorted(maps.Keys(without)) {
		pods := without[n]
		f := finding.Finding{
			Subject: finding.Subject{Kind: "Node", Name: n}, Mechanism: v1alpha1.MechanismMissing,
			Title: finding.Format("node %s: Cilium does not manage %s there", "노드 %s: Cilium이 관리하지 않는 %s가 있습니다", finding.Verbatim(n), finding.Pods(len(pods))),
			Why: finding.Textf("%s/%s runs and has no CiliumEndpoint, as pods have that were started before Cilium or by another plugin. No policy holds for it, and Cilium does not know its address.",
				"%s/%s가 실행 중인데 CiliumEndpoint가 없습니다. Cilium 이전에 또는 다른 플러그인으로 시작된 Pod가 그렇습니다. 정책이 적용되지 않고 Cilium이 그 주소를 모릅니다.", pods[0].Namespace, pods[0].Name),
			Remedies: finding.Remedies{Now: []finding.Remedy{{
				Text: finding.Text{EN: "delete these pods: their controllers start them anew, and Cilium takes them in", KO: "해당 Pod를 삭제하면 controller가 다시 시작하고 Cilium이 관리합니다"}, Command: "kubectl -n " + pods[0].Namespace + " delete pod " + pods[0].Name,
			}}},
		}
		for _, pod := range pods {
			f.Explains = append(f.Explains, snapshot.SubjectOf(pod))
			if len(f.Evidence) < fewPeers {
				f.Evidence = append(f.Evidence, finding.Evidence{Source: finding.Named(snapshot.SubjectOf(pod)), Path: "CiliumEndpoint", Value: "absent"})
			}
		}
		p.Report(f)
	}
}
