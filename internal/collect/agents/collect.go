package agents

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// DefaultTime that all agents together may take. One that passes reports on waits three seconds for
	// each of its peers, all at once.
	DefaultTime = 6 * time.Second
	// maxAsked is how many agents are asked for reports: one, and two more for machines that it does not
	// reach.
	maxAsked = 3
	// maxTries is how many agents are tried until one answers.
	maxTries = 5
	// headStart is how long the first agent is waited for alone.
	headStart = time.Second
	// leastPatience is what any agent has to begin its answer.
	leastPatience = time.Second
	// connectTime bounds reaching one address of one agent, where several are tried in turn.
	connectTime = 1500 * time.Millisecond
)

// Options say what to ask.
type Options struct {
	// Keys are patterns of the evidence that is wanted; none asks for all.
	Keys []snapshot.EvidenceKey
	// Time that everything together may take; 0 means DefaultTime.
	Time time.Duration
	// Memory of agents, for when the API server does not answer; nil for none.
	Memory *Memory
	// Token gives the token to show to agents, each time that one is asked. With it agents are reached at the
	// addresses of their machines, as pods can, which takes no right to forward ports and to make tokens. Nil
	// shows what the kubeconfig has, through the API server.
	Token func() (string, error)
}

// Reports are what agents told.
type Reports struct {
	// Installed tells whether the cluster has agents, as far as can be seen.
	Installed bool
	// Looked tells whether it could be seen at all.
	Looked bool
	// Reports of machines, by node.
	Reports []snapshot.MachineReport
	// Unreported are the nodes whose machines gave no report, and why.
	Unreported map[string]string
	// Asked are the nodes whose agents passed reports on, in the order in which they were asked.
	Asked []string
	// Skips are what else was wrong with what agents told.
	Skips []finding.Skip
}

// Collect asks the agents of a cluster that was read into a snapshot. Whatever is wrong with them is in
// the Reports.
func Collect(ctx context.Context, cfg *rest.Config, s *snapshot.Snapshot, o Options) Reports {
	limit := cmp.Or(o.Time, DefaultTime)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var c *collector
	if s.API().Failure == nil {
		found := look(s)
		if !found.pods {
			return Reports{Looked: len(found.nodes) > 0}
		}
		o.Memory.save(found)
		way := forward(cfg)
		if o.Token != nil {
			way = direct
		}
		c = newCollector(cfg, unlessKnown(o.Keys, s), found, way)
	} else {
		known := o.Memory.load()
		if len(known.agents) == 0 {
			return Reports{}
		}
		c = newCollector(cfg, o.Keys, known, direct)
	}
	c.token = o.Token
	if cfg.Impersonate.UserName != "" {
		c.fail("agents know nobody but yourself, and were not asked on behalf of somebody else (--as)")
		return c.result()
	}
	c.patience = limit / 2
	c.run(ctx)
	return c.result()
}

// direct reaches agents at their machines' addresses.
func direct(ctx context.Context, a Agent) (net.Conn, error) {
	var errs []error
	for _, address := range a.Addresses {
		bounded, cancel := context.WithTimeout(ctx, connectTime)
		conn, err := (&net.Dialer{}).DialContext(bounded, "tcp", net.JoinHostPort(address, strconv.Itoa(monitor.Port)))
		cancel()
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, cmp.Or(errors.Join(errs...), errors.New("its machine has no address"))
}

// collector asks one agent after another.
type collector struct {
	cfg  *rest.Config
	keys []snapshot.EvidenceKey
	seen seen
	dial dialer
	// token is nil where the kubeconfig's credentials are shown.
	token func() (string, error)
	// patience is how long the first agent has to begin its answer; each one after it has half of that.
	patience time.Duration

	// nodes are those that a machine may stand under.
	nodes map[string]bool

	mu      sync.Mutex
	cleaner cleaner
	reports map[string]snapshot.MachineReport
	// missing are the nodes with an agent that have not reported.
	missing map[string]bool
	// errors are why nodes gave no report, so far.
	errors map[string]string
	// asked are the nodes whose agents answered, and tried all that were to.
	asked []string
	// begun is closed when the first of them did.
	begun chan struct{}
	tried map[string]bool
	// odd is what was wrong with what an agent told, by its node.
	odd map[string]string
	// left is how many bytes more are read.
	left int64
}

func newCollector(cfg *rest.Config, keys []snapshot.EvidenceKey, s seen, dial dialer) *collector {
	c := &collector{
		cfg: cfg, keys: keys, seen: s, dial: dial, patience: DefaultTime / 2, nodes: map[string]bool{},
		cleaner: cleaner{texts: map[string]string{}}, reports: map[string]snapshot.MachineReport{}, missing: map[string]bool{},
		errors: map[string]string{}, begun: make(chan struct{}), tried: map[string]bool{}, odd: map[string]string{}, left: maxBytes,
	}
	for _, n := range s.nodes {
		c.nodes[n] = true
	}
	for _, a := range s.agents {
		c.missing[a.Node] = true
	}
	return c
}

// run asks a first agent that answers for everything, and then, or once that one keeps waiting for
// somebody, two more at once for what is missing: those on the machines in question, which see the other
// side of a cut.
func (c *collector) run(ctx context.Context) {
	first, err := c.begin(ctx)
	if err != nil {
		c.fail(words(err.Error()))
		return
	}
	head := time.NewTimer(headStart)
	select {
	case <-first:
	case <-head.C:
	}
	head.Stop()
	var wg sync.WaitGroup
	for range maxAsked - 1 {
		a, ok := c.next()
		if !ok || len(c.unheard()) == 0 || ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			if err := c.ask(ctx, a, c.patience); err != nil {
				c.note(a.Node, err)
			}
		})
	}
	wg.Wait()
	<-first
}

// begin tries agents until one begins to answer, and returns a channel that is closed when it has ended.
func (c *collector) begin(ctx context.Context) (<-chan struct{}, error) {
	failure := errors.New("none of the agents is ready")
	for range maxTries {
		a, ok := c.next()
		if !ok || ctx.Err() != nil {
			break
		}
		ended, failed := make(chan struct{}), make(chan error, 1)
		go func() {
			defer close(ended)
			if err := c.ask(ctx, a, c.patience); err != nil {
				failed <- err
			}
		}()
		select {
		case <-c.begun:
			return ended, nil
		case err := <-failed:
			failure = fmt.Errorf("the agent of %s: %w", a.Node, err)
			c.note(a.Node, err)
			if errors.Is(err, errForbidden) || errors.Is(err, errNoToken) {
				return nil, failure
			}
		}
		c.patience = max(c.patience/2, leastPatience)
	}
	return nil, failure
}

// next is the agent to ask next: one whose own machine is not known yet, before all others.
func (c *collector) next() (Agent, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	best := -1
	for i, a := range c.seen.agents {
		if c.tried[a.Node] || !a.ready {
			continue
		}
		if _, known := c.reports[a.Node]; !known {
			best = i
			break
		}
		if best < 0 {
			best = i
		}
	}
	if best < 0 {
		return Agent{}, false
	}
	c.tried[c.seen.agents[best].Node] = true
	return c.seen.agents[best], true
}

// unheard are the nodes with an agent that have not reported.
func (c *collector) unheard() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.missing))
}

// errSilent is the error of an agent that does not begin its answer.
var errSilent = errors.New("it does not answer")

// ask takes in what one agent passes on. An error means that it gave nothing at all.
func (c *collector) ask(parent context.Context, a Agent, patience time.Duration) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	impatient := time.AfterFunc(patience, func() { cancel(errSilent) })
	client, err := c.client(ctx, a)
	if err != nil {
		return err
	}
	body, err := request(ctx, client, c.keys)
	impatient.Stop()
	if err != nil {
		return cmp.Or(silence(ctx), err)
	}
	defer func() { _ = body.Close() }()
	c.mu.Lock()
	if c.asked = append(c.asked, a.Node); len(c.asked) == 1 {
		close(c.begun)
	}
	c.mu.Unlock()
	err = readLines(&metered{r: body, c: c}, func(t told) bool { return c.take(a.Node, t) })
	if err != nil {
		reason := "the agent of " + a.Node + " broke off"
		switch {
		case parent.Err() != nil:
			reason = "no report came in the time that agents have"
		case errors.Is(err, errTooMuch):
			reason = errTooMuch.Error()
		}
		for _, node := range c.unheard() {
			c.note(node, errors.New(reason))
		}
	}
	return nil
}

// client makes a client of one agent.
func (c *collector) client(ctx context.Context, a Agent) (*http.Client, error) {
	if c.token == nil {
		return clientFor(ctx, c.cfg, a, c.dial, monitor.ReaderAccount)
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	return bearing(token, through(ctx, &tls.Config{}, a, c.dial)), nil
}

// silence is errSilent where that ended a request; nil where something else did.
func silence(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	return nil
}

// take takes in one line; false where nothing more is needed.
func (c *collector) take(from string, t told) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.nodes[t.Node] {
		reason := "told of a machine that is no node of this cluster"
		if t.Node == "" && t.err != nil {
			reason = words(t.err.Error())
		}
		c.odd[from] = reason
		return true
	}
	if _, twice := c.reports[t.Node]; twice {
		return true
	}
	switch {
	case t.err != nil:
		c.errors[t.Node] = words(t.err.Error())
	case t.Report == nil:
		if _, ok := c.errors[t.Node]; !ok {
			c.errors[t.Node] = words(t.Error)
		}
	default:
		c.cleaner.clean(t.Report)
		c.reports[t.Node] = *t.Report
		delete(c.missing, t.Node)
	}
	return len(c.missing) > 0
}

// note keeps why a machine gave no report.
func (c *collector) note(node string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.errors[node]; !ok {
		c.errors[node] = words(err.Error())
	}
}

// fail says of all machines with an agent why none gave a report.
func (c *collector) fail(reason string) {
	c.errors = map[string]string{}
	for _, a := range c.seen.agents {
		c.errors[a.Node] = reason
	}
}

func (c *collector) result() Reports {
	out := Reports{Installed: true, Looked: true, Unreported: map[string]string{}, Asked: c.asked}
	for _, node := range slices.Sorted(maps.Keys(c.reports)) {
		out.Reports = append(out.Reports, c.reports[node])
	}
	for _, reasons := range []map[string]string{c.seen.silent, c.errors} {
		for node, reason := range reasons {
			if _, ok := c.reports[node]; !ok {
				out.Unreported[node] = reason
			}
		}
	}
	for _, node := range c.unheard() {
		out.Unreported[node] = cmp.Or(c.errors[node], "the agents that were asked did not tell of it")
	}
	for _, from := range slices.Sorted(maps.Keys(c.odd)) {
		out.Skips = append(out.Skips, finding.Skip{Reason: finding.Textf(
			"agent of %s: %s; that is left out", "%s의 agent: %s. 이 내용은 제외합니다", from, finding.Quote(c.odd[from]))})
	}
	return out
}
