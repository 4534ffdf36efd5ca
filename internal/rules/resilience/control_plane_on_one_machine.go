package resilience

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ControlPlaneOnOneMachine",
	Title: finding.Text{EN: "control plane runs on one machine", KO: "control plane이 머신 한 대에서 실행됩니다"},
	Doc: finding.Text{
		EN: "One Node carries the control plane. While it is down nothing in the cluster can be started, stopped or changed, and nobody replaces pods that end; what runs goes on running. " +
			"A cluster whose control plane is not among its Nodes (a managed one) is left alone: its provider answers for it.",
		KO: "노드 한 대가 control plane 전체를 맡고 있습니다. 이 노드가 멈추면 클러스터에서 아무것도 시작, 종료, 변경할 수 없고 종료된 Pod도 다시 만들어지지 않습니다. 실행 중인 것은 계속 실행됩니다. " +
			"control plane이 노드로 보이지 않는 클러스터(관리형)는 제공자가 책임지므로 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/",
	Severity: finding.Warning,
	Risk:     true,
	Needs:    []rule.Need{rule.Whole[*corev1.Node]()},
	Detect: func(p *rule.Pass) {
		var machines []*corev1.Node
		for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
			if _, ok := n.Labels[controlPlaneLabel]; ok {
				machines = append(machines, n)
			}
		}
		if len(machines) != 1 {
			return
		}
		name := machines[0].Name
		p.Report(finding.Finding{
			Subject: finding.Subject{Kind: "Node", Name: name}, Mechanism: v1alpha1.MechanismDegraded,
			Title: finding.Textf("the control plane runs on one machine, %s", "control plane이 머신 %s 한 대에서만 실행됩니다", name),
			Why: finding.Textf("%s is the only Node with the label %s. While it is down nothing can be started, stopped or changed, lost pods are not replaced and Services keep dead endpoints; running pods go on.",
				"%[2]s label이 있는 노드는 %[1]s뿐입니다. 이 노드가 멈추면 아무것도 시작, 종료, 변경할 수 없고, 사라진 Pod가 다시 만들어지지 않으며, Service에 죽은 endpoint가 남습니다. 실행 중인 Pod는 계속 동작합니다.",
				name, controlPlaneLabel),
			Evidence: []finding.Evidence{{Source: "Node " + name, Path: ".metadata.labels[" + controlPlaneLabel + "]", Value: "the only one"}},
			Remedies: finding.Remedies{Later: []finding.Remedy{{
				Text: finding.Text{EN: "run the control plane on three machines behind one address", KO: "control plane을 머신 3대로 늘리고 하나의 주소로 접근하게 합니다"},
			}, {
				Text:    finding.Text{EN: "see how others join, where the cluster was made by kubeadm with a shared endpoint", KO: "kubeadm으로 공용 endpoint를 두고 만든 클러스터라면, 다른 머신을 추가하는 방법을 확인합니다"},
				Command: "kubeadm token create --print-join-command", Machine: name,
			}}},
		})
	},
})
