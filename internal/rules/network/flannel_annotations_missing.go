package network

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "FlannelAnnotationsMissing",
	Title: finding.Text{EN: "a node is not announced to flannel", KO: "노드가 flannel에 알려지지 않았습니다"},
	Doc: finding.Text{
		EN: "Where flannel keeps subnets in the API server, each flanneld announces its node in annotations, and the other machines send to none that lacks them or has broken ones: pods on such a node cannot be reached from other nodes. " +
			"Its flanneld never started, could not write to the Node, or somebody replaced the Node's annotations. Nodes younger than three minutes, Windows nodes, nodes that are not ready (told on their own), nodes on which no pod has an address of the podCIDR, and clusters where most nodes are not flannel's are left alone.",
		KO: "flannel이 subnet을 API 서버에 보관하면 각 flanneld가 자신의 노드를 annotation으로 알리고, annotation이 없거나 잘못된 노드로는 다른 머신이 보내지 않으므로 그 노드의 Pod는 다른 노드에서 닿을 수 없습니다. " +
			"flanneld가 시작하지 못했거나, Node에 쓸 수 없었거나, 누군가 Node의 annotation을 바꾼 경우입니다. 3분이 안 된 노드, Windows 노드, 따로 알리는 NotReady 노드, podCIDR의 주소를 가진 Pod가 없는 노드, 대부분의 노드가 flannel을 쓰지 않는 클러스터는 대상이 아닙니다.",
	},
	Link: "https://github.com/flannel-io/flannel/blob/master/Documentation/kubernetes.md", Severity: finding.Critical,
	Needs: []rule.Need{rule.Any[*corev1.Node](), rule.Any[*corev1.Pod]()}, Detect: flannelAnnotationsMissing,
})

// announcing is how long a node may take until its flanneld has announced it: the DaemonSet's pod must start.
const announcing = 3 * time.Minute

// hasOwnPods tells whether pods run on a node with addresses out of its podCIDR, as flannel gives them. A node
// that only stands for something else (a virtual kubelet) has none.
func hasOwnPods(s *snapshot.Snapshot, n *corev1.Node) bool {
	ranges := podRangesOf(n)
	return len(ranges) > 0 && ranges[0].Addr().Is4() && slices.ContainsFunc(s.PodsOn(n.Name), func(pod *corev1.Pod) bool {
		address, err := netip.ParseAddr(pod.Status.PodIP)
		return err == nil && !pod.Spec.HostNetwork && pod.Status.Phase == corev1.PodRunning && ranges[0].Contains(address)
	})
}

func flannelAnnotationsMissing(p *rule.Pass) {
	var all []holder
	var lacking []*corev1.Node
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		if h, ok := holderOf(p.Now(), n); ok {
			all = append(all, h)
			continue
		}
		ready := snapshot.NodeCondition(n, corev1.NodeReady)
		if n.DeletionTimestamp == nil && p.Now().Sub(n.CreationTimestamp.Time) >= announcing && n.Labels[corev1.LabelOSStable] != "windows" &&
			ready != nil && ready.Status == corev1.ConditionTrue && hasOwnPods(p.Snapshot, n) {
			lacking = append(lacking, n)
		}
	}
	// One node in a few may lack them; where most do, flannel is not what these nodes use.
	if len(all) == 0 || len(lacking) > len(all) {
		return
	}
	for _, n := range lacking {
		var without []string
		for _, a := range []string{"kube-subnet-manager", "public-ip", "backend-type", "backend-data"} {
			if n.Annotations[flannelPrefix+a] == "" || a == "kube-subnet-manager" && n.Annotations[flannelPrefix+a] != "true" {
				without = append(without, flannelPrefix+a)
			}
		}
		f := finding.Finding{
			Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismMissing, Field: ".metadata.annotations",
			Title:    finding.Textf("node %s is not announced to flannel", "노드 %s: flannel에 알려지지 않았습니다", n.Name),
			Why:      finding.Format("It lacks %s. The other nodes send nothing to its pods.", "%s annotation이 없습니다. 다른 노드가 그 Pod로 트래픽을 보내지 않습니다.", finding.List(without)),
			Evidence: []finding.Evidence{{Source: "Node " + n.Name, Path: ".metadata.annotations", Value: "without " + strings.Join(without, ", ")}},
			Explains: waysIn(n.Name, all),
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{Text: finding.Text{EN: "where flannel is a DaemonSet, start its pod on the node anew: it announces the node when it starts", KO: "flannel이 DaemonSet이면 노드의 Pod를 다시 시작합니다. 시작할 때 노드를 알립니다"}, Command: "kubectl delete pod -A -l app=flannel --field-selector spec.nodeName=" + n.Name},
					{Text: finding.Text{EN: "where it is a unit, see what it says and start it anew", KO: "unit이면 로그를 확인하고 다시 시작합니다"}, Command: "journalctl -u flanneld -n 50; systemctl restart flanneld", Machine: n.Name},
				},
				Later: []finding.Remedy{{Text: finding.Text{EN: "let flannel's ServiceAccount patch nodes/status, and let nobody replace a Node's annotations as a whole", KO: "flannel의 ServiceAccount가 nodes/status를 patch할 수 있게 하고, Node의 annotation 전체를 바꾸지 않습니다"}}},
			},
		}
		if len(without) == 0 {
			data := n.Annotations[flannelPrefix+"backend-data"]
			f.Mechanism = v1alpha1.MechanismMisconfigured
			f.Why = finding.Textf("Its annotation backend-data cannot be understood: %s. The other nodes send nothing to its pods.", "backend-data annotation을 해석할 수 없습니다: %s. 다른 노드가 그 Pod로 트래픽을 보내지 않습니다.", finding.Quote(data))
			f.Evidence = []finding.Evidence{{Source: "Node " + n.Name, Path: ".metadata.annotations[" + flannelPrefix + "backend-data]", Value: finding.Quote(data)}}
		}
		p.Report(f)
	}
}
