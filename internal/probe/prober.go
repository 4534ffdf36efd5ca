package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// DefaultTimeout is that of a probe which names none (pkg/apis/core/v1/defaults.go).
const DefaultTimeout = time.Second

// Target is what one attempt asks: [HTTP], [TCP], [GRPC], [Exec], [DNS], [TLS], or [Impossible].
type Target interface {
	// String is what is asked, for people: "GET http://10.0.0.1:8080/healthz".
	fmt.Stringer

	// attempt asks it. What it returns is a pointer because whoever waits for an answer does so on stacks
	// that would double with a few copies of an Outcome in each frame, and thousands may wait.
	attempt(ctx context.Context, p *Prober, timeout time.Duration) *Outcome
}

// Options are what a [Prober] is made of.
type Options struct {
	// Now is the clock by which latencies are taken. It must be given.
	Now func() time.Time
	// Dial opens connections. Nil dials from where the program runs; a port-forward, say, gives
	// another vantage.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is how HTTPS servers are met. Nil is the kubelet's way: every certificate is accepted.
	TLS *tls.Config
	// Run runs commands in containers. Without it, no [Exec] can be asked.
	Run Runner
}

// Prober asks targets. It keeps no connection between attempts, and nothing of a target. It may be
// used by many goroutines at a time.
type Prober struct {
	now       func() time.Time
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	run       Runner
	transport http.RoundTripper
}

// maxHeaderBytes bounds the head of an HTTP answer. The kubelet leaves it at Go's 10 MiB, so that a
// server which never ends its headers costs that much memory for each probe.
const maxHeaderBytes = 1 << 20

// bufferBytes is enough for a request: each probe has a connection of its own, whose usual buffers (4 KiB for
// HTTP, 32 KiB for gRPC) are a good part of what it holds while it waits. What HTTP is read with stays as it is: what
// the kubelet says of a malformed answer depends on how much of it fits.
const bufferBytes = 1 << 10

// New makes a prober.
func New(options Options) *Prober {
	p := &Prober{now: options.Now, dial: options.Dial, run: options.Run}
	if p.dial == nil {
		// The kubelet also sets SO_LINGER to one second (pkg/probe/dialer_others.go), which no server
		// can see, makes close wait, and leaves as many sockets in TIME_WAIT.
		p.dial = new(net.Dialer).DialContext
	}
	config := options.TLS
	if config == nil {
		config = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // as the kubelet: a probe asks whether something answers, not who
	}
	p.transport = utilnet.SetTransportDefaults(&http.Transport{
		TLSClientConfig:        config,
		DisableKeepAlives:      true,
		Proxy:                  http.ProxyURL(nil), // without it, the defaults set the environment's
		DisableCompression:     true,               // sends no Accept-Encoding
		DialContext:            p.dialForAttempt,
		MaxResponseHeaderBytes: maxHeaderBytes,
		WriteBufferSize:        bufferBytes,
	})
	return p
}

// attemptKey is under which the context of an HTTP request holds its *exchange.
type attemptKey struct{}

// dialForAttempt opens a connection that does not outlive the attempt. The transport lets dials and
// handshakes go on after their request is over, for the next one: here there is none, and what
// hangs would stay for as long as the kernel tries to connect.
func (p *Prober) dialForAttempt(ctx context.Context, network, address string) (net.Conn, error) {
	x, ok := ctx.Value(attemptKey{}).(*exchange)
	if !ok {
		return p.dial(ctx, network, address)
	}
	x.timer.begin(&x.timer.connecting)
	conn, err := p.dial(x.ctx, network, address)
	x.timer.end(&x.timer.connecting, &x.timer.phases.Connect)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(x.ctx, func() { _ = conn.Close() })
	return conn, nil
}

// Probe asks a target once. It returns when timeout is over at the latest, which is
// [DefaultTimeout] where it is not positive, or when ctx is done.
func (p *Prober) Probe(ctx context.Context, target Target, timeout time.Duration) Outcome {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	began := p.now()
	outcome := target.attempt(ctx, p, timeout)
	outcome.Latency = p.now().Sub(began)
	return *outcome
}

// Impossible is what becomes of a probe from which nothing can be asked.
type Impossible struct {
	// Err says why, in the kubelet's words.
	Err error
	// Why is one of PortUnresolved, RequestInvalid and NoHandler.
	Why Difference
}

// String implements [Target].
func (i Impossible) String() string { return "nothing: " + i.Err.Error() }

func (i Impossible) attempt(context.Context, *Prober, time.Duration) *Outcome {
	return new(discarded(Unknown, i.Err, i.Why).because(i.Err))
}
