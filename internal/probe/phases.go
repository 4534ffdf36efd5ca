package probe

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"time"
)

// exchange is one attempt over HTTP, with all requests that redirects make of it.
type exchange struct {
	ctx   context.Context //nolint:containedctx // what the transport dials with is not the request's, and this must end it
	timer phaseTimer

	// response is the last answer, unless err says that there was none.
	response *http.Response
	err      error
	// body is as much of it as was read, until bodyErr.
	body    []byte
	bodyErr error
}

// begin returns an exchange with a host, the context of its requests, and what ends it and all that
// it has opened.
func begin(ctx context.Context, now func() time.Time, host string) (*exchange, context.Context, context.CancelFunc) {
	x := &exchange{timer: phaseTimer{now: now}}
	_, err := netip.ParseAddr(host)
	ctx, over := context.WithCancel(httptrace.WithClientTrace(ctx, x.timer.trace(err != nil)))
	x.ctx = ctx
	return x, context.WithValue(ctx, attemptKey{}, x), over
}

// connect opens the connection of an attempt that is not made over HTTP.
func (p *Prober) connect(ctx context.Context, network, address string) (net.Conn, Phases, error) {
	timer := phaseTimer{now: p.now}
	if host, _, err := net.SplitHostPort(address); err == nil {
		if _, err := netip.ParseAddr(host); err != nil {
			ctx = httptrace.WithClientTrace(ctx, timer.lookups(&httptrace.ClientTrace{}))
		}
	}
	timer.begin(&timer.connecting)
	conn, err := p.dial(ctx, network, address)
	return conn, timer.done(), err
}

// phaseTimer takes the phases of an HTTP exchange. After a timeout, connections that are still
// being made call it while the attempt is already over.
type phaseTimer struct {
	now func() time.Time

	mu                              sync.Mutex
	phases                          Phases
	resolving, connecting, securing time.Time
	wrote, answered                 time.Time
}

// trace has few hooks, and those for names only where there is one: each costs allocations.
func (t *phaseTimer) trace(named bool) *httptrace.ClientTrace {
	trace := &httptrace.ClientTrace{
		TLSHandshakeStart: func() { t.begin(&t.securing) },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { t.end(&t.securing, &t.phases.TLS) },
		WroteRequest: func(httptrace.WroteRequestInfo) {
			t.end(&t.answered, &t.phases.Read) // that of an answer which redirected here
			t.begin(&t.wrote)
		},
		GotFirstResponseByte: func() {
			t.end(&t.wrote, &t.phases.Wait)
			t.begin(&t.answered)
		},
	}
	if named {
		return t.lookups(trace)
	}
	return trace
}

// lookups adds the hooks for names.
func (t *phaseTimer) lookups(trace *httptrace.ClientTrace) *httptrace.ClientTrace {
	trace.DNSStart = func(httptrace.DNSStartInfo) { t.begin(&t.resolving) }
	trace.DNSDone = func(httptrace.DNSDoneInfo) {
		t.end(&t.resolving, &t.phases.Resolve)
		t.begin(&t.connecting) // dialling began with the look-up
	}
	return trace
}

func (t *phaseTimer) begin(at *time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*at = t.now()
}

func (t *phaseTimer) end(began *time.Time, phase *time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if began.IsZero() {
		return
	}
	*phase += t.now().Sub(*began)
	*began = time.Time{}
}

// done ends whatever was going on, so that a timeout shows in the phase that it fell into.
func (t *phaseTimer) done() Phases {
	t.mu.Lock()
	if !t.resolving.IsZero() {
		t.connecting = time.Time{} // a look-up that hangs is no connection yet
	}
	t.mu.Unlock()
	t.end(&t.resolving, &t.phases.Resolve)
	t.end(&t.connecting, &t.phases.Connect)
	t.end(&t.securing, &t.phases.TLS)
	t.end(&t.wrote, &t.phases.Wait)
	t.end(&t.answered, &t.phases.Read)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.phases
}
