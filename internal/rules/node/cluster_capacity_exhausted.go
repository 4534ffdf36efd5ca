package node

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "ClusterCapacityExhausted",
	Title: finding.Text{
		EN: "no node has room left",
		KO: "자리가 남은 노드가 없습니다",
	},
	Doc: finding.Text{
		EN: "Pods of several workloads wait for the same resource: nodes exist that would take each of them, and all of those are full (cpu, memory, ephemeral storage, the number of pods, or a device). " +
			"The cluster is too small for what is asked of it, or something asks for too much; it is one incident, not one a workload. What an autoscaler says of it is quoted. A single workload that " +
			"finds no room stays its own finding, as do pods that ask for more than any node has, pods that a cordoned or ailing node would take, and pods for which a node is being added.",
		KO: "여러 워크로드의 Pod가 같은 자원을 기다립니다. 각 Pod를 받을 수 있는 노드는 있지만 모두 가득 찼습니다(cpu, memory, ephemeral storage, Pod 수, device). 요청에 비해 클러스터가 작거나 어떤 워크로드가 너무 많이 요청하는 것이며, " +
			"워크로드마다가 아니라 하나의 문제로 보고합니다. autoscaler의 메시지가 있으면 인용합니다. 자리를 찾지 못하는 워크로드가 하나뿐이거나, 어느 노드의 용량보다 많이 요청하는 Pod, cordon되거나 장애가 있는 노드가 받을 수 있는 Pod, 노드가 추가되는 중인 Pod는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#my-pods-are-pending-with-event-message-failedscheduling",
	Severity: finding.Warning,
	Needs:    queueNeeds(),
	For:      2 * time.Minute,
	Causes: []rule.Cause{
		{Code: "NodeReservationTooLarge", Via: rule.Cluster, Holds: claimsTheSame},
		{Code: "NodeMissing", Via: rule.Cluster, Holds: claimsTheSame},
	},
	Detect: detectClusterCapacityExhausted,
})

// claimsTheSame tells whether a cause claims a pod that the effect claims too.
func claimsTheSame(_ *snapshot.Snapshot, effect, cause finding.Finding) bool {
	claimed := make(map[finding.Subject]bool, len(cause.Explains))
	for _, s := range cause.Explains {
		claimed[s] = true
	}
	return slices.ContainsFunc(effect.Explains, func(s finding.Subject) bool { return claimed[s] })
}

// shortage is the queues that wait for one resource and the nodes that would take them.
type shortage struct {
	resource corev1.ResourceName
	waiting  []queue
	nodes    map[string]*corev1.Node
}

func detectClusterCapacityExhausted(p *rule.Pass) {
	qs := slices.DeleteFunc(queues(p.Snapshot), func(q queue) bool {
		return !strings.Contains(q.message, "Insufficient ") && !strings.Contains(q.message, "Too many pods")
	})
	if len(qs) < 2 {
		return
	}
	b := newBoard(p.Snapshot)
	short := map[corev1.ResourceName]*shortage{}
	alike := map[string]map[corev1.ResourceName][]*corev1.Node{}
	for _, q := range qs {
		sig := wishes(q.pods[0])
		full, known := alike[sig]
		if !known {
			full = fullNodes(b, newSeeker(q.pods[0]))
			alike[sig] = full
		}
		for name, nodes := range full {
			if short[name] == nil {
				short[name] = &shortage{resource: name, nodes: map[string]*corev1.Node{}}
			}
			short[name].waiting = append(short[name].waiting, q)
			for _, n := range nodes {
				short[name].nodes[n.Name] = n
			}
		}
	}
	var ordinary []*shortage
	for _, name := range sortedNames(short) {
		s := short[name]
		slices.SortStableFunc(s.waiting, func(a, b queue) int { return finding.CompareSubjects(a.workload, b.workload) })
		workloads := slices.CompactFunc(slices.Clone(s.waiting), func(a, b queue) bool { return a.workload == b.workload })
		switch {
		case len(workloads) < 2:
		case strings.Contains(string(name), "/"):
			p.Report(capacityExhausted(p, b, finding.Subject{Kind: "Resource", Name: string(name)}, []*shortage{s}))
		default:
			ordinary = append(ordinary, s)
		}
	}
	if len(ordinary) > 0 {
		p.Report(capacityExhausted(p, b, cluster, ordinary))
	}
}

func sortedNames(short map[corev1.ResourceName]*shortage) []corev1.ResourceName {
	names := make([]corev1.ResourceName, 0, len(short))
	for name := range short {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// wishes is all of a pod that decides which nodes would take it: pods with the same are judged once.
func wishes(p *corev1.Pod) string {
	var affinity *corev1.NodeAffinity
	if p.Spec.Affinity != nil {
		affinity = p.Spec.Affinity.NodeAffinity
	}
	text, err := json.Marshal([]any{p.Spec.NodeSelector, affinity, p.Spec.Tolerations, requests(p)})
	if err != nil {
		return string(p.UID) + p.Namespace + "/" + p.Name
	}
	return string(text)
}

// fullNodes returns, by resource, the nodes that would take a pod had they more left of it. It is
// empty where a cordoned or ailing node would take the pod, and where no node is large enough for it:
// then something else is wrong.
func fullNodes(b board, k seeker) map[corev1.ResourceName][]*corev1.Node {
	out := map[corev1.ResourceName][]*corev1.Node{}
	for _, n := range snapshot.List[*corev1.Node](b.s) {
		h, ok := b.between(k, n)
		switch {
		case !ok:
		case len(h.short) == 0 && !h.none() && (h.cordoned || slices.ContainsFunc(h.taints, func(t corev1.Taint) bool { return snapshot.FaultTaint(&t) })):
			return nil
		case h.onlyShortage() && slices.ContainsFunc(h.short, func(name corev1.ResourceName) bool {
			want, all := k.requests[name], n.Status.Allocatable[name]
			return want.Cmp(all) > 0
		}):
		case h.onlyShortage():
			for _, name := range h.short {
				out[name] = append(out[name], n)
			}
		}
	}
	return out
}

func capacityExhausted(p *rule.Pass, b board, subject finding.Subject, short []*shortage) finding.Finding {
	var waiting []queue
	var resources []string
	var numbers []finding.Text
	f := finding.Finding{Subject: subject, Mechanism: v1alpha1.MechanismExhausted}
	seen := map[finding.Subject]bool{}
	for _, s := range short {
		resources = append(resources, string(s.resource))
		free, all, node, most := s.room(b)
		numbers = append(numbers, finding.Format("%s: %s free of %s on %s, at most %s on one (%s)", "%s: %[4]s의 %[3]s 중 %[2]s 남음, 한 노드에 최대 %[5]s(%[6]s)", finding.Verbatim(string(s.resource)),
			finding.Verbatim(free.String()), finding.Verbatim(all.String()), finding.List(sortedKeys(s.nodes)), finding.Verbatim(most.String()), finding.Verbatim(node)))
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "nodes that the pods accept: " + finding.List(sortedKeys(s.nodes)).EN, Path: fmt.Sprintf(".status.allocatable[%s]", s.resource),
			Value: fmt.Sprintf("%s, %s not requested; at most %s on one node (%s)", all.String(), free.String(), most.String(), node),
		})
		for _, q := range s.waiting {
			if !seen[snapshot.SubjectOf(q.pods[0])] {
				seen[snapshot.SubjectOf(q.pods[0])] = true
				waiting = append(waiting, q)
			}
		}
	}
	f.Explains, f.Since = claims(waiting)
	f.Evidence = append(f.Evidence, waiting[0].evidence())
	f.Title = finding.Format("no node has enough %s left; waiting: %s, of %s", "%s 여유가 있는 노드가 없습니다. %s 대기 중: %s",
		finding.List(resources), finding.Pods(podsIn(waiting)), workloadsOf(waiting))
	if len(resources) == 1 && short[0].resource == corev1.ResourcePods {
		f.Title = finding.Format("every node runs as many pods as it may; waiting: %s, of %s", "모든 노드가 최대 Pod 수에 도달했습니다. %s 대기 중: %s",
			finding.Pods(podsIn(waiting)), workloadsOf(waiting))
	}
	f.Why = finding.Join(" ", finding.Format("Each of these pods would be taken by a node that had room, and none has: %s.", "자리만 있으면 받을 수 있는 노드가 있지만 모두 가득 찼습니다. %s.",
		finding.Join("; ", numbers...)), biggest(p, b, short[0]))
	scaling := autoscalerWord(p, waiting)
	if !scaling.says.IsZero() {
		f.Why = finding.Join(" ", f.Why, scaling.says)
		f.Evidence = append(f.Evidence, scaling.evidence)
	}
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "who asks for how much, node by node; scale down what can wait, or add a node", KO: "노드별로 누가 얼마나 요청하는지 확인하고, 미뤄도 되는 것을 줄이거나 노드를 추가합니다"},
				Command: "kubectl describe nodes | grep -A8 'Allocated resources'",
			},
		},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "keep the largest node's worth of room free, give what matters a PriorityClass, and watch requests against allocatable",
			KO: "가장 큰 노드 하나만큼의 여유를 두고, 중요한 워크로드에 PriorityClass를 지정하며, 요청량을 allocatable과 비교하여 감시합니다",
		}}},
	}
	return f
}

// room tells how much of the resource is free on the nodes together and at most on one.
func (s *shortage) room(b board) (free, all resource.Quantity, node string, most resource.Quantity) {
	for _, name := range sortedKeys(s.nodes) {
		n := s.nodes[name]
		all.Add(n.Status.Allocatable[s.resource])
		rest := b.freeOn(n)[s.resource]
		if rest.Sign() > 0 {
			free.Add(rest)
		}
		if node == "" || rest.Cmp(most) > 0 {
			node, most = name, rest
		}
	}
	return free, all, node, most
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// biggest names the workload that asks for the most of a resource on the full nodes.
func biggest(p *rule.Pass, b board, s *shortage) finding.Text {
	if s.resource == corev1.ResourcePods {
		return finding.Text{}
	}
	total := map[finding.Subject]*resource.Quantity{}
	var top finding.Subject
	for _, name := range sortedKeys(s.nodes) {
		for _, pod := range p.PodsOn(name) {
			if snapshot.PodDone(pod) {
				continue
			}
			w := p.Workload(pod)
			if total[w] == nil {
				total[w] = &resource.Quantity{}
			}
			total[w].Add(requests(pod)[s.resource])
			if top == (finding.Subject{}) || cmp.Or(total[w].Cmp(*total[top]), finding.CompareSubjects(top, w)) > 0 {
				top = w
			}
		}
	}
	if top == (finding.Subject{}) || total[top].IsZero() {
		return finding.Text{}
	}
	_, all, _, _ := s.room(b)
	return finding.Textf("%s asks for the most %s there: %s of %s.", "그 노드들에서 %[2]s를 가장 많이 요청하는 것은 %[1]s입니다(%[4]s 중 %[3]s).",
		finding.Named(top), s.resource, total[top].String(), all.String())
}

// word is what somebody says of a fault, and where.
type word struct {
	says     finding.Text
	evidence finding.Evidence
}

// autoscalerWord is what an autoscaler last said about waiting pods
// (https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md,
// "What events are emitted by CA?").
func autoscalerWord(p *rule.Pass, waiting []queue) word {
	var newest *corev1.Event
	for _, q := range waiting {
		for _, e := range p.PodEvents(q.pods[0]) {
			if (e.Reason == "NotTriggerScaleUp" || e.Reason == "FailedScaleUp" || e.Reason == "FailedToScaleUpGroup" || e.Reason == "ScaleUpTimedOut") &&
				(newest == nil || snapshot.EventTime(e).After(snapshot.EventTime(newest))) {
				newest = e
			}
		}
	}
	if newest == nil {
		return word{}
	}
	return word{
		says:     finding.Format("The autoscaler adds no node: %s.", "autoscaler가 노드를 추가하지 않습니다: %s.", finding.Verbatim(strings.TrimSuffix(finding.Quote(newest.Message), "."))),
		evidence: eventEvidence(newest),
	}
}
