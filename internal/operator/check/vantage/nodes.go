package vantage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/remote"
)

// The reasons of refusals.
const (
	// ReasonNoAgents: no node has an agent.
	ReasonNoAgents = "NoAgents"
	// ReasonNotFromNodes: what is asked cannot be asked from nodes.
	ReasonNotFromNodes = "NotFromNodes"
)

const (
	// agentsAtOnce are asked at a time in one run.
	agentsAtOnce = 64
	// agentWorkers is how many probes of one request an agent makes at a time.
	agentWorkers = 8
	// grace is what an agent has beyond the time that its probes may take.
	grace = 10 * time.Second
	// maxKept is how much of bodies and messages the answers of one Confirm hold together, in bytes: 5,000 nodes
	// that each tell 10 KiB.
	maxKept = 64 << 20
)

// NodesOptions are what Nodes works with.
type NodesOptions struct {
	// Reader of Nodes and of the agents' pods. Of a Node its name, annotations, addresses and conditions are
	// read, and of a pod its labels, the name of its node and whether it is in the node's network. It is needed.
	Reader client.Reader
	// Token gives the token to show to agents (agents.TokenFrom). It is needed.
	Token func() (string, error)
	// Port of agents; 0 is monitor.Port.
	Port uint16
	// Now is this machine's clock. It is needed.
	Now func() time.Time
}

// Nodes asks from every node that has an agent.
type Nodes struct {
	token  func() (string, error)
	now    func() time.Time
	roster roster
}

// NewNodes makes a Nodes. It asks nobody anything.
func NewNodes(o NodesOptions) *Nodes {
	return &Nodes{token: o.Token, now: o.Now, roster: roster{reader: o.Reader, port: cmp.Or(o.Port, monitor.Port), now: o.Now}}
}

// Close ends the connections to agents.
func (n *Nodes) Close() { n.roster.end() }

// Each asks each question from every node that has an agent, and gives an answer for each of both, one by one as
// they come. Each attempt has the timeout from when it begins. What cannot be asked from nodes at all gives one
// answer that is from none, whose Unasked is a *plan.Refusal.
func (n *Nodes) Each(ctx context.Context, questions []plan.Question, timeout time.Duration, tell func(plan.Answer)) {
	r := n.prepare(ctx, questions, timeout, func(_ int, a plan.Answer) { tell(a) })
	if r != nil {
		r.askAll(ctx, r.places)
	}
}

// Confirm asks each question from different nodes until as many as atLeast have an outcome of each, or no node
// is left, and returns all answers, by node and in the order of the questions. The nodes are others for other
// questions.
func (n *Nodes) Confirm(ctx context.Context, questions []plan.Question, timeout time.Duration, atLeast int) []plan.Answer {
	return gather(func(tell func(int, plan.Answer)) {
		outcomes := make(map[string]int)
		r := n.prepare(ctx, questions, timeout, func(i int, a plan.Answer) {
			if a.Unasked == nil {
				outcomes[a.From]++
			}
			tell(i, a)
		})
		if r == nil {
			return
		}
		var names []string
		for _, q := range questions {
			names = append(names, string(q.Pod.UID), q.Name)
		}
		salt := strings.Join(names, " ")
		order := slices.Clone(r.places)
		slices.SortStableFunc(order, func(a, b place) int { return cmp.Compare(lot(salt, a), lot(salt, b)) })
		for len(order) > 0 && ctx.Err() == nil {
			confirmed := 0
			for _, had := range outcomes {
				if had >= len(r.probes) {
					confirmed++
				}
			}
			missing := min(atLeast-confirmed, len(order))
			if missing <= 0 {
				return
			}
			r.askAll(ctx, order[:missing])
			order = order[missing:]
		}
	})
}

// lot orders nodes as by lot, and those that are not asked anyway last.
func lot(salt string, p place) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(salt + p.node))
	if p.line == nil {
		return 1<<63 | h.Sum64()>>1
	}
	return h.Sum64() >> 1
}

// gather holds answers, within bounds, and puts them into their order.
func gather(each func(tell func(int, plan.Answer))) []plan.Answer {
	type numbered struct {
		plan.Answer

		question int
	}
	var all []numbered
	held := 0
	each(func(i int, a plan.Answer) {
		held += size(a.Outcome)
		if held > maxKept {
			a.Outcome, a.Unasked = probe.Outcome{}, fmt.Errorf("what all nodes were answered is larger than %d MiB together", maxKept>>20)
		}
		all = append(all, numbered{a, i})
	})
	slices.SortFunc(all, func(a, b numbered) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.question, b.question))
	})
	out := make([]plan.Answer, len(all))
	for i, a := range all {
		out[i] = a.Answer
	}
	return out
}

// size is about how much memory an outcome holds, in bytes.
func size(o probe.Outcome) int {
	n := len(o.Kubelet.Message) + len(o.Strict.Message)
	if o.HTTP != nil {
		n += len(o.HTTP.Body)
		for name, values := range o.HTTP.Header {
			for _, v := range values {
				n += len(name) + len(v)
			}
		}
	}
	return n
}

// round is questions that are asked from nodes.
type round struct {
	now     func() time.Time
	token   string
	timeout time.Duration
	places  []place
	// questions of the run, and the probes that those are that can be asked from nodes, with their places among
	// the questions.
	questions []plan.Question
	probes    []remote.Probe
	asks      []int

	mu sync.Mutex
	// tell is given answers with the places of their questions.
	tell func(int, plan.Answer)
}

// prepare makes a round; nil where nothing can be asked, of which it has told then.
func (n *Nodes) prepare(ctx context.Context, questions []plan.Question, timeout time.Duration, tell func(int, plan.Answer)) *round {
	unasked := func(err error) *round {
		for i, q := range questions {
			tell(i, plan.Answer{Question: q, At: n.now(), Unasked: err})
		}
		return nil
	}
	places, err := n.roster.look(ctx)
	if err != nil {
		return unasked(err)
	}
	if len(places) == 0 {
		return unasked(plan.Refuse(ReasonNoAgents, "no node has an agent to ask from: install it with kubectl maek install --agent, or write from: operator"))
	}
	token, err := n.token()
	if err != nil {
		return unasked(err)
	}
	r := &round{now: n.now, token: token, timeout: timeout, places: places, questions: questions, tell: tell}
	for i, q := range questions {
		p, err := remote.FromTarget(q.Probe, remote.Settings{Addresses: addressesOf(q), Nodes: q.Nodes, TLS: q.Options.TLS, Roots: q.Roots})
		if err != nil {
			tell(i, plan.Answer{Question: q, At: n.now(), Unasked: plan.Refuse(ReasonNotFromNodes, "%s cannot be asked from nodes: %s; write from: operator", q.Name, explain(err))})
			continue
		}
		r.probes, r.asks = append(r.probes, p), append(r.asks, i)
	}
	if len(r.probes) == 0 {
		return nil
	}
	return r
}

// explain says more of what a check's author can do about it.
func explain(err error) string {
	switch {
	case errors.Is(err, remote.ErrClientCertificate):
		return "tls.clientCertificate stays with the operator, for its key is not given to other machines"
	case errors.Is(err, remote.ErrNoAddress):
		return "agents look up no names outside the cluster"
	default:
		return err.Error()
	}
}

// addressesOf are where a question goes. A redirect to another port of the same host is followed, as kubelets
// do, but not on nodes.
func addressesOf(q plan.Question) []string {
	if _, ok := q.Probe.(probe.HTTP); !ok || q.Nodes {
		return q.Addresses
	}
	out := make([]string, 0, len(q.Addresses))
	for _, a := range q.Addresses {
		if host, _, err := net.SplitHostPort(a); err == nil {
			a = host
		}
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// askAll asks from nodes, some at once.
func (r *round) askAll(ctx context.Context, places []place) {
	workqueue.ParallelizeUntil(context.WithoutCancel(ctx), agentsAtOnce, len(places), func(i int) { r.from(ctx, places[i]) })
}

// from asks all questions from one node.
func (r *round) from(ctx context.Context, p place) {
	for first := 0; first < len(r.probes); first += remote.MaxProbes {
		last := min(first+remote.MaxProbes, len(r.probes))
		answered := make([]bool, last-first)
		err := p.unasked
		if err == nil {
			err = r.part(ctx, p, first, last, answered)
		}
		for i, done := range answered {
			if !done {
				r.give(p, first+i, plan.Answer{Unasked: err})
			}
		}
	}
}

// part has an agent make some of the probes. The error is why not all of them were.
func (r *round) part(ctx context.Context, p place, first, last int, answered []bool) error {
	rounds := (last - first + agentWorkers - 1) / agentWorkers
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rounds)*min(r.timeout, remote.MaxTimeout)+grace)
	defer cancel()
	err := p.line.Probe(ctx, r.token, remote.NewRequest(r.probes[first:last], r.timeout), func(a remote.Answer) bool {
		answered[a.Index] = true
		answer := plan.Answer{}
		if a.Outcome == nil {
			answer.Unasked = fmt.Errorf("the agent of %s did not ask: %s", p.node, words(a.Unasked))
		} else if outcome, err := a.Outcome.Outcome(); err != nil {
			answer.Unasked = fmt.Errorf("the agent of %s: %w", p.node, err)
		} else {
			answer.Outcome = outcome
		}
		r.give(p, first+a.Index, answer)
		return true
	})
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not answer in time: %w", context.Cause(ctx))
	}
	return fmt.Errorf("the agent of %s: %w", p.node, err)
}

// maxWords bounds what is kept of an agent's words, in bytes.
const maxWords = 500

func words(text string) string { return text[:min(len(text), maxWords)] }

// give tells of an answer to one of the probes.
func (r *round) give(p place, i int, a plan.Answer) {
	question := r.asks[i]
	a.Question, a.From, a.At = r.questions[question], p.node, r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(question, a)
}
