package synthetic

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/snapshot"
	"github.com/maek-dev/maek/internal/synthetic/stage"
)

// mostExplained bounds for how many pods Events are read when a run has failed.
const mostExplained = 20

// coverage judges which nodes have a pod of the DaemonSet, and which should.
type coverage struct {
	options daemonSetOptions
	set     *appsv1.DaemonSet
	began   time.Time
	pods    *stage.View[*corev1.Pod]
	sets    *stage.View[*appsv1.DaemonSet]
	nodes   *stage.View[*corev1.Node]
	// patience with nodes that are NotReady.
	patience *patience
	// ready is when the pod of a node was first seen ready.
	ready map[string]time.Time
}

// complete tells that every node that should has a ready pod, but for those that are lost.
func (c *coverage) complete(ctx context.Context, now time.Time) bool {
	ready := c.readyOn()
	if c.ready == nil {
		c.ready = map[string]time.Time{}
	}
	for node := range ready {
		if _, seen := c.ready[node]; !seen {
			c.ready[node] = now
		}
	}
	c.patience.verify(ctx)
	lost := c.lost()
	if c.nodes.Denied() != nil {
		return c.completeByStatus(ctx, ready, lost)
	}
	wanting, missing, gone := 0, 0, 0
	for _, n := range c.nodes.All() {
		if c.excused(n) != "" {
			continue
		}
		wanting++
		switch {
		case ready[n.Name]:
		case lost[n.Name]:
			gone++
		default:
			missing++
		}
	}
	switch {
	case missing > 0:
		return false
	case gone > 0:
		return c.patience.sure(ctx)
	}
	// A cluster whose nodes all are excused still has its DaemonSet taken up by the controller.
	return wanting > 0 || c.observed() != nil
}

// completeByStatus believes the DaemonSet controller on which nodes should have a pod.
func (c *coverage) completeByStatus(ctx context.Context, ready, lost map[string]bool) bool {
	set := c.observed()
	if set == nil {
		return false
	}
	wanted := int(set.Status.DesiredNumberScheduled)
	if len(ready) >= wanted {
		return true
	}
	for node := range lost {
		if ready[node] {
			delete(lost, node)
		}
	}
	return len(ready)+len(lost) >= wanted && c.patience.sure(ctx)
}

// lost gives the nodes that are waited for no longer: those that are NotReady, and those whose kubelets do
// not take up their pods.
func (c *coverage) lost() map[string]bool {
	lost := map[string]bool{}
	for _, n := range c.nodes.All() {
		if c.patience.lostNode(n) {
			lost[n.Name] = true
		}
	}
	for _, p := range c.pods.All() {
		if c.patience.ignoredPod(p) {
			lost[p.Spec.NodeName] = true
		}
	}
	return lost
}

func (c *coverage) observed() *appsv1.DaemonSet {
	for _, set := range c.sets.All() {
		if set.Name == c.set.Name && set.Status.ObservedGeneration >= set.Generation {
			return set
		}
	}
	return nil
}

// readyOn gives the nodes that have a ready pod.
func (c *coverage) readyOn() map[string]bool {
	ready := map[string]bool{}
	for _, p := range c.pods.All() {
		if snapshot.PodReady(p) && p.DeletionTimestamp.IsZero() {
			ready[p.Spec.NodeName] = true
		}
	}
	return ready
}

// excused says why a node need not have a pod; "" where it should. That a node is in trouble is no
// excuse, though the taints of that keep pods away: it is what the check is there to see.
func (c *coverage) excused(n *corev1.Node) string {
	template := &corev1.Pod{Spec: c.set.Spec.Template.Spec}
	switch {
	case !n.DeletionTimestamp.IsZero():
		return "is being deleted"
	case n.Spec.Unschedulable:
		return "is cordoned"
	case snapshot.VirtualNode(n):
		return "is virtual"
	case !snapshot.NodeWanted(template, n):
		return "does not match " + optionNodeSelector
	}
	for i := range n.Spec.Taints {
		t := &n.Spec.Taints[i]
		switch {
		case t.Effect == corev1.TaintEffectPreferNoSchedule:
		case allows(c.options.allowed, t):
			return "has the allowed taint " + t.ToString()
		case leaves(t):
			return "has the taint " + t.ToString()
		case snapshot.FaultTaint(t):
		case !snapshot.Tolerates(template, t):
			return "has the taint " + t.ToString() + ", which is not tolerated"
		}
	}
	return ""
}

// allows tells that a taint is among those that are allowed; one without value allows any value.
func allows(allowed []corev1.Taint, t *corev1.Taint) bool {
	return slices.ContainsFunc(allowed, func(a corev1.Taint) bool {
		return a.Key == t.Key && (a.Effect == "" || a.Effect == t.Effect) && (a.Value == "" || a.Value == t.Value)
	})
}

// leaves tells that a taint says that its node is not yet there, or about to go:
// https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/utils/taints/taints.go
// https://karpenter.sh/docs/concepts/disruption/
// https://kubernetes.io/docs/reference/labels-annotations-taints/
func leaves(t *corev1.Taint) bool {
	switch t.Key {
	case "node.cloudprovider.kubernetes.io/uninitialized", "node.cloudprovider.kubernetes.io/shutdown",
		corev1.TaintNodeOutOfService, corev1.TaintNodeUnschedulable,
		"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/unregistered":
		return true
	}
	return false
}

// report gives each node its result, and an error for each reason that some of them share.
func (c *coverage) report(ctx context.Context, env Environment, r *Result, late error, views *stage.Views) {
	ready, explained := c.readyOn(), 0
	byReason := map[string][]string{}
	excuses := map[string][]string{}
	for _, n := range c.judged() {
		if ready[n.Name] {
			r.Nodes = append(r.Nodes, NodeResult{Node: n.Name, OK: true, Seconds: c.ready[n.Name].Sub(c.began).Seconds()})
			continue
		}
		excuse := c.excused(n)
		if excuse == "" && late != nil && n.CreationTimestamp.After(c.began) {
			excuse = "joined during the run"
		}
		if excuse != "" {
			excuses[excuse] = append(excuses[excuse], n.Name)
			continue
		}
		explained++
		why := c.why(ctx, env, n, explained <= mostExplained)
		r.Nodes = append(r.Nodes, NodeResult{Node: n.Name, Message: why})
		byReason[why] = append(byReason[why], n.Name)
	}
	for _, excuse := range slices.Sorted(maps.Keys(excuses)) {
		r.Notes = append(r.Notes, fmt.Sprintf("node %s %s: not asked for a pod", names(excuses[excuse]), excuse))
	}
	for _, why := range slices.Sorted(maps.Keys(byReason)) {
		r.Errors = append(r.Errors, fmt.Sprintf("node %s: %s", names(byReason[why]), why))
	}
	if late == nil {
		return
	}
	if trouble := views.Trouble(); trouble != nil || len(byReason) == 0 {
		r.Errors = append(r.Errors, c.incomplete(late, views))
	}
}

// judged gives the nodes; where they may not be listed, those that pods are on.
func (c *coverage) judged() []*corev1.Node {
	if c.nodes.Denied() == nil {
		return c.nodes.All()
	}
	var nodes []*corev1.Node
	for _, p := range c.pods.All() {
		if p.Spec.NodeName != "" {
			n := &corev1.Node{}
			n.Name, n.Labels, n.Spec.Taints = p.Spec.NodeName, c.options.selector, nil
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes
}

// incomplete is for what no node shows.
func (c *coverage) incomplete(late error, views *stage.Views) string {
	if stage.Denied(late) {
		return stage.Refused(late).Error()
	}
	text := fmt.Sprintf("DaemonSet %s/%s had not all its pods ready when %s", c.set.Namespace, c.set.Name, cutShort(late, views))
	if set := c.observed(); set == nil {
		return text + "; the DaemonSet controller has not taken it up"
	} else if c.nodes.Denied() != nil {
		text += fmt.Sprintf("; %d of %d are", len(c.readyOn()), set.Status.DesiredNumberScheduled)
	}
	return text
}
