package synthetic

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/synthetic/stage"
)

// why says what keeps a node without a ready pod.
func (c *coverage) why(ctx context.Context, env Environment, n *corev1.Node, ask bool) string {
	trouble := notReady(n)
	for _, p := range c.pods.All() {
		if p.Spec.NodeName != n.Name && target(p) != n.Name {
			continue
		}
		if trouble != "" {
			return trouble
		}
		if !ask {
			return "its pod is not ready"
		}
		if why := stage.WhyNot(ctx, env.Client, p); why != "" {
			return "its pod " + why
		}
		return "its pod was not ready for long enough"
	}
	switch {
	case trouble != "":
		return trouble
	case c.observed() == nil:
		return "no pod was made for it: the DaemonSet controller has not taken up the DaemonSet"
	}
	if warning := stage.LastWarning(ctx, env.Client, c.set); ask && warning != "" {
		return "no pod was made for it: " + warning
	}
	return "no pod was made for it, and the DaemonSet controller does not say why"
}

// target is the node that the DaemonSet controller made a pod for: it says so by node affinity
// (pkg/controller/daemon/util/daemonset_util.go, ReplaceDaemonSetPodNodeNameNodeAffinity).
func target(p *corev1.Pod) string {
	if p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil || p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, f := range term.MatchFields {
			if f.Key == "metadata.name" && len(f.Values) == 1 {
				return f.Values[0]
			}
		}
	}
	return ""
}

// notReady says since when, and why, a node is not ready; "" for one that is.
func notReady(n *corev1.Node) string {
	for _, condition := range n.Status.Conditions {
		if condition.Type != corev1.NodeReady || condition.Status == corev1.ConditionTrue {
			continue
		}
		why := "the node is NotReady since " + condition.LastTransitionTime.UTC().Format(time.RFC3339)
		if condition.Reason != "" {
			why += " (" + condition.Reason + ")"
		}
		return why
	}
	return ""
}

// gone tells that the DaemonSet and its pods are, but for pods on nodes that are lost: nobody ends those.
func (c *coverage) gone(ctx context.Context) bool {
	if slices.ContainsFunc(c.sets.All(), func(d *appsv1.DaemonSet) bool { return d.Name == c.set.Name }) {
		return false // Its controller would make anew what is removed.
	}
	c.patience.verify(ctx)
	lost, pods := c.lost(), c.pods.All()
	for _, p := range pods {
		if !lost[p.Spec.NodeName] {
			return false
		}
	}
	return len(pods) == 0 || c.patience.sure(ctx)
}

// abandon removes the pods of nodes that are lost, and reports those nodes that had been well before.
func (c *coverage) abandon(ctx context.Context, env Environment, s *stage.Stage, r *Result, removed time.Time) {
	well := map[string]bool{}
	for _, n := range r.Nodes {
		well[n.Node] = n.OK
	}
	left := c.pods.All()
	nodes := c.byName()
	for _, p := range left {
		if err := s.Abandon(ctx, p); err != nil {
			r.Errors = append(r.Errors, err.Error())
		}
		if well[p.Spec.NodeName] {
			r.Errors = append(r.Errors, fmt.Sprintf("node %s: the pod was still there %s after its DaemonSet was deleted: %s",
				p.Spec.NodeName, env.Clock.Since(removed).Round(time.Second), c.whyLeft(ctx, env, p, nodes[p.Spec.NodeName])))
		}
	}
}

// byName gives the nodes by their names.
func (c *coverage) byName() map[string]*corev1.Node {
	nodes := map[string]*corev1.Node{}
	for _, n := range c.nodes.All() {
		nodes[n.Name] = n
	}
	return nodes
}

// whyLeft says why a pod does not go; its node is nil where it is not known.
func (c *coverage) whyLeft(ctx context.Context, env Environment, p *corev1.Pod, n *corev1.Node) string {
	switch {
	case n != nil && notReady(n) != "":
		return notReady(n)
	case p.DeletionTimestamp.IsZero():
		return "the garbage collector has not deleted it"
	}
	why := "the kubelet has not ended it"
	if warning := stage.LastWarning(ctx, env.Client, p); warning != "" {
		why += ": " + warning
	}
	return why
}

// reportLeft names the nodes on which pods do not go, and has the API server asked once more: the
// garbage collector may be what is broken.
func (c *coverage) reportLeft(ctx context.Context, env Environment, s *stage.Stage, r *Result, after time.Duration, cut string) {
	byReason := map[string][]string{}
	nodes := c.byName()
	for _, p := range c.pods.All() {
		why := c.whyLeft(ctx, env, p, nodes[p.Spec.NodeName])
		byReason[why] = append(byReason[why], p.Spec.NodeName)
		if err := s.Remove(ctx, p); err != nil {
			r.Errors = append(r.Errors, err.Error())
		}
	}
	for _, why := range slices.Sorted(maps.Keys(byReason)) {
		r.Errors = append(r.Errors, fmt.Sprintf("node %s: the pod was still there %s after its DaemonSet was deleted, when %s: %s",
			names(byReason[why]), after.Round(time.Second), cut, why))
	}
	if len(byReason) == 0 {
		r.Errors = append(r.Errors, "the removal of the pods could not be seen to its end: "+cut)
	}
}
