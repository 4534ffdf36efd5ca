package probes

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "UnreadyPodsHoldDrain",
	Title: finding.Textf("pods that are not ready will hold up a drain", "Ready가 아닌 Pod가 drain을 막습니다"),
	Doc: finding.Textf(
		"A PodDisruptionBudget has fewer healthy pods than it wants, and pods of it that run without having been ready for ten minutes: as it does not say AlwaysAllow, not even those may be evicted, so that the next drain of their nodes waits for pods "+
			"that serve nobody. Left alone: budgets that are met, those with unhealthyPodEvictionPolicy AlwaysAllow, pods that are on their way, and nodes that are being drained already (DisruptionBudgetBlocks).",
		"PodDisruptionBudget이 원하는 것보다 정상 Pod가 적고, 그 대상 가운데 10분 동안 Ready가 아닌 채 실행 중인 Pod가 있습니다. AlwaysAllow가 아니므로 이런 Pod조차 축출할 수 없어 다음에 노드를 drain하면 아무것도 서비스하지 않는 Pod 때문에 멈춥니다. "+
			"조건을 충족하는 budget, unhealthyPodEvictionPolicy가 AlwaysAllow인 것, 시작 중인 Pod, 이미 drain 중인 노드(DisruptionBudgetBlocks)는 제외합니다."),
	Link:     "https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(rule.Any[*policyv1.PodDisruptionBudget](), rule.Optional[*corev1.Node]()),
	Detect: func(p *rule.Pass) {
		for _, b := range snapshot.List[*policyv1.PodDisruptionBudget](p.Snapshot) {
			always := b.Spec.UnhealthyPodEvictionPolicy != nil && *b.Spec.UnhealthyPodEvictionPolicy == policyv1.AlwaysAllow
			st := b.Status
			if always || st.ExpectedPods == 0 || st.CurrentHealthy >= st.DesiredHealthy || st.ObservedGeneration < b.Generation || b.Spec.Selector == nil {
				continue
			}
			if pods := unreadyOf(p, b); len(pods) > 0 {
				p.Report(drainFinding(b, pods))
			}
		}
	},
})

// unreadyLong is how long a pod must have been unready to count as one that serves nobody.
const unreadyLong = 10 * time.Minute

// unreadyOf are the pods of a budget that run and have long been unready.
func unreadyOf(p *rule.Pass, b *policyv1.PodDisruptionBudget) []*corev1.Pod {
	selector, err := metav1.LabelSelectorAsMap(b.Spec.Selector)
	if err != nil {
		return nil
	}
	var out []*corev1.Pod
	for _, pod := range p.PodsSelected(b.Namespace, selector) {
		node, known := snapshot.Get[*corev1.Node](p.Snapshot, "", pod.Spec.NodeName)
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil && !snapshot.PodReady(pod) &&
			p.Now().Sub(snapshot.NotReadySince(pod)) > unreadyLong && !p.PodStarting(pod) && (!known || !node.Spec.Unschedulable) {
			out = append(out, pod)
		}
	}
	return out
}

func drainFinding(b *policyv1.PodDisruptionBudget, pods []*corev1.Pod) finding.Finding {
	subject := finding.Subject{Kind: "PodDisruptionBudget", Namespace: b.Namespace, Name: b.Name}
	policy := "IfHealthyBudget"
	if b.Spec.UnhealthyPodEvictionPolicy != nil {
		policy = string(*b.Spec.UnhealthyPodEvictionPolicy)
	}
	return finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Field: ".spec.unhealthyPodEvictionPolicy", Since: unreadySince(pods), Explains: subjectsOf(pods),
		Title: finding.Format("%s: pods that long have not been Ready cannot be evicted (%s), and hold up the next drain of their nodes", "%s: 오래 Ready가 아닌 Pod를 축출할 수 없어(%s) 다음 drain이 막힙니다",
			finding.Verbatim(finding.Named(subject)), finding.Pods(len(pods))),
		Why: finding.Textf("%d of its %d pods are healthy and it wants %d; with the policy %s a pod that is not Ready may only be evicted while the budget is met",
			"정상 Pod가 전체 %[2]d개 중 %[1]d개이고 필요한 수는 %[3]d개입니다; 정책이 %[4]s이면 Ready가 아닌 Pod는 budget을 충족할 때만 축출할 수 있습니다",
			b.Status.CurrentHealthy, b.Status.ExpectedPods, b.Status.DesiredHealthy, policy),
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".status.currentHealthy", Value: strconv.Itoa(int(b.Status.CurrentHealthy))}},
		Remedies: finding.Remedies{Later: []finding.Remedy{{
			Text:    finding.Textf("let pods go that serve nobody anyway", "어차피 서비스하지 않는 Pod는 축출할 수 있게 합니다"),
			Command: fmt.Sprintf(`kubectl -n %s patch poddisruptionbudget/%s --type=merge -p '{"spec":{"unhealthyPodEvictionPolicy":"AlwaysAllow"}}'`, b.Namespace, b.Name),
		}}},
	}
}
