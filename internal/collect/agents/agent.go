package agents

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Agent is an agent that can be asked.
type Agent struct {
	// Node is the name of the Node object of its machine.
	Node string `json:"node"`
	// Key is the fingerprint of its public key (monitor.KeyAnnotation).
	Key string `json:"key"`
	// Addresses of its machine in the network of the machines, the preferred first.
	Addresses []string `json:"addresses"`

	// namespace and pod are where it runs; empty where it is only remembered.
	namespace, pod string
	// ready tells whether pod and node say that they work.
	ready bool
}

// seen is what a snapshot tells of a cluster's agents.
type seen struct {
	// agents that can be asked, those that are ready first, by node.
	agents []Agent
	// silent are the nodes whose machines nobody can speak for, and why.
	silent map[string]string
	// nodes are the names of all nodes.
	nodes []string
	// pods tells whether any pod of an agent is there.
	pods bool
}

// The labels of the agents' pods
// (https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/).
const (
	nameLabel      = "app.kubernetes.io/name"
	componentLabel = "app.kubernetes.io/component"
	nameOfMaek     = "maek"
)

// look finds the agents in a snapshot.
func look(s *snapshot.Snapshot) seen {
	out := seen{silent: map[string]string{}}
	pods := map[string]*corev1.Pod{}
	for _, p := range snapshot.List[*corev1.Pod](s) {
		if isAgent(p) && (pods[p.Spec.NodeName] == nil || snapshot.PodReady(p)) {
			pods[p.Spec.NodeName] = p
			out.pods = true
		}
	}
	for _, n := range snapshot.List[*corev1.Node](s) {
		out.nodes = append(out.nodes, n.Name)
		p, key := pods[n.Name], n.Annotations[monitor.KeyAnnotation]
		switch {
		case p == nil:
			out.silent[n.Name] = "no agent runs there"
		case key == "":
			out.silent[n.Name] = "its agent has not published its key yet (annotation " + monitor.KeyAnnotation + " of the Node)"
		default:
			out.agents = append(out.agents, Agent{
				Node: n.Name, Key: key, Addresses: addressesOf(n),
				namespace: p.Namespace, pod: p.Name, ready: snapshot.PodReady(p) && nodeReady(n),
			})
		}
	}
	slices.SortStableFunc(out.agents, func(a, b Agent) int {
		switch {
		case a.ready == b.ready:
			return 0
		case a.ready:
			return -1
		default:
			return 1
		}
	})
	return out
}

// isAgent tells a pod of the agent by its labels. Anybody may set them: whom one speaks to is settled
// by the key on the Node.
func isAgent(p *corev1.Pod) bool {
	return p.Labels[nameLabel] == nameOfMaek && p.Labels[componentLabel] == monitor.Component &&
		p.Spec.HostNetwork && p.Spec.NodeName != "" && metav1.GetControllerOf(p) != nil
}

func nodeReady(n *corev1.Node) bool {
	c := snapshot.NodeCondition(n, corev1.NodeReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// addressesOf are the addresses at which machines reach each other.
func addressesOf(n *corev1.Node) []string {
	var out []string
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			out = append(out, strings.TrimSpace(a.Address))
		}
	}
	return out
}
