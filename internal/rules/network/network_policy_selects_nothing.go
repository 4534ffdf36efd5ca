package network

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "NetworkPolicySelectsNothing",
	Title: finding.Text{EN: "NetworkPolicy selects no pod", KO: "NetworkPolicy가 선택하는 Pod가 없습니다"},
	Doc: finding.Text{
		EN: "The podSelector of a NetworkPolicy matches no pod and no workload of its namespace, so it protects nothing that was meant to be protected. A remark. Left alone: policies for all pods, " +
			"namespaces without pods, and policies for workloads that are scaled to zero or come with Jobs.",
		KO: "NetworkPolicy의 podSelector와 일치하는 Pod나 워크로드가 namespace에 없어, 보호하려던 대상을 보호하지 못합니다. 참고로 알립니다. 모든 Pod를 선택하는 정책, Pod가 없는 namespace, replicas가 0이거나 Job으로 생기는 워크로드의 정책은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-resource",
	Severity: finding.Info,
	Needs:    slices.Concat(policyKinds(), []rule.Need{rule.Whole[*corev1.Pod]()}, templateKinds()),
	Detect:   networkPolicySelectsNothing,
})

func networkPolicySelectsNothing(p *rule.Pass) {
	all := readPolicies(p.Snapshot)
	if len(all.byNamespace) == 0 || !templatesKnown(p) {
		return
	}
	made := map[labelPair][]template{}
	for namespace, templates := range templates(p) {
		for _, t := range templates {
			made[labelPair{namespace: namespace}] = append(made[labelPair{namespace: namespace}], t)
			for k, v := range t.labels {
				made[labelPair{namespace, k, v}] = append(made[labelPair{namespace, k, v}], t)
			}
		}
	}
	pods := map[string][]*corev1.Pod{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if len(all.byNamespace[pod.Namespace]) > 0 {
			pods[pod.Namespace] = append(pods[pod.Namespace], pod)
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(all.byNamespace)) {
		if len(pods[namespace]) == 0 {
			continue
		}
		for _, np := range all.byNamespace[namespace] {
			// What carries one of the labels is few; only a selector of expressions alone is held against all.
			candidates, templates := pods[namespace], made[labelPair{namespace: namespace}]
			if equal := np.Spec.PodSelector.MatchLabels; len(equal) > 0 {
				candidates = p.PodsSelected(namespace, equal)
				for k, v := range equal {
					templates = made[labelPair{namespace, k, v}]
				}
			}
			if np.selector.Empty() ||
				slices.ContainsFunc(candidates, func(pod *corev1.Pod) bool { return np.selector.Matches(labels.Set(pod.Labels)) }) ||
				slices.ContainsFunc(templates, func(t template) bool { return np.selector.Matches(labels.Set(t.labels)) }) {
				continue
			}
			subject := snapshot.SubjectOf(np.NetworkPolicy)
			selector := metav1.FormatLabelSelector(&np.Spec.PodSelector)
			p.Report(finding.Finding{
				Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Field: ".spec.podSelector", Since: policyWritten(np),
				Title:    finding.Textf("%s: selects no pod (%s)", "%s: 선택하는 Pod가 없습니다(%s)", finding.Named(subject), selector),
				Why:      finding.Textf("no pod and no workload of namespace %s carries these labels", "namespace %s에 이 레이블을 가진 Pod나 워크로드가 없습니다", namespace),
				Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".spec.podSelector", Value: selector, At: finding.Timestamp(policyWritten(np))}},
				Remedies: finding.Remedies{Now: []finding.Remedy{{
					Text:    finding.Text{EN: "see which labels pods carry there, and correct the selector or delete the policy", KO: "Pod의 레이블을 확인하고 selector를 바로잡거나 정책을 삭제합니다"},
					Command: fmt.Sprintf("kubectl -n %s get pods --show-labels", namespace),
				}}},
			})
		}
	}
}
