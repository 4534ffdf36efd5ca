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
	Code:  "BarePods",
	Title: finding.Text{EN: "pods that nobody replaces", KO: "사라져도 다시 만들어지지 않는 Pod"},
	Doc: finding.Text{
		EN: "Pods run without a controller: when their node is lost or drained they are gone for good. One finding a namespace. Left alone: static pods, which their node keeps, " +
			"pods that have run to their end, and pods that any object owns.",
		KO: "controller 없이 실행되는 Pod입니다. 노드를 잃거나 drain하면 그대로 사라집니다. namespace마다 하나로 알립니다. 노드가 직접 관리하는 static pod, 이미 끝난 Pod, 다른 객체가 소유한 Pod는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/#working-with-pods",
	Severity: finding.Info,
	Risk:     true,
	Needs:    []rule.Need{rule.Any[*corev1.Pod]()},
	Detect: func(p *rule.Pass) {
		in := map[string][]*corev1.Pod{}
		var order []string
		for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
			if len(pod.OwnerReferences) > 0 || snapshot.StaticPod(pod) || snapshot.PodDone(pod) || pod.DeletionTimestamp != nil {
				continue
			}
			if in[pod.Namespace] == nil {
				order = append(order, pod.Namespace)
			}
			in[pod.Namespace] = append(in[pod.Namespace], pod)
		}
		slices.Sort(order)
		for _, ns := range order {
			var pods []string
			var subjects []finding.Subject
			for _, pod := range in[ns] {
				pods = append(pods, pod.Name)
				subjects = append(subjects, finding.Subject{Kind: "Pod", Namespace: ns, Name: pod.Name})
			}
			p.Report(finding.Finding{
				Subject: finding.Subject{Kind: "Namespace", Name: ns}, Mechanism: v1alpha1.MechanismDegraded,
				Title:    finding.Format("namespace %s: pods without a controller: %s", "%s namespace: controller가 없는 Pod: %s", finding.Verbatim(ns), finding.List(pods)),
				Why:      finding.Format("%s without an owner: when their node is lost or drained, nobody makes them anew", "owner가 없는 %s: 노드를 잃거나 drain하면 다시 만들어 줄 controller가 없습니다", finding.Pods(len(pods))),
				Explains: subjects,
				Remedies: finding.Remedies{Later: []finding.Remedy{{
					Text:    finding.Text{EN: "run it as a Deployment, StatefulSet or Job; its present spec is a start", KO: "Deployment, StatefulSet, Job으로 실행합니다. 현재 spec에서 시작할 수 있습니다"},
					Command: "kubectl -n " + ns + " get pod " + pods[0] + " -o yaml",
				}}},
			})
		}
	},
})
