package probe

import (
	"crypto/tls"
	"net/http/httptrace"
	"sync"
	"time"
)

// phaseTimer takes the phases of an HTTP exchange. After a timeout, connections that are still
// being made call it while the attempt is already over.
type phaseTimer struct {
	now func() time.Time

	mu                              sync.Mutex
	phases                          Phases
	resolving, connecting, securing time.Time
	wrote, answered                 time.Time
}

func (t *phaseTimer) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { t.begin(&t.resolving) },
		DNSDone:           func(httptrace.DNSDoneInfo) { t.end(&t.resolving, &t.phases.Resolve) },
		ConnectStart:      func(string, string) { t.begin(&t.connecting) },
		ConnectDone:       func(string, string, error) { t.end(&t.connecting, &t.phases.Connect) },
		TLSHandshakeStart: func() { t.begin(&t.securing) },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { t.end(&t.securing, &t.phases.TLS) },
		WroteRequest:      func(httptrace.WroteRequestInfo) { t.wroteRequest() },
		GotFirstResponseByte: func() {
			t.end(&t.wrote, &t.phases.Wait)
			t.begin(&t.answered)
		},
	}
}

func (t *phaseTimer) begin(at *time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*at = t.now()
}

// wroteRequest also ends the reading of an answer that redirected here.
func (t *phaseTimer) wroteRequest() {
	t.end(&t.answered, &t.phases.Read)
	t.begin(&t.wrote)
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
	t.end(&t.resolving, &t.phases.Resolve)
	t.end(&t.connecting, &t.phases.Connect)
	t.end(&t.securing, &t.phases.TLS)
	t.end(&t.wrote, &t.phases.Wait)
	t.end(&t.answered, &t.phases.Read)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.phases
}
