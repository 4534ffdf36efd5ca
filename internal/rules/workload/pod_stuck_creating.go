package workload

import (
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PodStuckCreating",
	Title: finding.Textf("pod does not get as far as its first container", "Pod가 컨테이너를 시작하지 못하고 멈춰 있습니다"),
	Doc: finding.Textf(
		"A pod is bound to a node and none of its containers has started for more than two minutes: a volume cannot be attached or mounted, the sandbox or its network cannot be made, or the "+
			"kubelet does nothing about it. What fails is read from the pod's newest event, and from none that is older than the pod's stay on the node. Where pods of several "+
			"workloads fail alike on one node, the finding is about the node. Silent while an image is being pulled, while an init container runs, and for a missing ConfigMap, "+
			"Secret or key, which have rules of their own, and for checker pods that are alone in it: their check says why a run did not start (CheckerBroken).",
		"Pod가 노드에 배정되었지만 2분 넘게 컨테이너가 하나도 시작되지 않습니다. volume을 연결하거나 mount하지 못하거나, sandbox나 네트워크를 만들지 못하거나, kubelet이 아무 작업도 하지 않는 경우입니다. "+
			"원인은 Pod가 노드에 배정된 뒤의 최신 이벤트로 판단합니다. 한 노드에서 여러 workload의 Pod가 같은 이유로 실패하면 노드에 대해 보고합니다. "+
			"이미지를 받는 중이거나 init container가 실행 중이면 보고하지 않으며, ConfigMap·Secret·key가 없는 경우는 해당 규칙에서 다룹니다. 같은 문제를 겪는 다른 Pod가 없는 checker Pod는 check가 실행되지 못한 이유로 알립니다(CheckerBroken)."),
	Link:     "https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/#my-pod-stays-waiting",
	Severity: finding.Warning,
	Needs: append([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*corev1.Event](), rule.Optional[*coordinationv1.Lease](),
	}, rule.Owners()...),
	For: 2 * time.Minute,
	Causes: []rule.Cause{
		{Code: "KubeletStopped", Via: rule.Cluster, Holds: stuckFor},
		{Code: "NodeUnreachable", Via: rule.Cluster, Holds: stuckFor},
		{Code: "ContainerRuntimeDown", Via: rule.Cluster, Holds: stuckFor},
		{Code: "NetworkPluginNotReady", Via: rule.Cluster, Holds: stuckFor},
		{Code: "NodeNotReady", Via: rule.Cluster, Holds: stuckFor},
		{Code: "NodeResolverBroken", Via: rule.Cluster, Holds: looksUpThere},
		{Code: "PodAddressesExhausted", Via: rule.Cluster, Holds: aboutOnePod},
		{Code: "NodeDaemonPodNotReady", Via: rule.Cluster, Holds: aboutOnePod},
		{Code: "CSIDriverNotOnNode", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "VolumeAttachFailed", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "VolumeAttachmentOrphaned", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "VolumeOnLostNode", Via: rule.Claimed, Holds: aboutOnePod},
		{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: waitsForAttachment},
	},
	Detect: detectPodStuckCreating,
})

// stuckFor tells whether a node's trouble keeps pods from starting: they run on it, or it holds on
// to a volume that they wait for.
func stuckFor(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	if runOn(s, effect.Explains, cause.Subject) {
		return true
	}
	if !says(effect, "Multi-Attach error") {
		return false
	}
	return slices.ContainsFunc(effect.Explains, func(subject finding.Subject) bool {
		p, ok := snapshot.Get[*corev1.Pod](s, subject.Namespace, subject.Name)
		return ok && slices.ContainsFunc(holders(s, p), func(other *corev1.Pod) bool { return other.Spec.NodeName == cause.Subject.Name })
	})
}

// waitsForAttachment tells whether pods wait for a volume that the controller manager attaches
// (k8s.io/kubernetes/pkg/controller/volume/attachdetach).
func waitsForAttachment(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return says(effect, "attach")
}

// says tells whether the evidence of a finding contains a word.
func says(f finding.Finding, word string) bool {
	return slices.ContainsFunc(f.Evidence, func(e finding.Evidence) bool { return strings.Contains(e.Value, word) })
}

// stuckPod is a pod that has not started, and why.
type stuckPod struct {
	pod    *corev1.Pod
	since  time.Time
	event  *corev1.Event // nil where no event tells
	reason stuckReason
}

func detectPodStuckCreating(p *rule.Pass) {
	var found []stuckPod
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if s, ok := creating(p.Snapshot, pod); ok {
			found = append(found, s)
		}
	}
	nodes := sharedTroubles(p.Snapshot, found)
	found = slices.DeleteFunc(found, func(s stuckPod) bool { return snapshot.CheckerPod(s.pod) && !nodes[s.trouble()] })
	for _, g := range groupBy(found, func(s stuckPod) finding.Subject {
		if nodes[s.trouble()] {
			return finding.Subject{Kind: "Node", Name: s.pod.Spec.NodeName}
		}
		return p.Workload(s.pod)
	}) {
		p.Report(podStuckCreating(p, g))
	}
}

// trouble is one reason on one node.
type trouble struct{ node, says string }

func (s stuckPod) trouble() trouble { return trouble{s.pod.Spec.NodeName, s.reason.says.EN} }

// sharedTroubles finds the reasons for which pods of several workloads fail on one node.
func sharedTroubles(s *snapshot.Snapshot, found []stuckPod) map[trouble]bool {
	first, shared := map[trouble]finding.Subject{}, map[trouble]bool{}
	for _, f := range found {
		if !f.reason.onNode {
			continue
		}
		w := s.Workload(f.pod)
		if other, ok := first[f.trouble()]; ok && other != w {
			shared[f.trouble()] = true
		}
		first[f.trouble()] = w
	}
	return shared
}

// creating tells whether a pod is bound and has started nothing, and why as its events tell.
func creating(s *snapshot.Snapshot, p *corev1.Pod) (stuckPod, bool) {
	bound := snapshot.PodCondition(p, corev1.PodScheduled)
	if p.Status.Phase != corev1.PodPending || p.Spec.NodeName == "" || p.DeletionTimestamp != nil {
		return stuckPod{}, false
	}
	since := p.CreationTimestamp.Time
	if bound != nil {
		since = bound.LastTransitionTime.Time
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if c.State.Running != nil || (c.State.Waiting != nil && c.State.Waiting.Reason != "ContainerCreating" && c.State.Waiting.Reason != "PodInitializing") {
			return stuckPod{}, false
		}
	}
	out := stuckPod{pod: p, since: since, reason: noReason(s)}
	for _, e := range s.PodEvents(p) {
		seen := snapshot.EventTime(e)
		if seen.Before(out.since) {
			break
		}
		if out.event == nil && slices.Contains(progress, e.Reason) {
			return stuckPod{}, false
		}
		reasons, ok := stuckEvents[e.Reason]
		if !ok || s.Now().Sub(seen) > eventWindow {
			continue
		}
		r := reasonFor(reasons, e.Message)
		if r.others {
			return stuckPod{}, false
		}
		// The kubelet also sums up: a telling event goes before a newer one that names no reason.
		if out.event == nil || (out.reason.text == nil && r.text != nil) {
			out.event, out.reason = e, r
		}
	}
	return out, true
}

// progress are the reasons of Events that tell of an image on its way or a container that starts.
var progress = []string{"Pulling", "Pulled", "Created", "Started"}

// noReason stands for a pod that no event explains.
func noReason(s *snapshot.Snapshot) stuckReason {
	r := stuckReason{
		onNode: true, mechanism: v1alpha1.MechanismHung,
		says: finding.Textf("the kubelet does nothing that an event tells of", "kubelet이 작업한 이벤트가 없습니다"),
		look: "journalctl -u kubelet --since -10min",
	}
	if !s.Coverage(snapshot.KindOf[*corev1.Event]()).Known() {
		r.says = finding.Textf("why is not known, for Events could not be read", "이벤트를 읽지 못해 이유를 알 수 없습니다")
	}
	return r
}

// eventWindow is how old the last word about a failing start may be: the kubelet tries again
// at least every two minutes (k8s.io/kubernetes/pkg/volume/util/types, MaxDurationBeforeRetry), and its
// event recorder lets one repeated event in five minutes through at worst (k8s.io/client-go/tools/record, defaultSpamQPS).
const eventWindow = 10 * time.Minute

func podStuckCreating(p *rule.Pass, g group[stuckPod]) finding.Finding {
	first := g.Items[0]
	pods := distinctPods(g.Items, func(s stuckPod) *corev1.Pod { return s.pod })
	node := first.pod.Spec.NodeName
	f := finding.Finding{
		Subject: g.Subject, Mechanism: first.reason.mechanism, Since: first.since,
		Evidence: []finding.Evidence{first.evidence()},
	}
	for _, s := range g.Items {
		if s.since.Before(f.Since) {
			f.Since = s.since
		}
	}
	if first.event == nil {
		f.Confidence = lowConfidence
	}
	var names []string
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	if g.Subject.Kind == "Node" {
		f.Title = finding.Format("node %s: pods cannot start: %s", "노드 %s: Pod가 시작하지 못합니다. %s", finding.Verbatim(node), first.reason.says)
		f.Why = finding.Textf("%d pods of different workloads fail alike on it", "서로 다른 workload의 Pod %d개가 이 노드에서 같은 이유로 실패합니다", len(pods))
	} else {
		f.Title = finding.Format("%s: cannot start on %s: %s", "%s: 노드 %s에서 시작하지 못합니다. %s", finding.Verbatim(finding.Qualified(g.Subject)), finding.List(nodesOf(pods)), first.reason.says)
		f.Why = finding.Format("nothing of %s has started", "시작된 컨테이너가 없습니다(%s)", finding.List(names))
	}
	if first.reason.field != "" {
		f.Field = podField(g.Subject, first.reason.field)
	}
	if first.event != nil {
		f.Why = finding.Format("%s: %s", "%s: %s", f.Why, inQuotes(stuckMessage(first.event.Message)))
	}
	f.Why = finding.Join("; ", f.Why, first.heldBy(p.Snapshot))
	f.Remedies.Now = first.remedies()
	return aboutPods(p.Snapshot, f, pods)
}

// evidence is the event that tells why, or the pod's own state where none does.
func (s stuckPod) evidence() finding.Evidence {
	name := finding.Qualified(snapshot.SubjectOf(s.pod))
	if s.event == nil {
		return finding.Evidence{Source: "Pod " + name, Path: ".status.phase", Value: string(s.pod.Status.Phase), At: finding.Timestamp(s.since)}
	}
	return finding.Evidence{
		Source: "Event " + name, Path: s.event.Reason + ".message", Value: finding.Quote(stuckMessage(s.event.Message)), At: finding.Timestamp(snapshot.EventTime(s.event)),
	}
}

// stuckMessage drops the heads that hide the reason, where a tail is left.
func stuckMessage(message string) string {
	for _, head := range []string{"Failed to create pod sandbox: ", "rpc error: code = Unknown desc = ", "rpc error: code = DeadlineExceeded desc = "} {
		message = strings.TrimPrefix(message, head)
	}
	return message
}

// heldBy names the pods that hold a volume which this pod waits for.
func (s stuckPod) heldBy(all *snapshot.Snapshot) finding.Text {
	if s.event == nil || !strings.Contains(s.event.Message, "Multi-Attach error") {
		return finding.Text{}
	}
	var names []string
	for _, other := range holders(all, s.pod) {
		names = append(names, fmt.Sprintf("%s (%s)", finding.Qualified(snapshot.SubjectOf(other)), other.Spec.NodeName))
	}
	if len(names) == 0 {
		return finding.Text{}
	}
	return finding.Format("held by %s", "volume을 사용 중인 Pod: %s", finding.List(names))
}

// claimUse are the pods that are bound to a node and not done, by the claims that they mount.
type claimUse map[finding.Subject][]*corev1.Pod

// claimsMounted names the claims that a pod mounts.
func claimsMounted(p *corev1.Pod) []finding.Subject {
	var out []finding.Subject
	for i := range p.Spec.Volumes {
		if claim := p.Spec.Volumes[i].PersistentVolumeClaim; claim != nil {
			out = append(out, finding.Subject{Kind: "PersistentVolumeClaim", Namespace: p.Namespace, Name: claim.ClaimName})
		}
	}
	return out
}

// holders are the pods on other nodes that mount a PersistentVolumeClaim of this pod's.
func holders(s *snapshot.Snapshot, p *corev1.Pod) []*corev1.Pod {
	pods := snapshot.List[*corev1.Pod](s)
	use := snapshot.Derived(s, func() claimUse {
		use := claimUse{}
		for _, pod := range pods {
			if pod.Spec.NodeName == "" || snapshot.PodDone(pod) {
				continue
			}
			for _, claim := range claimsMounted(pod) {
				use[claim] = append(use[claim], pod)
			}
		}
		return use
	})
	var out []*corev1.Pod
	for _, claim := range claimsMounted(p) {
		for _, other := range use[claim] {
			if other.Spec.NodeName != p.Spec.NodeName && !slices.Contains(out, other) {
				out = append(out, other)
			}
		}
	}
	return out
}

func (s stuckPod) remedies() []finding.Remedy {
	var out []finding.Remedy
	if s.reason.look != "" {
		out = append(out, finding.Remedy{
			Text:    finding.Textf("see on the node what is wrong", "노드에서 원인을 확인합니다"),
			Command: s.reason.look, Machine: s.pod.Spec.NodeName,
		})
	}
	if s.event != nil && strings.Contains(s.event.Message, "Multi-Attach error") {
		out = append(out, finding.Remedy{
			Text:    finding.Textf("see which node holds the volume; it is let go when the pod there has ended", "어느 노드가 volume을 사용 중인지 확인합니다. 그 노드의 Pod가 종료되면 연결이 해제됩니다"),
			Command: "kubectl get volumeattachments.storage.k8s.io",
		})
	}
	return append(out, finding.Remedy{
		Text:    finding.Textf("see all that the kubelet tells of the pod", "kubelet이 남긴 Pod 이벤트를 모두 확인합니다"),
		Command: fmt.Sprintf("kubectl -n %s describe pod %s", s.pod.Namespace, s.pod.Name),
	})
}
