package workload

import (
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "DisruptionBudgetIneffective",
	Title: finding.Text{EN: "disruption budget guards nothing", KO: "disruption budget이 보호하는 Pod가 없습니다"},
	Doc: finding.Text{
		EN: "A PodDisruptionBudget selects no pod and the template of no workload, so a drain may take all that it was meant to guard, or the controller " +
			"manager cannot work out how many pods it expects (SyncFailed) and every eviction is refused. Left alone: budgets of workloads scaled to " +
			"zero, and of the last hour.",
		KO: "PodDisruptionBudget이 어떤 Pod나 워크로드의 template도 선택하지 않아 보호 효과가 없거나, controller manager가 기대 Pod 수를 계산하지 못해(SyncFailed) 모든 축출이 거부됩니다. " +
			"replicas가 0인 워크로드의 budget과 만든 지 한 시간이 안 된 budget은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/run-application/configure-pdb/",
	Severity: finding.Info,
	Needs: []rule.Need{
		rule.Any[*policyv1.PodDisruptionBudget](), rule.Whole[*corev1.Pod](), rule.Whole[*appsv1.Deployment](), rule.Whole[*appsv1.StatefulSet](),
		rule.Whole[*appsv1.DaemonSet](), rule.Whole[*appsv1.ReplicaSet](), rule.Optional[*batchv1.Job](), rule.Optional[*corev1.ReplicationController](),
	},
	For:    time.Hour,
	Detect: disruptionBudgetIneffective,
})

func disruptionBudgetIneffective(p *rule.Pass) {
	all := budgetsByNamespace(p.Snapshot)
	if len(all) == 0 {
		return
	}
	guarded := labelsInUse(p, all)
	for _, namespace := range slices.Sorted(maps.Keys(all)) {
		for _, b := range all[namespace] {
			if f, ok := b.ineffective(guarded); ok {
				p.Report(f)
			}
		}
	}
}

// label is a pair that pods of a namespace carry; the pair is empty for all pods of the namespace.
type label struct{ namespace, key, value string }

// labelsInUse returns the labels of every pod, and of every workload's pods, of the namespaces that have
// budgets, by each of their pairs.
func labelsInUse(p *rule.Pass, budgets map[string][]budget) map[label][]labels.Set {
	out := map[label][]labels.Set{}
	add := func(namespace string, set map[string]string) {
		if budgets[namespace] == nil {
			return
		}
		out[label{namespace: namespace}] = append(out[label{namespace: namespace}], set)
		for key, value := range set {
			out[label{namespace, key, value}] = append(out[label{namespace, key, value}], set)
		}
	}
	for _, r := range replicasOf(p) {
		add(r.subject.Namespace, r.template.Labels)
	}
	for _, rs := range snapshot.List[*appsv1.ReplicaSet](p.Snapshot) {
		add(rs.Namespace, rs.Spec.Template.Labels)
	}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		add(pod.Namespace, pod.Labels)
	}
	return out
}

// selectsAny tells whether a budget selects any of the labels in use. It looks only at those that have
// the pair of its selector that is the rarest.
func (b budget) selectsAny(used map[label][]labels.Set) bool {
	candidates := used[label{namespace: b.object.Namespace}]
	if b.object.Spec.Selector != nil {
		for key, value := range b.object.Spec.Selector.MatchLabels {
			if with := used[label{b.object.Namespace, key, value}]; len(with) < len(candidates) {
				candidates = with
			}
		}
	}
	return slices.ContainsFunc(candidates, func(set labels.Set) bool { return b.selector.Matches(set) })
}

func (b budget) ineffective(used map[label][]labels.Set) (finding.Finding, bool) {
	subject := snapshot.SubjectOf(b.object)
	f := finding.Finding{Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Since: finding.Later(b.object.CreationTimestamp.Time, snapshot.SpecWritten(b.object))}
	if c := b.condition(); c != nil && c.Reason == policyv1.SyncFailedReason {
		f.Since = c.LastTransitionTime.Time
		f.Title = finding.Textf("%s: cannot be worked out, and refuses every eviction", "%s: 계산할 수 없어 모든 축출을 거부합니다", finding.Named(subject))
		f.Why = quoted(c.Message)
		f.Evidence = []finding.Evidence{{
			Source: finding.Named(subject), Path: ".status.conditions[DisruptionAllowed].message", Value: finding.Quote(c.Message), At: finding.Timestamp(f.Since),
		}}
		f.Remedies.Now = []finding.Remedy{{
			Text:    finding.Text{EN: "pods without a controller that has a scale need an integer minAvailable", KO: "scale을 지원하는 controller가 없는 Pod에는 정수 minAvailable이 필요합니다"},
			Command: fmt.Sprintf("kubectl -n %s edit poddisruptionbudget %s", b.object.Namespace, b.object.Name),
		}}
		return f, true
	}
	if b.selectsAny(used) {
		return finding.Finding{}, false
	}
	f.Field = ".spec.selector"
	f.Title = finding.Textf("%s: selects no pod", "%s: 선택되는 Pod가 없습니다", finding.Named(subject))
	f.Why = finding.Textf("no pod and no workload of the namespace has the labels %q", "이 namespace에는 레이블 %q에 맞는 Pod와 워크로드가 없습니다", b.selector.String())
	f.Evidence = []finding.Evidence{{Source: finding.Named(subject), Path: ".spec.selector", Value: b.selector.String()}}
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Text{EN: "compare its selector with the labels of the pods that it is meant for", KO: "보호하려는 Pod의 레이블과 selector를 비교합니다"},
		Command: fmt.Sprintf("kubectl -n %s get pods --show-labels", b.object.Namespace),
	}}
	return f, true
}
