package workload

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/maek-dev/maek/internal/snapshot"
)

// untolerated returns the first taint of a node that keeps a pod away, as the scheduler's
// TaintToleration plugin finds it; nil where none does.
func untolerated(p *corev1.Pod, n *corev1.Node) *corev1.Taint {
	for i := range n.Spec.Taints {
		t := &n.Spec.Taints[i]
		if t.Effect != corev1.TaintEffectPreferNoSchedule && !snapshot.Tolerates(p, t) {
			return t
		}
	}
	return nil
}

// requested is how much of a resource a pod asks for: what its containers ask for together, or its
// neediest init container, and its overhead (k8s.io/component-helpers/resource, PodRequests).
func requested(p *corev1.Pod, name corev1.ResourceName) resource.Quantity {
	var sum, first resource.Quantity
	for i := range p.Spec.Containers {
		sum.Add(p.Spec.Containers[i].Resources.Requests[name])
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		q := c.Resources.Requests[name]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			sum.Add(q)
			continue
		}
		if q.Cmp(first) > 0 {
			first = q
		}
	}
	if first.Cmp(sum) > 0 {
		sum = first
	}
	if p.Spec.Resources != nil {
		if q, ok := p.Spec.Resources.Requests[name]; ok {
			sum = q.DeepCopy()
		}
	}
	sum.Add(p.Spec.Overhead[name])
	return sum
}

// ledger knows how much of each resource the nodes have, and have left. It adds that up once for
// each resource that is asked about, so that many pending pods cost little more than one.
type ledger struct {
	s         *snapshot.Snapshot
	resources map[corev1.ResourceName]account
	// outlooks are what was seen of the nodes, by what the pods that were to be placed ask for.
	outlooks map[string]*outlook
}

// account is one resource on all nodes.
type account struct {
	// all and left are the nodes by how much of it they have, and have left, the most first.
	all, left []stock
}

// stock is how much of a resource a node has.
type stock struct {
	node   *corev1.Node
	amount resource.Quantity
}

func newLedger(s *snapshot.Snapshot) ledger {
	return ledger{s: s, resources: map[corev1.ResourceName]account{}, outlooks: map[string]*outlook{}}
}

func (l ledger) account(name corev1.ResourceName) account {
	a, ok := l.resources[name]
	if !ok {
		a = l.addUp(name)
		l.resources[name] = a
	}
	return a
}

func (l ledger) addUp(name corev1.ResourceName) account {
	var a account
	left := map[string]*resource.Quantity{}
	for _, n := range snapshot.List[*corev1.Node](l.s) {
		amount := n.Status.Allocatable[name].DeepCopy()
		a.all = append(a.all, stock{n, amount})
		rest := amount.DeepCopy()
		left[n.Name] = &rest
	}
	for _, p := range snapshot.List[*corev1.Pod](l.s) {
		if rest, ok := left[p.Spec.NodeName]; ok && !snapshot.PodDone(p) {
			rest.Sub(requested(p, name))
		}
	}
	for _, s := range a.all {
		a.left = append(a.left, stock{s.node, *left[s.node.Name]})
	}
	most := func(a, b stock) int { return b.amount.Cmp(a.amount) }
	slices.SortStableFunc(a.all, most)
	slices.SortStableFunc(a.left, most)
	return a
}

// first returns the first node of a list that is accepted; nil where none is.
func first(stocks []stock, accept func(*corev1.Node) bool) (*corev1.Node, resource.Quantity) {
	for _, s := range stocks {
		if accept(s.node) {
			return s.node, s.amount
		}
	}
	return nil, resource.Quantity{}
}
