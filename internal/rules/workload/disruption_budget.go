package workload

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/maek-dev/maek/internal/snapshot"
)

// budget is a PodDisruptionBudget with its selector read.
type budget struct {
	object   *policyv1.PodDisruptionBudget
	selector labels.Selector
}

// budgetsByNamespace reads every PodDisruptionBudget, in order. One whose selector does not parse
// selects nothing.
func budgetsByNamespace(s *snapshot.Snapshot) map[string][]budget {
	all := map[string][]budget{}
	for _, b := range snapshot.List[*policyv1.PodDisruptionBudget](s) {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || b.DeletionTimestamp != nil {
			continue
		}
		all[b.Namespace] = append(all[b.Namespace], budget{b, selector})
	}
	return all
}

// over returns the budgets that guard a pod.
func over(pod *corev1.Pod, budgets map[string][]budget) []budget {
	var out []budget
	for _, b := range budgets[pod.Namespace] {
		if b.selector.Matches(labels.Set(pod.Labels)) {
			out = append(out, b)
		}
	}
	return out
}

// refusesEviction tells whether the API server would refuse to evict a pod because of a budget
// (k8s.io/kubernetes/pkg/registry/core/pod/storage, EvictionREST.Create and checkAndDecrement).
func (b budget) refusesEviction(pod *corev1.Pod) bool {
	status := b.object.Status
	if status.DisruptionsAllowed > 0 {
		return false
	}
	if snapshot.PodReady(pod) {
		return true
	}
	policy := b.object.Spec.UnhealthyPodEvictionPolicy
	if policy != nil && *policy == policyv1.AlwaysAllow {
		return false
	}
	return status.CurrentHealthy < status.DesiredHealthy || status.DesiredHealthy == 0
}

// never tells whether a budget allows no disruption even with every pod healthy.
func (b budget) never() bool {
	status := b.object.Status
	return status.ExpectedPods > 0 && status.DesiredHealthy >= status.ExpectedPods
}

// condition is the budget's DisruptionAllowed condition, or nil.
func (b budget) condition() *metav1.Condition {
	for i := range b.object.Status.Conditions {
		if b.object.Status.Conditions[i].Type == policyv1.DisruptionAllowedCondition {
			return &b.object.Status.Conditions[i]
		}
	}
	return nil
}
