package resilience

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "BudgetAllowsNoEviction",
	Title: finding.Text{EN: "a PodDisruptionBudget never allows an eviction", KO: "PodDisruptionBudget이 eviction을 전혀 허용하지 않습니다"},
	Doc: finding.Text{
		EN: "All pods that a PodDisruptionBudget covers are healthy, and yet it allows no disruption: minAvailable is as many as there are, or maxUnavailable is 0. The next drain of one of their " +
			"nodes stops there. A drain that is stuck already is DisruptionBudgetBlocks; a budget that allows nothing because pods are unhealthy does what it is for.",
		KO: "PodDisruptionBudget 대상 Pod가 모두 정상인데도 disruption을 하나도 허용하지 않습니다. minAvailable이 Pod 수와 같거나 maxUnavailable이 0입니다. 다음에 이 노드를 drain하면 여기서 멈춥니다. " +
			"이미 막힌 drain은 DisruptionBudgetBlocks이고, 비정상 Pod 때문에 허용하지 않는 것은 제 역할을 하는 것입니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/run-application/configure-pdb/",
	Severity: finding.Info,
	Risk:     true,
	Needs:    []rule.Need{rule.Any[*policyv1.PodDisruptionBudget](), rule.Optional[*corev1.Pod]()},
	Detect: func(p *rule.Pass) {
		for _, b := range snapshot.List[*policyv1.PodDisruptionBudget](p.Snapshot) {
			st := b.Status
			if st.ExpectedPods == 0 || st.DisruptionsAllowed > 0 || st.CurrentHealthy < st.ExpectedPods || st.ObservedGeneration < b.Generation {
				continue
			}
			field, value := ".spec.minAvailable", ""
			if b.Spec.MinAvailable != nil {
				value = b.Spec.MinAvailable.String()
			}
			if b.Spec.MaxUnavailable != nil {
				field, value = ".spec.maxUnavailable", b.Spec.MaxUnavailable.String()
			}
			p.Report(finding.Finding{
				Subject: finding.Subject{Kind: "PodDisruptionBudget", Namespace: b.Namespace, Name: b.Name}, Mechanism: v1alpha1.MechanismMisconfigured, Field: field,
				Title: finding.Textf("PodDisruptionBudget %s/%s allows no eviction even when all is well: the next drain stops at its pods",
					"PodDisruptionBudget %s/%s는 모두 정상일 때도 eviction을 허용하지 않습니다. 다음 drain은 이 Pod에서 멈춥니다", b.Namespace, b.Name),
				Why: finding.Textf("%d of %d pods are healthy, %s is %s, and 0 disruptions are allowed", "Pod %[2]d개 중 %[1]d개가 정상이고 %[3]s 값이 %[4]s이어서 허용된 disruption이 0입니다",
					st.CurrentHealthy, st.ExpectedPods, field, value),
				Evidence: []finding.Evidence{{
					Source: fmt.Sprintf("PodDisruptionBudget %s/%s", b.Namespace, b.Name), Path: ".status.disruptionsAllowed", Value: "0",
				}},
				Remedies: finding.Remedies{Later: []finding.Remedy{{
					Text:    finding.Text{EN: "allow one pod to be away at a time (maxUnavailable: 1), or run one replica more", KO: "한 번에 하나는 빠질 수 있게 하거나(maxUnavailable: 1) replica를 하나 늘립니다"},
					Command: fmt.Sprintf("kubectl -n %s edit poddisruptionbudget %s", b.Namespace, b.Name),
				}}},
			})
		}
	},
})
