package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
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
	Code:  "DisruptionBudgetBlocks",
	Title: finding.Text{EN: "disruption budget holds up a drain", KO: "disruption budget 때문에 drain이 진행되지 않습니다"},
	Doc: finding.Text{
		EN: "A Node is being drained, all that could be evicted from it is gone, and the API server refuses to evict what is left: a PodDisruptionBudget " +
			"allows no disruption, or several budgets select one pod, which evictions do not bear. Maintenance and upgrades wait. Left alone: budgets that " +
			"allow nothing while nobody drains, Nodes that are only cordoned (pods that nothing protects are still there), and drains that wait a few " +
			"minutes for a pod to get ready elsewhere.",
		KO: "Node를 drain하는 중이고 축출할 수 있는 Pod는 모두 나갔으나, 남은 Pod의 축출을 API server가 거부합니다. PodDisruptionBudget이 중단을 허용하지 않거나, 하나의 Pod에 " +
			"여러 budget이 걸려 축출할 수 없는 경우입니다. 유지 보수와 업그레이드가 진행되지 않습니다. drain 중이 아닌 budget, " +
			"cordon만 된 Node(보호받지 않는 Pod가 남아 있음), 다른 곳에서 Pod가 Ready가 되기를 몇 분 기다리는 drain은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*policyv1.PodDisruptionBudget](), rule.Any[*corev1.Node](), rule.Whole[*corev1.Pod](),
	}, rule.Owners()),
	For:    10 * time.Minute,
	Detect: disruptionBudgetBlocks,
})

// drainTaints are put on a Node by what drains it by itself: the cluster autoscaler
// (k8s.io/autoscaler/cluster-autoscaler/utils/taints) and Karpenter (sigs.k8s.io/karpenter/pkg/apis/v1).
var drainTaints = []string{"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/disruption"}

// blocked is what a budget holds up.
type blocked struct {
	budget budget
	pods   []*corev1.Pod
	// since is when the drain of the first of their Nodes began; zero where nothing says.
	since time.Time
	// others are budgets that select the same pods.
	others []string
}

func disruptionBudgetBlocks(p *rule.Pass) {
	var drained []*corev1.Node
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		if isDrained(n) {
			drained = append(drained, n)
		}
	}
	if len(drained) == 0 {
		return
	}
	budgets := budgetsByNamespace(p.Snapshot)
	held := map[finding.Subject]*blocked{}
	for _, n := range drained {
		left, waits := evictable(p, n, budgets)
		if !waits {
			continue
		}
		for _, pod := range left {
			over := over(pod, budgets)
			subject := snapshot.SubjectOf(over[0].object)
			h := held[subject]
			if h == nil {
				h = &blocked{budget: over[0]}
				held[subject] = h
			}
			h.pods = append(h.pods, pod)
			h.since = finding.Earlier(h.since, drainSince(n))
			for _, b := range over[1:] {
				h.others = append(h.others, b.object.Name)
			}
		}
	}
	for _, subject := range slices.SortedFunc(maps.Keys(held), finding.CompareSubjects) {
		p.Report(held[subject].finding(p))
	}
}

func isDrained(n *corev1.Node) bool {
	return n.Spec.Unschedulable || slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return slices.Contains(drainTaints, t.Key) })
}

// drainSince is when a Node was taken out of scheduling; zero where nothing says.
func drainSince(n *corev1.Node) time.Time {
	for _, t := range n.Spec.Taints {
		if (t.Key == corev1.TaintNodeUnschedulable || slices.Contains(drainTaints, t.Key)) && t.TimeAdded != nil {
			return t.TimeAdded.Time
		}
	}
	return time.Time{}
}

// drainEvidence is where a Node says that it is drained.
func drainEvidence(n *corev1.Node) finding.Evidence {
	e := finding.Evidence{Source: finding.Named(snapshot.SubjectOf(n)), Path: ".spec.unschedulable", Value: "true", At: finding.Timestamp(drainSince(n))}
	for _, t := range n.Spec.Taints {
		if slices.Contains(drainTaints, t.Key) {
			e.Path, e.Value = ".spec.taints", t.ToString()
		}
	}
	return e
}

// evictable returns the pods that a drain of a Node has yet to evict, and whether every one of them is
// one that the API server refuses to evict: as long as it is not so, the Node is only cordoned, or the
// drain gets on.
func evictable(p *rule.Pass, n *corev1.Node, budgets map[string][]budget) (left []*corev1.Pod, waits bool) {
	for _, pod := range p.PodsOn(n.Name) {
		if snapshot.StaticPod(pod) || snapshot.PodDone(pod) || pod.DeletionTimestamp != nil {
			continue
		}
		if ref := metav1.GetControllerOfNoCopy(pod); ref != nil && ref.Kind == "DaemonSet" {
			continue
		}
		over := over(pod, budgets)
		if len(over) == 0 || (len(over) == 1 && !over[0].refusesEviction(pod)) {
			return nil, false
		}
		left = append(left, pod)
	}
	return left, len(left) > 0
}

func (h *blocked) finding(p *rule.Pass) finding.Finding {
	b := h.budget.object
	subject, nodes := snapshot.SubjectOf(b), nodesOf(h.pods)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismRefused, Since: h.since,
		Title: finding.Format("%s: holds up the drain of %s", "%s: 노드 %s의 drain을 막고 있습니다", finding.Verbatim(finding.Named(subject)), finding.List(nodes)),
		Evidence: []finding.Evidence{{
			Source: finding.Named(subject), Path: ".status.disruptionsAllowed", Value: fmt.Sprintf("%d (healthy %d, desired %d, expected %d)",
				b.Status.DisruptionsAllowed, b.Status.CurrentHealthy, b.Status.DesiredHealthy, b.Status.ExpectedPods),
		}},
	}
	for _, name := range nodes {
		if n, ok := snapshot.Get[*corev1.Node](p.Snapshot, "", name); ok {
			f.Evidence = append(f.Evidence, drainEvidence(n))
		}
	}
	if c := h.budget.condition(); c != nil && c.Status == metav1.ConditionFalse {
		f.Since = finding.Later(f.Since, c.LastTransitionTime.Time)
	}
	names := make([]string, 0, len(h.pods))
	for _, pod := range h.pods {
		names = append(names, pod.Name)
	}
	left := finding.Format("left on the Node: %s", "Node에 남은 Pod: %s", finding.List(names))
	get := finding.Remedy{
		Text:    finding.Text{EN: "see what it allows", KO: "허용되는 중단 수를 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s get poddisruptionbudget %s", b.Namespace, b.Name),
	}
	switch {
	case len(h.others) > 0:
		f.Mechanism, f.Field = v1alpha1.MechanismMisconfigured, ".spec.selector"
		f.Why = finding.Join("; ", finding.Format("its pods are selected by another PodDisruptionBudget too, and such pods cannot be evicted: %s",
			"다른 PodDisruptionBudget도 같은 Pod를 선택하며, 이런 Pod는 축출할 수 없습니다: %s", finding.List(h.others)), left)
		f.Remedies.Now = []finding.Remedy{{
			Text:    finding.Text{EN: "leave one budget for a pod: delete or narrow the other", KO: "Pod마다 budget이 하나만 걸리도록 나머지를 삭제하거나 selector를 좁힙니다"},
			Command: fmt.Sprintf("kubectl -n %s get poddisruptionbudget %s %s", b.Namespace, b.Name, strings.Join(slices.Compact(slices.Sorted(slices.Values(h.others))), " ")),
		}}
	case h.budget.never():
		f.Mechanism, f.Field = v1alpha1.MechanismMisconfigured, h.budget.boundField()
		f.Why = finding.Join("; ", finding.Textf("it wants %d of %d healthy, so that none may ever be evicted",
			"Pod %[2]d개 중 %[1]d개가 healthy여야 하므로 하나도 축출할 수 없습니다", b.Status.DesiredHealthy, b.Status.ExpectedPods), left)
		f.Remedies.Now = []finding.Remedy{
			get,
			{
				Text:    finding.Text{EN: "run one pod more while the Node is drained, or let the budget allow one disruption", KO: "drain하는 동안 replicas를 하나 늘리거나, budget이 한 개의 중단을 허용하도록 바꿉니다"},
				Command: fmt.Sprintf("kubectl -n %s edit poddisruptionbudget %s", b.Namespace, b.Name),
			},
		}
	default:
		f.Mechanism = v1alpha1.MechanismRefused
		f.Why = finding.Join("; ", finding.Textf("it wants %d healthy pods and %d of %d are", "healthy Pod가 %d개 필요하나 %[3]d개 중 %[2]d개만 healthy입니다",
			b.Status.DesiredHealthy, b.Status.CurrentHealthy, b.Status.ExpectedPods), left)
		for _, pod := range h.pods {
			f.WaitsFor = append(f.WaitsFor, p.Workload(pod))
		}
		slices.SortFunc(f.WaitsFor, finding.CompareSubjects)
		f.WaitsFor = slices.Compact(f.WaitsFor)
		f.Remedies.Now = []finding.Remedy{get, {
			Text:    finding.Text{EN: "see which of its pods are not ready, and mend those first", KO: "Ready가 아닌 Pod를 먼저 복구합니다"},
			Command: fmt.Sprintf("kubectl -n %s get pods -o wide -l '%s'", b.Namespace, h.budget.selector),
		}}
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "use maxUnavailable: 1 rather than minAvailable: with it a budget follows the number of replicas, and unhealthyPodEvictionPolicy: AlwaysAllow lets pods go that do not serve anyway",
		KO: "minAvailable 대신 maxUnavailable: 1을 사용하면 replicas 수에 맞춰집니다. unhealthyPodEvictionPolicy: AlwaysAllow를 지정하면 서비스하지 않는 Pod는 축출할 수 있습니다",
	}}}
	return f
}

// boundField is the field in which a budget says how much it bears.
func (b budget) boundField() string {
	if b.object.Spec.MaxUnavailable != nil {
		return ".spec.maxUnavailable"
	}
	return ".spec.minAvailable"
}
