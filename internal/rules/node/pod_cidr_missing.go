package node

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodePodCIDRMissing",
	Title: finding.Text{
		EN: "node has no range of pod addresses",
		KO: "노드에 Pod 주소 범위가 없습니다",
	},
	Doc: finding.Text{
		EN: "A node has no spec.podCIDR while most others have one: the cluster's range of pod addresses is used up (the controller manager says CIDRNotAvailable), or nobody hands ranges out any more. A " +
			"network plugin that relies on them, such as flannel or kubenet, cannot start pods there. Clusters in which no or few nodes have a podCIDR hand out addresses otherwise and are left " +
			"alone, as are nodes in their first two minutes.",
		KO: "다른 노드에는 대부분 있는 spec.podCIDR이 이 노드에는 없습니다. 클러스터의 Pod 주소 범위를 다 썼거나(controller manager의 CIDRNotAvailable) 범위를 할당할 주체가 없는 것입니다. flannel처럼 이 값에 의존하는 네트워크 플러그인은 그 노드에서 Pod를 시작하지 못합니다. " +
			"podCIDR이 있는 노드가 없거나 적은 클러스터는 다른 방식으로 주소를 할당하므로 대상이 아니며, 참여한 지 2분이 안 된 노드도 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Whole[*corev1.Node](), rule.Optional[*corev1.Event](), rule.Optional[*corev1.Pod]()},
	For:      time.Minute,
	Detect:   detectNodePodCIDRMissing,
})

func detectNodePodCIDRMissing(p *rule.Pass) {
	var without []*corev1.Node
	with := 0
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		switch {
		case n.Spec.PodCIDR != "" || len(n.Spec.PodCIDRs) > 0:
			with++
		case !young(p.Snapshot, n) && !leaving(n) && !snapshot.VirtualNode(n):
			without = append(without, n)
		}
	}
	if with <= len(without) {
		return
	}
	for _, n := range without {
		f := finding.Finding{
			Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismMissing, Field: ".spec.podCIDR", Since: n.CreationTimestamp.Time, Confidence: v1alpha1.ConfidenceMedium,
			Title:    finding.Textf("node %s has no range of pod addresses", "노드 %s: Pod 주소 범위가 할당되지 않았습니다", n.Name),
			Evidence: []finding.Evidence{{Source: "Node " + n.Name, Path: ".spec.podCIDR", Value: "(none)", At: finding.Timestamp(n.CreationTimestamp.Time)}},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{{
					Text:    finding.Text{EN: "the cluster's range, and how much of it each node takes", KO: "클러스터의 주소 범위와 노드당 크기를 확인합니다"},
					Command: "grep -E 'cluster-cidr|node-cidr-mask|allocate-node-cidrs' /etc/kubernetes/manifests/kube-controller-manager.yaml",
				}},
				Later: []finding.Remedy{{Text: finding.Text{
					EN: "count nodes against the ranges that the cluster's range holds before adding more",
					KO: "노드를 추가하기 전에 노드 수를 클러스터 주소 범위가 담을 수 있는 수와 비교합니다",
				}}},
			},
		}
		why := finding.Textf("Other nodes have a podCIDR (%d of them) and this one has none. A network plugin that relies on it starts no pods here.",
			"다른 노드 %d개에는 podCIDR이 있지만 이 노드에는 없습니다. podCIDR에 의존하는 네트워크 플러그인은 이 노드에서 Pod를 시작하지 못합니다.", with)
		for _, e := range p.EventsOf(f.Subject) {
			if e.Reason == "CIDRNotAvailable" {
				f.Mechanism, f.Confidence = v1alpha1.MechanismExhausted, v1alpha1.ConfidenceHigh
				f.Evidence = append(f.Evidence, eventEvidence(e))
				why = finding.Join(" ", why, finding.Text{EN: "The controller manager has no range left to give.", KO: "controller manager에 할당할 범위가 남아 있지 않습니다."})
				break
			}
		}
		f.Why = finding.Join(" ", why, carries(p.Snapshot, n))
		p.Report(f)
	}
}
