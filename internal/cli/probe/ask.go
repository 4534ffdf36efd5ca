package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/collect/pods"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
)

const (
	// askLimit bounds one attempt: specs may allow an hour.
	askLimit = 20 * time.Second
	// openLimit bounds the opening of a way to a pod.
	openLimit = 5 * time.Second
	// settleLimit is how long a kubelet is given to say that nothing listens on a port: it does not say that
	// something does.
	settleLimit = 500 * time.Millisecond
	// lingerLimit is how long container runtimes may keep a forwarded connection open after the program has ended it:
	// containerd waits a second for the other direction
	// (github.com/containerd/containerd/v2/internal/cri/server/sandbox_portforward_linux.go).
	lingerLimit = 1500 * time.Millisecond
	// asksAtOnce bounds how many probes are asked at the same time.
	asksAtOnce = 8
)

// asked is what asking one probe from one vantage came to.
type asked struct {
	// from where; "" where no vantage is right for it.
	from    vantage
	outcome probe.Outcome
	timeout time.Duration
	// not says why it was not asked; empty where it was.
	not finding.Text
}

// answered tells whether there is an outcome.
func (a asked) answered() bool { return a.from != "" && a.not.IsZero() }

// Names that --ask takes.
const (
	askNode    = "node"
	askForward = "forward"
	askExec    = "exec"
)

// key names a probe among those of a target.
type key struct {
	pod, container string
	kind           probe.Kind
}

func (o one) key() key { return key{o.pod.Name, o.container.Name, o.kind} }

// asker asks probes.
type asker struct {
	config *rest.Config
	now    func() time.Time
	after  func(time.Duration) <-chan time.Time
	// from is one of the names that --ask takes; "" asks from the node and by a port-forward.
	from string
	// agents of the pods' nodes.
	agents map[string]onNode
}

// askAll asks probes, some at once, each from every vantage that is right for it.
func (a *asker) askAll(ctx context.Context, all []one) map[key][]asked {
	out := make(map[key][]asked, len(all))
	var mu sync.Mutex
	var wg sync.WaitGroup
	if a.from == "" || a.from == askNode {
		wg.Go(func() {
			a.fromNodes(ctx, all, func(o one, answer asked) {
				mu.Lock()
				defer mu.Unlock()
				out[o.key()] = slices.Insert(out[o.key()], 0, answer)
			})
		})
	}
	slots := make(chan struct{}, asksAtOnce)
	for _, o := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			answer, right := a.ask(ctx, o)
			if !right {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[o.key()] = append(out[o.key()], answer)
		})
	}
	wg.Wait()
	return out
}

// ask asks one probe from the vantage that is right for it beside its node; false where that is none.
func (a *asker) ask(ctx context.Context, o one) (asked, bool) {
	timeout := min(probe.Timeout(o.spec), askLimit)
	target := o.target()
	switch target := target.(type) {
	case probe.Impossible:
		return asked{not: finding.Textf("the spec leads to nothing that could be asked", "이 spec으로는 보낼 요청을 만들 수 없습니다")}, true
	case probe.Exec:
		return a.command(ctx, target, timeout), true
	case probe.HTTP:
		if a.from == askExec {
			return a.fetch(ctx, o, target, timeout), true
		}
	}
	if a.from == askNode {
		return asked{}, false
	}
	return a.forwarded(ctx, o, target, timeout), true
}

// command asks by a command in the container.
func (a *asker) command(ctx context.Context, target probe.Exec, timeout time.Duration) asked {
	runner := &refusals{Runner: pods.Commands{Config: a.config}}
	prober := probe.New(probe.Options{Now: a.now, Run: runner})
	outcome := prober.Probe(ctx, target, timeout)
	if runner.err != nil {
		return asked{from: byExec, not: notAsked(runner.err, "create on pods/exec")}
	}
	return asked{from: byExec, outcome: outcome, timeout: timeout}
}

// refusals keeps what the API server itself has against running a command: that is no answer of the container's.
type refusals struct {
	probe.Runner

	err error
}

// Run implements [probe.Runner].
func (r *refusals) Run(ctx context.Context, target probe.Exec, timeout time.Duration) ([]byte, int, error) {
	output, code, err := r.Runner.Run(ctx, target, timeout)
	if err != nil && !errors.Is(err, probe.ErrCommandTimedOut) && !missingCommand(err) {
		r.err = err
	}
	return output, code, err
}

// missingCommand tells whether a container runtime could not run a command that is not in the image.
func missingCommand(err error) bool {
	text := err.Error()
	return strings.Contains(text, "executable file not found") || strings.Contains(text, "no such file or directory") || strings.Contains(text, "permission denied: unknown")
}

// forwarded asks through a port-forward. The way there is made before the clock of the attempt starts.
func (a *asker) forwarded(ctx context.Context, o one, target probe.Target, timeout time.Duration) asked {
	if host := hostOf(o.spec); host != "" && host != o.pod.Status.PodIP {
		return asked{from: byForward, not: finding.Textf("it asks another host, %s, and a port-forward leads to the pod alone", "다른 호스트(%s)에 요청하는 probe이며 port-forward는 Pod에만 연결됩니다", said(host))}
	}
	ctx, cancel := context.WithTimeout(ctx, openLimit+timeout+lingerLimit)
	defer cancel()
	opening, opened := context.WithTimeout(ctx, openLimit)
	tunnel, err := pods.Open(opening, a.config, o.pod.Namespace, o.pod.Name)
	opened()
	if err != nil {
		return asked{from: byForward, not: notAsked(err, "create on pods/portforward")}
	}
	defer tunnel.Close()
	through := &passage{life: ctx, tunnel: tunnel, ip: o.pod.Status.PodIP, clock: &clock{now: a.now, timeout: timeout}}
	if _, ok := target.(probe.TCP); ok {
		through.settle = func() <-chan time.Time { return a.after(min(settleLimit, timeout)) }
	}
	prober := probe.New(probe.Options{Now: a.now, Dial: through.dial})
	if _, ok := target.(probe.HTTP); !ok {
		return asked{from: byForward, outcome: prober.Probe(ctx, target, timeout), timeout: timeout}
	}
	outcome := prober.Probe(ctx, target, timeout+lingerLimit)
	outcome.Latency = through.clock.took(outcome)
	return asked{from: byForward, outcome: outcome, timeout: timeout}
}

// clock holds an attempt to its timeout by what arrives, for the end of a connection arrives late.
type clock struct {
	now     func() time.Time
	timeout time.Duration

	mu          sync.Mutex
	began, last time.Time
}

// start begins with the first connection: redirects make further ones.
func (c *clock) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.began.IsZero() {
		c.began = c.now()
	}
}

// arrived tells whether what has just arrived is in time.
func (c *clock) arrived() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.Sub(c.began) > c.timeout {
		return false
	}
	c.last = now
	return true
}

// took is how long an attempt took until the last of what arrived, and all its time where it was not done then.
func (c *clock) took(o probe.Outcome) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case o.Latency <= c.timeout:
		return o.Latency
	case o.HTTP != nil && !o.Kubelet.Discarded:
		return c.last.Sub(c.began)
	default:
		return c.timeout
	}
}

// hostOf is the host that a probe names instead of its pod; "" for none.
func hostOf(spec *corev1.Probe) string {
	switch {
	case spec.HTTPGet != nil:
		return spec.HTTPGet.Host
	case spec.TCPSocket != nil:
		return spec.TCPSocket.Host
	default:
		return ""
	}
}

// passage dials a pod's ports through a tunnel.
type passage struct {
	// life of the connections: that of a dialling ends with the dialling.
	life   context.Context //nolint:containedctx // a dialler is given no other
	tunnel *pods.Tunnel
	ip     string
	clock  *clock
	// settle, where it is not nil, is how long to wait for a complaint before a connection counts as made.
	settle func() <-chan time.Time
}

func (p *passage) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("reading the port of %s: %w", address, err)
	}
	if host != p.ip {
		return nil, fmt.Errorf("a port-forward does not lead to %s", host)
	}
	p.clock.start()
	life, end := context.WithCancel(p.life)
	stop := context.AfterFunc(ctx, end)
	conn, err := p.tunnel.Dial(life, number)
	if err == nil && p.settle != nil {
		err = conn.Settled(ctx, p.settle())
	}
	if !stop() || err != nil {
		end()
		return nil, inside(err, port, ctx)
	}
	return forwardedConn{Conn: conn, port: port, clock: p.clock, end: end}, nil
}

// forwardedConn tells the kubelet's complaints in the words of those who dial themselves.
type forwardedConn struct {
	*pods.Conn

	port  string
	clock *clock
	end   func()
}

// Read implements net.Conn.
func (c forwardedConn) Read(data []byte) (int, error) {
	n, err := c.Conn.Read(data)
	if n > 0 && !c.clock.arrived() {
		return 0, context.DeadlineExceeded
	}
	return n, inside(err, c.port, nil)
}

// Close implements net.Conn.
func (c forwardedConn) Close() error {
	c.end()
	return c.Conn.Close()
}

// inside shortens what a kubelet says of a connection that it could not make in the pod, with the names of
// network namespaces and containers, to what a dialler says.
func inside(err error, port string, ctx context.Context) error { //nolint:revive // the error is what it is about
	switch {
	case ctx != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil && strings.Contains(err.Error(), "connection refused"):
		return fmt.Errorf("dial tcp localhost:%s in the pod: connect: connection refused", port)
	default:
		return err
	}
}

// notAsked says why the API server or the kubelet let nothing be asked.
func notAsked(err error, right string) finding.Text {
	switch {
	case apierrors.IsForbidden(err):
		return finding.Textf("forbidden: needs %s", "권한 없음: %s 필요", right)
	case errors.Is(err, context.DeadlineExceeded):
		return finding.Textf("the API server or the node's kubelet did not let it through in time", "API 서버 또는 노드의 kubelet이 제시간에 연결해 주지 않았습니다")
	default:
		return finding.Verbatim(said(err.Error()))
	}
}
