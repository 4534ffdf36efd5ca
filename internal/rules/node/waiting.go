package node

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// queue is the pods of one workload that wait for a node for one reason.
type queue struct {
	workload finding.Subject
	pods     []*corev1.Pod
	// since is when the first of them began to wait.
	since time.Time
	// message of the scheduler.
	message string
}

// subjects are the pods of the queue and their workload.
func (q queue) subjects() []finding.Subject {
	out := []finding.Subject{q.workload}
	for _, p := range q.pods {
		if s := snapshot.SubjectOf(p); s != q.workload {
			out = append(out, s)
		}
	}
	return out
}

// evidence is what the scheduler says of the queue's first pod.
func (q queue) evidence() finding.Evidence {
	return finding.Evidence{
		Source: finding.Named(snapshot.SubjectOf(q.pods[0])), Path: ".status.conditions[PodScheduled].message",
		Value: finding.Quote(q.message), At: finding.Timestamp(q.since),
	}
}

// queueNeeds is what queues reads.
func queueNeeds() []rule.Need {
	return append([]rule.Need{rule.Whole[*corev1.Node](), rule.Whole[*corev1.Pod](), rule.Optional[*corev1.Event]()}, rule.Owners()...)
}

// scaleUp is how long an autoscaler is left to add a node
// (https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md, max-node-provision-time).
const scaleUp = 15 * time.Minute

// queues returns the pods that the scheduler has rejected, without those for which room is being made:
// by preemption, or by an autoscaler that adds a node (events of cluster-autoscaler and Karpenter).
func queues(s *snapshot.Snapshot) []queue {
	type alike struct {
		workload finding.Subject
		message  string
	}
	at := map[alike]int{}
	var out []queue
	for _, p := range snapshot.List[*corev1.Pod](s) {
		c := snapshot.PodCondition(p, corev1.PodScheduled)
		if c == nil || c.Status != corev1.ConditionFalse || c.Reason != corev1.PodReasonUnschedulable || p.Spec.NodeName != "" ||
			p.DeletionTimestamp != nil || snapshot.PodDone(p) || p.Status.NominatedNodeName != "" || nodeIsAdded(s, p) {
			continue
		}
		k := alike{s.Workload(p), c.Message}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, queue{workload: k.workload, since: c.LastTransitionTime.Time, message: c.Message})
		}
		out[i].pods = append(out[i].pods, p)
		if c.LastTransitionTime.Time.Before(out[i].since) {
			out[i].since = c.LastTransitionTime.Time
		}
	}
	return out
}

func nodeIsAdded(s *snapshot.Snapshot, p *corev1.Pod) bool {
	return slices.ContainsFunc(s.PodEvents(p), func(e *corev1.Event) bool {
		return (e.Reason == "TriggeredScaleUp" || e.Reason == "Nominated") && s.Now().Sub(snapshot.EventTime(e)) < scaleUp
	})
}

// board knows what is free on each node. It adds up a node when it is first asked about.
type board struct {
	s    *snapshot.Snapshot
	free map[string]corev1.ResourceList
}

func newBoard(s *snapshot.Snapshot) board { return board{s: s, free: map[string]corev1.ResourceList{}} }

// requests is what a pod takes from a node, a place included. Where a resize is under way it is what
// the kubelet has granted.
func requests(p *corev1.Pod) corev1.ResourceList {
	r := resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{UseStatusResources: true})
	r[corev1.ResourcePods] = *resource.NewQuantity(1, resource.DecimalSI)
	return r
}

// freeOn returns what the pods on a node leave of its allocatable resources; below zero where they
// have more than there is.
func (b board) freeOn(n *corev1.Node) corev1.ResourceList {
	if f, ok := b.free[n.Name]; ok {
		return f
	}
	f := n.Status.Allocatable.DeepCopy()
	for _, p := range b.s.PodsOn(n.Name) {
		if snapshot.PodDone(p) {
			continue
		}
		take := func(asked corev1.ResourceList) {
			for name, q := range asked {
				if rest, ok := f[name]; ok {
					rest.Sub(q)
					f[name] = rest
				}
			}
		}
		if !plain(p) {
			take(requests(p))
			continue
		}
		for i := range p.Spec.Containers {
			take(p.Spec.Containers[i].Resources.Requests)
		}
		take(onePod)
	}
	b.free[n.Name] = f
	return f
}

// onePod is a pod's place on a node.
var onePod = corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(1, resource.DecimalSI)}

// plain tells whether a pod takes just the sum of what its containers ask for, as most do: on a large
// cluster, working out the general case for each costs more than all the rest.
func plain(p *corev1.Pod) bool {
	return len(p.Spec.InitContainers) == 0 && len(p.Spec.Overhead) == 0 && p.Spec.Resources == nil && len(p.Spec.ResourceClaims) == 0 &&
		snapshot.PodCondition(p, corev1.PodResizePending) == nil && snapshot.PodCondition(p, corev1.PodResizeInProgress) == nil
}

// hurdles are what keeps a pod from a node.
type hurdles struct {
	// cordoned tells of spec.unschedulable.
	cordoned bool
	// taints that the pod does not tolerate, without the one that stands for the cordon.
	taints []corev1.Taint
	// short are the resources of which too little is free, sorted.
	short []corev1.ResourceName
}

func (h hurdles) none() bool         { return !h.cordoned && len(h.taints) == 0 && len(h.short) == 0 }
func (h hurdles) onlyCordon() bool   { return h.cordoned && len(h.taints) == 0 && len(h.short) == 0 }
func (h hurdles) onlyTaints() bool   { return !h.cordoned && len(h.taints) > 0 && len(h.short) == 0 }
func (h hurdles) onlyShortage() bool { return !h.cordoned && len(h.taints) == 0 && len(h.short) > 0 }

// seeker is a pod that wants a node, with what is worked out of it once.
type seeker struct {
	pod      *corev1.Pod
	affinity nodeaffinity.RequiredNodeAffinity
	requests corev1.ResourceList
}

func newSeeker(p *corev1.Pod) seeker {
	return seeker{pod: p, affinity: nodeaffinity.GetRequiredNodeAffinity(p), requests: requests(p)}
}

// between finds the hurdles between a pod and a node; false where the pod does not want the node,
// by its selector or affinity, as the scheduler's plugins see it.
func (b board) between(k seeker, n *corev1.Node) (hurdles, bool) {
	if ok, err := k.affinity.Match(n); err != nil || !ok {
		return hurdles{}, false
	}
	p := k.pod
	h := hurdles{cordoned: n.Spec.Unschedulable && !toleratesCordon(p)}
	for i := range n.Spec.Taints {
		t := &n.Spec.Taints[i]
		if t.Key == corev1.TaintNodeUnschedulable || t.Effect == corev1.TaintEffectPreferNoSchedule {
			continue
		}
		if !snapshot.Tolerates(p, t) {
			h.taints = append(h.taints, *t)
		}
	}
	free := b.freeOn(n)
	for name, want := range k.requests {
		if want.IsZero() {
			continue
		}
		if rest := free[name]; want.Cmp(rest) > 0 {
			h.short = append(h.short, name)
		}
	}
	slices.Sort(h.short)
	return h, true
}

func toleratesCordon(p *corev1.Pod) bool {
	return snapshot.Tolerates(p, &corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
}

// reserved tells whether a node takes no ordinary pods because it is the control plane's.
func reserved(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return snapshot.ControlPlaneTaint(&t) })
}

// cluster is the subject of a finding that is about no single node.
var cluster = finding.Subject{Kind: "Cluster", Name: "cluster"}

// workloadsOf names the workloads of queues, each once.
func workloadsOf(qs []queue) finding.Text {
	var names []string
	for _, q := range qs {
		names = append(names, finding.Qualified(q.workload))
	}
	return finding.List(names)
}

// podsIn counts the pods of queues.
func podsIn(qs []queue) int {
	n := 0
	for _, q := range qs {
		n += len(q.pods)
	}
	return n
}

// claims are the subjects of queues, each once, and since when the first of them waits.
func claims(qs []queue) (subjects []finding.Subject, since time.Time) {
	seen := map[finding.Subject]bool{}
	for _, q := range qs {
		for _, s := range q.subjects() {
			if !seen[s] {
				seen[s] = true
				subjects = append(subjects, s)
			}
		}
		if since.IsZero() || q.since.Before(since) {
			since = q.since
		}
	}
	return subjects, since
}

// nodeNames names nodes.
func nodeNames(nodes []*corev1.Node) []string {
	out := make([]string, 0, len(nodes))
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	return out
}

// nodeWriters are the programs that write to every Node in their daily work.
var nodeWriters = []string{"kubelet", "kube-controller-manager", "cloud-controller-manager", "flanneld", "calico", "cilium", "node-problem-detector"}

// writtenBy tells who else wrote a node's spec or metadata last, and when, where its managed fields
// say.
func writtenBy(n *corev1.Node) finding.Text {
	manager, at := "", time.Time{}
	for _, m := range n.ManagedFields {
		daily := slices.ContainsFunc(nodeWriters, func(name string) bool { return strings.HasPrefix(m.Manager, name) })
		if m.Subresource == "" && !daily && m.Time != nil && m.Time.After(at) {
			manager, at = m.Manager, m.Time.Time
		}
	}
	if manager == "" {
		return finding.Text{}
	}
	return finding.Textf("Last written by %s, at %s.", "마지막으로 쓴 주체: %s(%s).", manager, at.UTC().Format(time.RFC3339))
}
