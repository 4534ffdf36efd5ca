package probe

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/remote"
)

// onNode is the agent of a node, or why there is none to ask.
type onNode struct {
	agent agents.Agent
	not   finding.Text
}

// agents looks for those of the pods' nodes.
func (r *reader) agents(ctx context.Context, e *evidence) map[string]onNode {
	out := map[string]onNode{}
	var without []string
	for name, node := range e.nodes {
		if node == nil || lost(node) {
			continue
		}
		var list corev1.PodList
		err := r.client.List(ctx, &list, client.MatchingLabels(agents.Labels()), client.MatchingFields{"spec.nodeName": name})
		if err != nil {
			out[name] = onNode{not: notListed(err)}
			continue
		}
		pods := make([]*corev1.Pod, len(list.Items))
		for i := range list.Items {
			pods[i] = &list.Items[i]
		}
		agent, err := agents.On(node, pods)
		switch {
		case len(pods) == 0:
			without = append(without, name)
		case err != nil:
			out[name] = onNode{not: finding.Verbatim("agent of " + name + ": " + said(err.Error()))}
		default:
			out[name] = onNode{agent: agent}
		}
	}
	slices.Sort(without)
	for _, name := range without {
		// One sentence about all of them is told once.
		out[name] = onNode{not: finding.Format("no agent runs on %s (kubectl maek install --agent)", "노드 %s에 agent가 없습니다(kubectl maek install --agent)", finding.List(without))}
	}
	return out
}

func notListed(err error) finding.Text {
	if apierrors.IsForbidden(err) {
		return finding.Textf("agents cannot be looked for (forbidden: needs list on pods in all namespaces)", "agent를 찾지 못했습니다(권한 없음: 모든 Namespace의 pods에 대한 list 필요)")
	}
	return finding.Textf("agents cannot be looked for (%s)", "agent를 찾지 못했습니다(%s)", said(err.Error()))
}

// group is probes that one agent can make in one request.
type group struct {
	node    string
	timeout time.Duration
	probes  []remote.Probe
	of      []one
}

// fromNodes has agents ask all probes that can be asked from nodes, and tells of each.
func (a *asker) fromNodes(ctx context.Context, all []one, tell func(one, asked)) {
	var groups []*group
	for _, o := range all {
		target, node := o.target(), o.pod.Spec.NodeName
		switch target.(type) {
		case probe.HTTP, probe.TCP, probe.GRPC:
		default:
			continue
		}
		at, known := a.agents[node]
		if !known || !at.not.IsZero() {
			missing := finding.Textf("the Node %s could not be read", "Node %s를 읽지 못했습니다", node)
			tell(o, asked{from: byNode, not: cmp.Or(at.not, missing)})
			continue
		}
		written, err := remote.FromTarget(target, whereTo(o, target))
		if err != nil {
			tell(o, asked{from: byNode, not: notFromNode(err)})
			continue
		}
		timeout := min(probe.Timeout(o.spec), askLimit)
		var into *group
		for _, g := range groups {
			if g.node == node && g.timeout == timeout && len(g.probes) < remote.MaxProbes {
				into = g
			}
		}
		if into == nil {
			into = &group{node: node, timeout: timeout}
			groups = append(groups, into)
		}
		into.probes, into.of = append(into.probes, written), append(into.of, o)
	}
	var wg sync.WaitGroup
	for _, g := range groups {
		wg.Go(func() { a.fromNode(ctx, g, tell) })
	}
	wg.Wait()
}

// fromNode has one agent make probes.
func (a *asker) fromNode(ctx context.Context, g *group, tell func(one, asked)) {
	ctx, cancel := context.WithTimeout(ctx, openLimit+time.Duration(len(g.probes))*g.timeout)
	defer cancel()
	done := make([]bool, len(g.of))
	err := agents.Probe(ctx, a.config, a.agents[g.node].agent, remote.NewRequest(g.probes, g.timeout), func(answer remote.Answer) bool {
		done[answer.Index] = true
		got := asked{from: byNode, timeout: g.timeout}
		if answer.Outcome == nil {
			got.not = finding.Verbatim(said(answer.Unasked))
		} else if outcome, err := answer.Outcome.Outcome(); err != nil {
			got.not = finding.Verbatim(said(err.Error()))
		} else {
			got.outcome = outcome
		}
		tell(g.of[answer.Index], got)
		return true
	})
	for i, o := range g.of {
		if !done[i] {
			tell(o, asked{from: byNode, not: silentAgent(g.node, err)})
		}
	}
}

func silentAgent(node string, err error) finding.Text {
	if errors.Is(err, context.DeadlineExceeded) {
		return finding.Textf("the agent of %s did not answer in time", "노드 %s의 agent가 제시간에 응답하지 않았습니다", node)
	}
	return finding.Verbatim("agent of " + node + ": " + said(err.Error()))
}

func notFromNode(err error) finding.Text {
	if errors.Is(err, remote.ErrNoAddress) {
		return finding.Textf("it asks a host by name, and agents look up no names", "호스트를 이름으로 지정한 probe이며 agent는 이름을 조회하지 않습니다")
	}
	return finding.Verbatim(said(err.Error()))
}

// whereTo is where a probe goes: as the kubelet, to any port of the pod that it is redirected to; in the
// node's own network, where others listen too, to its port alone.
func whereTo(o one, target probe.Target) remote.Settings {
	host, port := "", ""
	switch t := target.(type) {
	case probe.HTTP:
		host, port = t.URL.Hostname(), t.URL.Port()
	case probe.TCP:
		host, port, _ = net.SplitHostPort(t.Address)
	case probe.GRPC:
		host, port, _ = net.SplitHostPort(t.Address)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return remote.Settings{}
	}
	if number, err := strconv.ParseUint(port, 10, 16); err == nil && o.pod.Spec.HostNetwork {
		return remote.Settings{Addresses: []string{netip.AddrPortFrom(ip, uint16(number)).String()}, Nodes: true}
	}
	return remote.Settings{Addresses: []string{ip.String()}}
}
