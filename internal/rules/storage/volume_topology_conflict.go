package storage

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "VolumeTopologyConflict",
	Title: finding.Text{EN: "volume and pod want different nodes", KO: "volume과 Pod가 서로 다른 노드를 요구합니다"},
	Doc: finding.Text{
		EN: "A pod cannot be scheduled because its volume can be used on some nodes only, and the pod's node selector or affinity allows none of them; or " +
			"because two of its volumes lie apart; or because the nodes of its volume do not exist. It is reckoned from the PersistentVolume, the pod and the nodes, not from " +
			"the scheduler's words alone. Left alone: pods whose volume and placement agree on a node that is full, cordoned or down, which is that node's matter.",
		KO: "Pod의 volume은 일부 노드에서만 사용할 수 있는데 Pod의 node selector나 affinity가 그 노드를 허용하지 않거나, Pod의 두 volume이 서로 다른 곳에 있거나, volume이 있는 노드가 존재하지 않아 배정되지 못합니다. " +
			"scheduler 메시지만이 아니라 PersistentVolume, Pod, 노드를 직접 비교하여 판단합니다. volume과 Pod의 조건이 일치하는 노드가 가득 찼거나, cordon되었거나, 멈춘 경우는 그 노드의 문제이므로 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/persistent-volumes/#node-affinity",
	Severity: finding.Warning,
	Needs:    owners(rule.Any[*corev1.PersistentVolumeClaim](), rule.Any[*corev1.PersistentVolume](), rule.Whole[*corev1.Node]()),
	For:      time.Minute,
	Detect:   volumeTopologyConflict,
})

// misplaced is a pod whose volume no node that it may run on can use.
type misplaced struct {
	pod    *corev1.Pod
	claim  *corev1.PersistentVolumeClaim
	volume *corev1.PersistentVolume
	other  *corev1.PersistentVolume // the other volume, where two lie apart
	wanted []*corev1.Node
	since  time.Time
}

func volumeTopologyConflict(p *rule.Pass) {
	found := map[finding.Subject][]misplaced{}
	var order []finding.Subject
	hosts := nodesByHostname(p.Snapshot)
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		c := snapshot.PodCondition(pod, corev1.PodScheduled)
		if c == nil || c.Status != corev1.ConditionFalse || pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || snapshot.PodDone(pod) {
			continue
		}
		if m, ok := conflict(p.Snapshot, hosts, pod); ok {
			m.since = c.LastTransitionTime.Time
			subject := snapshot.SubjectOf(m.claim)
			if found[subject] == nil {
				order = append(order, subject)
			}
			found[subject] = append(found[subject], m)
		}
	}
	slices.SortFunc(order, finding.CompareSubjects)
	for _, subject := range order {
		p.Report(topologyConflict(p, subject, found[subject]))
	}
}

// placed is a bound claim of a pod with a volume that only some nodes can use.
type placed struct {
	claim  *corev1.PersistentVolumeClaim
	volume *corev1.PersistentVolume
	terms  []corev1.NodeSelectorTerm
}

// conflict finds the first of a pod's volumes that leaves no node. Where none does it mostly finds a
// node that will do after a few.
func conflict(s *snapshot.Snapshot, hosts map[string][]*corev1.Node, pod *corev1.Pod) (misplaced, bool) {
	var volumes []placed
	for name := range claimNames(pod) {
		c, ok := snapshot.Get[*corev1.PersistentVolumeClaim](s, pod.Namespace, name)
		if !ok || c.Status.Phase != corev1.ClaimBound {
			continue
		}
		if v, ok := snapshot.Get[*corev1.PersistentVolume](s, "", c.Spec.VolumeName); ok {
			if terms, bound := volumeTerms(v); bound {
				volumes = append(volumes, placed{claim: c, volume: v, terms: terms})
			}
		}
	}
	fits := func(volumes []placed) bool {
		nodes := snapshot.List[*corev1.Node](s)
		for _, v := range volumes {
			if host, local := onlyNode(v.volume); local {
				nodes = hosts[host]
			}
		}
		return slices.ContainsFunc(nodes, func(n *corev1.Node) bool {
			return !slices.ContainsFunc(volumes, func(v placed) bool { return !snapshot.NodeSelected(v.terms, n) }) && snapshot.NodeWanted(pod, n)
		})
	}
	if len(volumes) == 0 || fits(volumes) {
		return misplaced{}, false
	}
	wanted := wantedBy(s, pod)
	if len(wanted) == 0 {
		return misplaced{}, false // No node is as the pod wants it: not the volume's matter.
	}
	for i, v := range volumes {
		if fits(volumes[:i+1]) {
			continue
		}
		if fits(volumes[i : i+1]) {
			return misplaced{pod: pod, claim: v.claim, volume: v.volume, other: volumes[i-1].volume, wanted: wanted}, true
		}
		if _, local := onlyNode(v.volume); local && len(reachedFrom(s, v.volume)) == 0 {
			return misplaced{}, false // Its node is gone: VolumeOnLostNode.
		}
		return misplaced{pod: pod, claim: v.claim, volume: v.volume, wanted: wanted}, true
	}
	return misplaced{}, false
}

func topologyConflict(p *rule.Pass, subject finding.Subject, found []misplaced) finding.Finding {
	m := found[0]
	var pods []*corev1.Pod
	f := finding.Finding{Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured}
	for _, other := range found {
		pods = append(pods, other.pod)
		f.Since = finding.Earlier(f.Since, other.since)
	}
	terms, _ := volumeTerms(m.volume)
	can, usable := inWords(terms), reachedFrom(p.Snapshot, m.volume)
	w := p.Workload(m.pod)
	f.Explains = without(harmed(p.Snapshot, nil, pods), subject)
	f.Evidence = []finding.Evidence{{Source: "PersistentVolume " + m.volume.Name, Path: ".spec.nodeAffinity", Value: can}}
	asks, field := placementOf(m.pod)
	switch {
	case len(usable) == 0:
		f.Mechanism, f.Field = v1alpha1.MechanismMissing, ".spec.nodeAffinity"
		f.Title = finding.Textf("claim %s/%s: its volume %s can be used on no node that exists", "PersistentVolumeClaim %s/%s: volume %s를 사용할 수 있는 노드가 없습니다", m.claim.Namespace, m.claim.Name, m.volume.Name)
		f.Why = finding.Textf("it can be used where %s, and none of the %d nodes is such", "사용 조건은 %s이지만 노드 %d개 중 해당하는 노드가 없습니다", can, len(snapshot.List[*corev1.Node](p.Snapshot)))
	case m.other != nil:
		f.Field = podPath(w) + ".volumes"
		f.Title = finding.Textf("claim %s/%s: its volume %s and volume %s of the same pod can be used on no node together", "PersistentVolumeClaim %s/%s: volume %s와 같은 Pod의 volume %s를 함께 사용할 수 있는 노드가 없습니다",
			m.claim.Namespace, m.claim.Name, m.volume.Name, m.other.Name)
		others, _ := volumeTerms(m.other)
		f.Evidence = append(f.Evidence, finding.Evidence{Source: "PersistentVolume " + m.other.Name, Path: ".spec.nodeAffinity", Value: inWords(others)})
		f.Why = finding.Textf("one can be used where %s, the other where %s", "하나는 %s, 다른 하나는 %s에서만 사용할 수 있습니다", can, inWords(others))
	default:
		f.Field = podPath(w) + field
		f.Title = finding.Format("claim %s: its volume can be used on %s, and %s may run on %s", "PersistentVolumeClaim %s: volume은 %s에서 사용할 수 있지만 %s는 %s에서만 실행할 수 있습니다",
			finding.Verbatim(finding.Qualified(subject)), finding.List(nodeNames(usable)), finding.Verbatim(finding.Named(w)), finding.List(nodeNames(m.wanted)))
		f.Why = finding.Textf("the volume %s wants %s, the pod %s", "volume %s의 조건은 %s, Pod의 조건은 %s입니다", m.volume.Name, can, asks)
		f.Evidence = append(f.Evidence, finding.Evidence{Source: finding.Named(snapshot.SubjectOf(m.pod)), Path: ".spec" + field, Value: asks})
	}
	f.Remedies.Now = topologyRemedies(m, w, usable)
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "let the scheduler choose before a volume is made: volumeBindingMode WaitForFirstConsumer in the class",
		KO: "클래스에 volumeBindingMode: WaitForFirstConsumer를 지정하여 노드가 정해진 뒤 volume이 만들어지게 합니다",
	}}}
	return f
}

func topologyRemedies(m misplaced, w finding.Subject, usable []*corev1.Node) []finding.Remedy {
	var out []finding.Remedy
	if len(usable) > 0 && m.other == nil {
		out = append(out, finding.Remedy{
			Text: finding.Format("let %s run where its volume is: %s", "%s를 volume이 있는 곳에서 실행합니다: %s",
				finding.Verbatim(finding.Named(w)), finding.List(nodeNames(usable))),
			Command: fmt.Sprintf("kubectl -n %s edit %s %s", w.Namespace, strings.ToLower(w.Kind), w.Name),
		})
	}
	return append(out, finding.Remedy{
		Text:    finding.Text{EN: "or move the data: copy it into a new claim on the right node, and use that", KO: "또는 올바른 노드의 새 claim으로 데이터를 옮겨 사용합니다"},
		Command: "kubectl get persistentvolume " + m.volume.Name + " -o jsonpath='{.spec.nodeAffinity}'",
	})
}

// podPath leads from a workload to the pod spec in it.
func podPath(w finding.Subject) string {
	switch w.Kind {
	case "Pod":
		return ".spec"
	case "CronJob":
		return ".spec.jobTemplate.spec.template.spec"
	default:
		return ".spec.template.spec"
	}
}
