package workload

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PodUnschedulable",
	Title: finding.Textf("no node takes the pod", "Pod를 배정할 노드가 없습니다"),
	Doc: finding.Textf(
		"The scheduler finds no node for a pod and says why, node by node: resources, taints, labels, affinity, volumes, ports, cordoned nodes. What can change (a cordon, a full node, a node in "+
			"trouble) is named before what the pod itself asks for, and only for nodes that the pod would accept. Where a single cordoned node decides, the finding is about that node. "+
			"Silent for pods that are held back on purpose (scheduling gates), for which room has been made for less than half an hour (preemption, cluster autoscaler), and for a claim that waits for its first "+
			"consumer, which is not what holds a pod up. A pod of which the scheduler has said nothing at all is SchedulerDown's.",
		"scheduler가 Pod를 배정할 노드를 찾지 못했습니다. 리소스, taint, label, affinity, volume, port, cordon 등 노드별 이유를 scheduler 메시지에서 읽습니다. "+
			"Pod 자체의 조건보다 바뀔 수 있는 상태(cordon, 가득 찬 노드, 장애 노드)를 먼저 지목하며, Pod의 조건에 맞는 노드만 셉니다. cordon된 노드 하나 때문이면 그 노드에 대해 보고합니다. "+
			"scheduling gate로 일부러 멈춘 Pod, preemption이나 cluster autoscaler가 자리를 만드는 중인 Pod(30분까지)는 보고하지 않습니다. 첫 consumer를 기다리는 PVC는 원인이 아닙니다. "+
			"scheduler가 아무 말도 하지 않은 Pod는 SchedulerDown에서 다룹니다."),
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/",
	Severity: finding.Warning,
	Needs: append(containerNeeds(),
		rule.Optional[*corev1.Node](), rule.Optional[*corev1.PersistentVolumeClaim]()),
	For: time.Minute,
	Causes: []rule.Cause{
		{Code: "KubeletStopped", Via: rule.Cluster, Holds: wouldRunThere},
		{Code: "NodeUnreachable", Via: rule.Cluster, Holds: wouldRunThere},
		{Code: "ContainerRuntimeDown", Via: rule.Cluster, Holds: wouldRunThere},
		{Code: "NetworkPluginNotReady", Via: rule.Cluster, Holds: wouldRunThere},
		{Code: "NodeNotReady", Via: rule.Cluster, Holds: wouldRunThere},
		{Code: "NodeDiskPressure", Via: rule.Cluster, Holds: wouldRunThere},
		{Code: "NodeMemoryPressure", Via: rule.Cluster, Holds: wouldRunThere},
		{Code: "NodePIDPressure", Via: rule.Cluster, Holds: wouldRunThere},
		{Code: "NodeCordoned", Via: rule.Itself, Holds: aboutOnePod},
		{Code: "NodeCordoned", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "NodeTainted", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "NodeMissing", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "NodeReservationTooLarge", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "ClusterCapacityExhausted", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "StorageClassMissing", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "VolumeNotProvisioned", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "VolumeClaimLost", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "VolumeTopologyConflict", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "VolumeOnLostNode", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "PreemptionCascade", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "CloudControllerManagerDown", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: waitsForClaim},
		{Code: "PodPreempted", Via: rule.Itself},
	},
	Detect: detectPodUnschedulable,
})

// aboutOnePod tells whether effect and cause claim a pod in common: a workload that both are about may
// have pods that wait for different things.
func aboutOnePod(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	if len(cause.Explains) == 0 {
		return false
	}
	claimed := explainedBy(s, cause)
	return slices.ContainsFunc(effect.Explains, func(subject finding.Subject) bool {
		return subject.Kind == "Pod" && claimed[subject]
	})
}

// explained are what findings explain, as sets: one cause may have thousands of effects, and each of
// them looks for a pod among all that the cause claims.
type explained struct {
	mu   sync.Mutex
	sets map[list]map[finding.Subject]bool
}

// list tells a list of subjects from every other that is not written to.
type list struct {
	first *finding.Subject
	long  int
}

func explainedBy(s *snapshot.Snapshot, cause finding.Finding) map[finding.Subject]bool {
	known := snapshot.Derived(s, func() *explained { return &explained{sets: map[list]map[finding.Subject]bool{}} })
	known.mu.Lock()
	defer known.mu.Unlock()
	key := list{&cause.Explains[0], len(cause.Explains)}
	set, ok := known.sets[key]
	if !ok {
		set = make(map[finding.Subject]bool, len(cause.Explains))
		for _, subject := range cause.Explains {
			set[subject] = true
		}
		known.sets[key] = set
	}
	return set
}

// wouldRunThere tells whether a pod would fit on the cause's node, were it not for the taints that
// stand for the node's trouble.
func wouldRunThere(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	n, ok := snapshot.Get[*corev1.Node](s, "", cause.Subject.Name)
	if !ok || cause.Subject.Kind != "Node" || !says(effect, "taint") {
		return false
	}
	return slices.ContainsFunc(effect.Explains, func(subject finding.Subject) bool {
		p, ok := snapshot.Get[*corev1.Pod](s, subject.Namespace, subject.Name)
		if !ok || !snapshot.NodeWanted(p, n) || !largeEnough(p, n) {
			return false
		}
		first := untolerated(p, n)
		return first != nil && !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
			return !snapshot.FaultTaint(&t) && t.Effect != corev1.TaintEffectPreferNoSchedule && !snapshot.Tolerates(p, &t)
		})
	})
}

// waitsForClaim tells whether pods wait for a claim that the controller manager makes or binds
// (k8s.io/kubernetes/pkg/controller/volume: persistentvolume, ephemeral).
func waitsForClaim(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return says(effect, "unbound immediate") || says(effect, "ephemeral volume controller")
}

// unplaced is a pod that the scheduler could not place.
type unplaced struct {
	pod     *corev1.Pod
	since   time.Time
	message string
	reason  obstruction
}

func detectPodUnschedulable(p *rule.Pass) {
	type alike struct {
		workload finding.Subject
		message  string
	}
	reasons, l := map[alike]obstruction{}, newLedger(p.Snapshot)
	var found []unplaced
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		c := snapshot.PodCondition(pod, corev1.PodScheduled)
		if c == nil || c.Status != corev1.ConditionFalse || pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || snapshot.PodDone(pod) ||
			(c.Reason != corev1.PodReasonUnschedulable && c.Reason != corev1.PodReasonSchedulerError) ||
			(p.Now().Sub(c.LastTransitionTime.Time) < longestWait && roomIsMade(p.Snapshot, pod)) {
			continue
		}
		key := alike{p.Workload(pod), c.Message}
		if _, ok := reasons[key]; !ok {
			reasons[key] = obstruct(l, pod, parseVerdict(c.Message))
		}
		found = append(found, unplaced{pod: pod, since: c.LastTransitionTime.Time, message: c.Message, reason: reasons[key]})
	}
	for _, g := range groupBy(found, func(u unplaced) finding.Subject {
		if u.reason.node != "" {
			return finding.Subject{Kind: "Node", Name: u.reason.node}
		}
		return p.Workload(u.pod)
	}) {
		p.Report(podUnschedulable(p, g))
	}
}

// scaleUp is how long a cluster autoscaler is left to add a node
// (https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md, max-node-provision-time).
const scaleUp = 15 * time.Minute

// longestWait is how long room may be made for a pod before that is no excuse any more: an autoscaler
// that tries again and again never gets anywhere, and a pod may be nominated for a node for ever.
const longestWait = 2 * scaleUp

// roomIsMade tells whether pods are being moved out of the way, or a node is being added
// (events of cluster-autoscaler and of Karpenter).
func roomIsMade(s *snapshot.Snapshot, p *corev1.Pod) bool {
	if p.Status.NominatedNodeName != "" {
		return true
	}
	return slices.ContainsFunc(s.PodEvents(p), func(e *corev1.Event) bool {
		return (e.Reason == "TriggeredScaleUp" || e.Reason == "Nominated") && s.Now().Sub(snapshot.EventTime(e)) < scaleUp
	})
}

func podUnschedulable(p *rule.Pass, g group[unplaced]) finding.Finding {
	first := g.Items[0]
	pods := distinctPods(g.Items, func(u unplaced) *corev1.Pod { return u.pod })
	f := finding.Finding{
		Subject: g.Subject, Mechanism: first.reason.mechanism, Field: first.reason.field, Since: first.since,
		Evidence: append([]finding.Evidence{{
			Source: finding.Named(snapshot.SubjectOf(first.pod)), Path: ".status.conditions[PodScheduled].message",
			Value: finding.Quote(first.message), At: finding.Timestamp(first.since),
		}}, first.reason.evidence...),
		RuledOut: waitingClaims(p.Snapshot, first), Settling: first.reason.settles,
	}
	for _, u := range g.Items {
		if u.since.Before(f.Since) {
			f.Since = u.since
		}
	}
	count := finding.Textf("%d pods wait", "대기 중인 Pod %d개", len(pods))
	if len(pods) == 1 {
		count = finding.Textf("pod %s waits", "대기 중인 Pod %s", pods[0].Name)
	}
	var h history
	if g.Subject.Kind == "Node" {
		f.Title = finding.Format("node %s: %s", "노드 %s: %s", finding.Verbatim(g.Subject.Name), first.reason.says)
	} else {
		h = historyOf(p.Snapshot, g.Subject, pods)
		f.Title = finding.Format("%s: no node takes it: %s", "%s: 배정할 노드가 없습니다. %s", finding.Verbatim(finding.Qualified(g.Subject)), first.reason.says)
	}
	f.Why = finding.Join("; ", count, inQuotes(firstSentence(first.message)), first.reason.detail, lastWord(p.Snapshot), h.brought(".spec"), h.serving())
	if w := p.Writer(snapshot.Scheduler); w.State == snapshot.Dead {
		f.Confidence = mediumConfidence
	}
	if h.blames(".spec") {
		f.Evidence = append(f.Evidence, h.revision.evidence()...)
		f.Remedies.Now = h.rollback()
	}
	f.Remedies.Now = append(f.Remedies.Now, first.reason.remedies...)
	if first.reason.edit {
		f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field))
	}
	f.Explains = podSubjects(pods)
	return f
}

// lastWord warns of a scheduler that cannot have looked again.
func lastWord(s *snapshot.Snapshot) finding.Text {
	w := s.Writer(snapshot.Scheduler)
	if w.State != snapshot.Dead {
		return finding.Text{}
	}
	return finding.Textf("kube-scheduler is silent since %s: this is its last word", "kube-scheduler가 %s부터 응답하지 않으므로 그 전의 마지막 판단입니다", finding.Clock(s.Now(), w.LastSeen))
}

// firstSentence drops from the scheduler's message what preemption could not do.
func firstSentence(message string) string {
	first, _, _ := strings.Cut(message, ". ")
	return strings.TrimSuffix(first, ".")
}

// waitingClaims rules out claims that only wait for the pod to be placed: the scheduler says so by
// naming something else.
func waitingClaims(s *snapshot.Snapshot, u unplaced) []finding.Statement {
	if u.reason.kind == obstacleUnbound || u.reason.kind == obstacleNoClaim {
		return nil
	}
	var names []string
	for _, c := range claimsOf(s, u.pod) {
		if c.Status.Phase == corev1.ClaimPending {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []finding.Statement{{Text: finding.Format("PersistentVolumeClaim %s: it is Pending only until the pod has a node",
		"PersistentVolumeClaim %s: Pod가 노드에 배정될 때까지 Pending인 것이 정상입니다", finding.List(names))}}
}

// claimsOf returns the PersistentVolumeClaims that a pod mounts, as far as they exist.
func claimsOf(s *snapshot.Snapshot, p *corev1.Pod) []*corev1.PersistentVolumeClaim {
	var out []*corev1.PersistentVolumeClaim
	for _, v := range p.Spec.Volumes {
		name := ""
		switch {
		case v.PersistentVolumeClaim != nil:
			name = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			name = fmt.Sprintf("%s-%s", p.Name, v.Name)
		}
		if c, ok := snapshot.Get[*corev1.PersistentVolumeClaim](s, p.Namespace, name); ok {
			out = append(out, c)
		}
	}
	return out
}
