// Package prober makes probes from an agent's machine for those who may have it do so. It stands in the host's
// network, where more can be reached than from any pod: so it goes to no other address than a probe brings,
// looks up no name, and refuses by itself what nobody has to ask through it. It runs no commands, and bounds
// what it does at a time.
package prober

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/lru"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/remote"
)

// Bounds of what an agent does for others.
const (
	// atOnce is how many probes are made at a time, for all callers, and ofOne for one request. Each may take
	// headRoom and a small body.
	atOnce = 32
	ofOne  = 8
	// small is the largest body of which many may be in memory, in bytes. One larger one is at a time.
	small = probe.KubeletBodyLimit
	// requests that are being answered at a time.
	requests = 64
	// probesPerSecond of one caller, and how many after silence.
	probesPerSecond = 200
	probesAtOnce    = 512
	// callers whose rates are remembered.
	callers = 64
)

// ErrBusy is the error of a request that comes on top of too many.
var ErrBusy = errors.New("the agent makes as many probes as it may; ask again")

// Options of a prober.
type Options struct {
	// Host is the machine: whom it trusts is read there where the program's own image trusts nobody.
	Host monitor.Host
	// Others are the addresses of the cluster's other machines.
	Others func() []netip.Addr
	// Now is the machine's clock.
	Now func() time.Time
}

// Prober makes probes.
type Prober struct {
	now      func() time.Time
	guard    guard
	roots    authorities
	requests chan struct{}
	slots    chan struct{}
	// large is held by the probe that has a large body.
	large chan struct{}

	mu    sync.Mutex
	rates *lru.Cache
}

// New makes a prober.
func New(o Options) *Prober {
	return &Prober{
		now: o.Now, guard: guard{own: ownAddress, others: o.Others}, roots: authorities{system: x509.SystemCertPool, host: o.Host},
		requests: make(chan struct{}, requests), slots: make(chan struct{}, atOnce), large: make(chan struct{}, 1),
		rates: lru.New(callers),
	}
}

// Admit lets a caller's request of n probes in, or returns ErrBusy. Done is to be called when it was answered.
func (p *Prober) Admit(caller string, n int) (done func(), err error) {
	select {
	case p.requests <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	if !p.allow(caller, n) {
		<-p.requests
		return nil, ErrBusy
	}
	return func() { <-p.requests }, nil
}

// Run makes the probes of a request that was admitted, and tells of each, in the order in which they end. Tell
// is called once at a time, and what it was given is not held any more when it returns; an error of it ends
// the request, as the end of ctx does.
func (p *Prober) Run(ctx context.Context, r remote.Request, tell func(remote.Answer) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := &running{prober: p, request: r, end: cancel, tell: tell}
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(ofOne, len(r.Probes)) {
		wg.Go(func() {
			for i := range next {
				run.one(ctx, i)
			}
		})
	}
	for i := range r.Probes {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	wg.Wait()
}

// allow bounds the pace of one caller.
func (p *Prober) allow(caller string, n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.rates.Get(caller)
	limiter, _ := known.(*rate.Limiter)
	if !ok || limiter == nil {
		limiter = rate.NewLimiter(probesPerSecond, probesAtOnce)
		p.rates.Add(caller, limiter)
	}
	return limiter.AllowN(p.now(), n)
}

// running is a request that is being answered.
type running struct {
	prober  *Prober
	request remote.Request
	end     context.CancelFunc

	mu   sync.Mutex
	tell func(remote.Answer) error
}

// one makes one probe, when there is room for it. Its time begins when it does.
func (r *running) one(ctx context.Context, i int) {
	p, one := r.prober, r.request.Probes[i]
	if one.HTTP != nil && one.HTTP.BodyLimit > small {
		if !take(ctx, p.large) {
			return
		}
		defer func() { <-p.large }()
	}
	if !take(ctx, p.slots) {
		return
	}
	defer func() { <-p.slots }()
	answer := remote.Answer{Index: i}
	if outcome, err := p.make(ctx, one, r.request.Timeout()); err != nil {
		answer.Unasked = err.Error()
	} else {
		answer.Outcome = new(remote.FromOutcome(outcome))
	}
	if ctx.Err() != nil {
		// What was cut short says nothing about the target, and nobody listens.
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.tell(answer); err != nil {
		r.end()
	}
}

// take takes a place, when there is one; false where ctx ended.
func take(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// make makes one probe. An error says why it could not be asked.
func (p *Prober) make(ctx context.Context, one remote.Probe, timeout time.Duration) (probe.Outcome, error) {
	target, err := one.Target()
	if err != nil {
		return probe.Outcome{}, err
	}
	secure, err := one.Options()
	if err != nil {
		return probe.Outcome{}, err
	}
	if one.SystemRoots() {
		if target, secure, err = p.trust(target, secure); err != nil {
			return probe.Outcome{}, err
		}
	}
	w := newWay(p.guard, one, timeout)
	outcome := probe.New(probe.Options{Now: p.now, Dial: w.dial, TLS: secure}).Probe(ctx, target, timeout)
	return outcome, w.stopped()
}

// trust puts whom the machine trusts into what is asked.
func (p *Prober) trust(target probe.Target, secure *tls.Config) (probe.Target, *tls.Config, error) {
	pool, err := p.roots.pool()
	if err != nil {
		return nil, nil, err
	}
	if t, ok := target.(probe.TLS); ok {
		t.Roots = pool
		return t, secure, nil
	}
	secure.RootCAs = pool
	return target, secure, nil
}
