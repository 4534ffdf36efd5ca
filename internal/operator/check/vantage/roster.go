package vantage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/monitor"
)

// rosterFor is how long it is good who has an agent: nodes come and go more slowly than Checks run.
const rosterFor = 5 * time.Second

// place is a node that has an agent.
type place struct {
	node string
	// line to it; nil where unasked says why it is not asked.
	line    *agents.Line
	unasked error
}

// roster knows the nodes that have an agent.
type roster struct {
	reader client.Reader
	port   uint16
	now    func() time.Time

	mu     sync.Mutex
	at     time.Time
	places []place
	// lines that are kept, with whom they lead to.
	lines map[string]kept
}

type kept struct {
	agent agents.Agent
	line  *agents.Line
}

// look returns the nodes that have an agent, by name.
func (r *roster) look(ctx context.Context) ([]place, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && r.now().Sub(r.at) < rosterFor {
		return r.places, nil
	}
	var pods corev1.PodList
	if err := r.reader.List(ctx, &pods, client.MatchingLabels(agents.Labels()), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("looking for agents: listing pods: %w", err)
	}
	has := map[string]bool{}
	for i := range pods.Items {
		// Anybody may set labels: whom one speaks to is settled by the key on the Node.
		if spec := &pods.Items[i].Spec; spec.HostNetwork && spec.NodeName != "" {
			has[spec.NodeName] = true
		}
	}
	var nodes corev1.NodeList
	if len(has) > 0 {
		if err := r.reader.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("looking for agents: listing nodes: %w", err)
		}
	}
	places := make([]place, 0, len(has))
	lines := make(map[string]kept, len(has))
	for i := range nodes.Items {
		if n := &nodes.Items[i]; has[n.Name] {
			p := r.place(n)
			if p.line != nil {
				lines[n.Name] = kept{agentOf(n), p.line}
			}
			places = append(places, p)
		}
	}
	for name, old := range r.lines {
		if lines[name].line != old.line {
			old.line.Close()
		}
	}
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(a.node, b.node) })
	r.places, r.lines, r.at = places, lines, r.now()
	return places, nil
}

func (r *roster) place(n *corev1.Node) place {
	a := agentOf(n)
	p := place{node: n.Name}
	switch {
	case !ready(n):
		p.unasked = fmt.Errorf("node %s is not ready", n.Name)
	case a.Key == "":
		p.unasked = fmt.Errorf("the agent of %s has not published its key yet (annotation %s of the Node)", n.Name, monitor.KeyAnnotation)
	case len(a.Addresses) == 0:
		p.unasked = fmt.Errorf("node %s tells no internal address, at which its agent could be asked", n.Name)
	default:
		if known, ok := r.lines[n.Name]; ok && known.agent.Key == a.Key && slices.Equal(known.agent.Addresses, a.Addresses) {
			p.line = known.line
		} else {
			p.line = agents.NewLine(a, r.port)
		}
	}
	return p
}

func agentOf(n *corev1.Node) agents.Agent {
	a := agents.Agent{Node: n.Name, Key: n.Annotations[monitor.KeyAnnotation]}
	for _, address := range n.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			a.Addresses = append(a.Addresses, address.Address)
		}
	}
	return a
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// end closes all lines.
func (r *roster) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.lines {
		k.line.Close()
	}
	r.lines, r.places, r.at = nil, nil, time.Time{}
}
