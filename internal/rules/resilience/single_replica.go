package resilience

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "SingleReplica",
	Title: finding.Text{EN: "Services stand on one replica", KO: "Service가 replica 하나에 의존합니다"},
	Doc: finding.Text{
		EN: "Workloads behind a Service run with one replica: the loss of its node, a drain or a restart of the pod leaves the Service without endpoints until it runs elsewhere. One finding " +
			"a namespace. Left alone: workloads that no Service selects (workers, operators with leader election), and those scaled to zero.",
		KO: "Service 뒤의 워크로드가 replica 하나로 실행됩니다. 노드를 잃거나, drain하거나, Pod가 다시 시작하면 다른 곳에서 실행될 때까지 Service에 endpoint가 없습니다. namespace마다 하나로 알립니다. " +
			"Service가 선택하지 않는 워크로드(worker, leader election을 쓰는 operator)와 replica가 0인 워크로드는 대상이 아닙니다.",
	},
	Link:     mitigations,
	Severity: finding.Info,
	Risk:     true,
	Needs:    append(workloadNeeds(), rule.Any[*corev1.Service]()),
	Detect: func(p *rule.Pass) {
		in := map[string][]workload{}
		var order []string
		for _, w := range workloads(p.Snapshot) {
			if w.replicas != 1 || len(w.services(p.Snapshot)) == 0 {
				continue
			}
			ns := w.subject.Namespace
			if in[ns] == nil {
				order = append(order, ns)
			}
			in[ns] = append(in[ns], w)
		}
		slices.Sort(order)
		for _, ns := range order {
			ws := in[ns]
			first := ws[0].subject
			p.Report(finding.Finding{
				Subject: finding.Subject{Kind: "Namespace", Name: ns}, Mechanism: v1alpha1.MechanismDegraded,
				Title: finding.Format("namespace %s: one replica carries a Service: %s", "%s namespace: replica 하나로 Service를 맡은 워크로드: %s", finding.Verbatim(ns), finding.List(names(ws))),
				Why: finding.Text{
					EN: "each has one replica and a Service in front; the loss of that pod's node leaves the Service without endpoints until the pod runs elsewhere (5 minutes until eviction, then its start)",
					KO: "replica가 하나이고 앞에 Service가 있습니다. 그 Pod의 노드를 잃으면 다른 노드에서 실행될 때까지(eviction까지 5분, 이후 시작 시간) Service에 endpoint가 없습니다",
				},
				Explains: subjects(p.Snapshot, ws),
				Remedies: finding.Remedies{Later: []finding.Remedy{{
					Text:    finding.Text{EN: "run two, if the application may run twice", KO: "동시에 둘을 실행해도 되는 애플리케이션이면 replica를 2로 늘립니다"},
					Command: "kubectl -n " + ns + " scale " + kubectlName(first) + " --replicas=2",
				}}},
			})
		}
	},
})
