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
	Code:  "DataOnOneNode",
	Title: finding.Text{EN: "volumes lie on one node's disk", KO: "volume이 한 노드의 디스크에 있습니다"},
	Doc: finding.Text{
		EN: "PersistentVolumes that claims use lie on the disk of one node (local or hostPath, or bound to one hostname). While the node is down their pods can run nowhere else; when its disk is lost, so is the " +
			"data, unless the application keeps copies. One finding a node.",
		KO: "사용 중인 PersistentVolume이 한 노드의 디스크에 있습니다(local, hostPath, 또는 한 hostname에 묶인 volume). 노드가 멈춘 동안 그 Pod는 다른 곳에서 실행될 수 없고, 디스크를 잃으면 애플리케이션이 " +
			"복제해 두지 않은 데이터도 함께 잃습니다. 노드마다 하나로 알립니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/volumes/#local",
	Severity: finding.Info,
	Risk:     true,
	Needs:    []rule.Need{rule.Any[*corev1.PersistentVolume](), rule.Optional[*corev1.Pod](), rule.Optional[*corev1.Node]()},
	Detect: func(p *rule.Pass) {
		on := map[string][]finding.Subject{}
		var order []string
		for _, v := range snapshot.List[*corev1.PersistentVolume](p.Snapshot) {
			node := boundTo(v)
			if node == "" || v.Spec.ClaimRef == nil || v.Status.Phase != corev1.VolumeBound {
				continue
			}
			if on[node] == nil {
				order = append(order, node)
			}
			on[node] = append(on[node], finding.Subject{Kind: "PersistentVolumeClaim", Namespace: v.Spec.ClaimRef.Namespace, Name: v.Spec.ClaimRef.Name})
		}
		slices.Sort(order)
		for _, node := range order {
			claims := on[node]
			var names []string
			for _, c := range claims {
				names = append(names, finding.Qualified(c))
			}
			p.Report(finding.Finding{
				Subject: finding.Subject{Kind: "Node", Name: node}, Mechanism: v1alpha1.MechanismDegraded,
				Title: finding.Format("the data of %s lies on node %s alone", "%s의 데이터가 노드 %s에만 있습니다", finding.List(names), finding.Verbatim(node)),
				Why: finding.Text{
					EN: "their volumes are bound to that node's disk: while it is down their pods run nowhere, and when the disk is lost so is what is on it",
					KO: "volume이 이 노드의 디스크에 묶여 있습니다. 노드가 멈춘 동안 그 Pod는 어디에서도 실행되지 않고, 디스크를 잃으면 데이터도 잃습니다",
				},
				Explains: claims,
				Remedies: finding.Remedies{Later: []finding.Remedy{{
					Text: finding.Text{EN: "keep a copy elsewhere: replicas that the application itself keeps, a backup, or storage that other nodes can mount", KO: "애플리케이션의 복제, 백업, 다른 노드에서도 mount할 수 있는 스토리지 중 하나로 사본을 둡니다"},
				}, {
					Text:    finding.Text{EN: "see which volumes are bound to which node", KO: "어떤 volume이 어느 노드에 묶여 있는지 확인합니다"},
					Command: "kubectl get pv -o custom-columns=NAME:.metadata.name,CLAIM:.spec.claimRef.name,NODE:.spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values",
				}}},
			})
		}
	},
})

// boundTo is the one hostname that a volume's node affinity allows; empty where there are several, or
// where the volume is bound by another label.
func boundTo(v *corev1.PersistentVolume) string {
	if v.Spec.NodeAffinity == nil || v.Spec.NodeAffinity.Required == nil || len(v.Spec.NodeAffinity.Required.NodeSelectorTerms) != 1 {
		return ""
	}
	for _, e := range v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions {
		if e.Key == corev1.LabelHostname && e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1 {
			return e.Values[0]
		}
	}
	return ""
}
