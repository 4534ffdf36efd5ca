package here

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// How often, how long and how many are asked.
const (
	interval = 15 * time.Second
	timeout  = 3 * time.Second
	// mostServers bounds how many servers of a kind are asked from one machine.
	mostServers = 8
	// tries of a name over UDP: a single lost packet is no fault of the server.
	tries = 2
)

// Targets are what is asked.
type Targets struct {
	// ClusterDomain is the domain of the cluster's names, such as "cluster.local".
	ClusterDomain string
	// DNS are the servers of cluster DNS: its Service, and each endpoint of it.
	DNS []Target
	// API are API servers: the Service "kubernetes", and each endpoint of it.
	API []Target
	// Roots are the certificates by which API servers are known. Without them none is asked.
	Roots *x509.CertPool
}

// Target is one server.
type Target struct {
	// Address and port of it.
	Address netip.AddrPort
	// Service tells that it is a Service's virtual address, which leads to one of the servers.
	Service bool
	// Node on whose machine it runs; empty where that is not known.
	Node string
}

// State is what a target last answered.
type State struct {
	Target
	// UDP and TCP are what became of requests: API servers are only asked over TCP.
	UDP, TCP Outcome
}

// Outcome of requests over one protocol.
type Outcome struct {
	// Answer is a word of this package; empty where nothing was asked.
	Answer string
	// Problem says more where Answer is not OK.
	Problem string
	// Since is when Answer came to be so.
	Since time.Time
	// Took is how long the last answer took.
	Took time.Duration
}

func (o *Outcome) say(now time.Time, took time.Duration, err error) {
	answer, problem := Word(err), ""
	if err != nil {
		problem = err.Error()
	}
	if o.Answer != answer {
		o.Since = now
	}
	o.Answer, o.Problem, o.Took = answer, problem, took
}

// Watch asks again and again.
type Watch struct {
	targets func() Targets
	now     func() time.Time

	mu  sync.Mutex
	dns map[Target]*State
	api map[Target]*State
	// servers are the API servers that were last known; only Once uses it.
	servers []Target
}

// New makes a watch of what targets returns; nil asks nothing.
func New(targets func() Targets, now func() time.Time) *Watch {
	return &Watch{targets: targets, now: now, dns: map[Target]*State{}, api: map[Target]*State{}}
}

// Run asks until the context ends.
func (w *Watch) Run(ctx context.Context) {
	if w.targets == nil {
		return
	}
	for ctx.Err() == nil {
		w.Once(ctx)
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Once asks every target once.
func (w *Watch) Once(ctx context.Context) {
	t := w.targets()
	t.DNS, t.API = bounded(t.DNS), bounded(w.withLast(t.API))
	if t.Roots == nil {
		t.API = nil
	}
	w.mu.Lock()
	keep(w.dns, t.DNS)
	keep(w.api, t.API)
	w.mu.Unlock()
	var wg sync.WaitGroup
	for _, target := range t.DNS {
		wg.Go(func() {
			w.ask(ctx, w.dns, target, "udp", func(ctx context.Context) error { return lookUp(ctx, "udp", target, t.ClusterDomain) })
		})
		wg.Go(func() {
			w.ask(ctx, w.dns, target, "tcp", func(ctx context.Context) error { return lookUp(ctx, "tcp", target, t.ClusterDomain) })
		})
	}
	for _, target := range t.API {
		wg.Go(func() {
			w.ask(ctx, w.api, target, "tcp", func(ctx context.Context) error { return live(ctx, target, t.Roots) })
		})
	}
	wg.Wait()
}

// withLast adds the API servers that were last known where none is known any more: one that is stopped takes
// itself out of the endpoints, and it is then that it must be asked (--endpoint-reconciler-type=lease).
func (w *Watch) withLast(api []Target) []Target {
	servers := slices.DeleteFunc(slices.Clone(api), func(t Target) bool { return t.Service })
	if len(servers) == 0 {
		return append(slices.Clone(api), w.servers...)
	}
	w.servers = servers
	return api
}

// bounded are the Services and the first servers by address.
func bounded(all []Target) []Target {
	all = slices.Clone(all)
	slices.SortFunc(all, compare)
	all = slices.Compact(all)
	servers := 0
	return slices.DeleteFunc(all, func(t Target) bool {
		if !t.Service {
			servers++
		}
		return !t.Service && servers > mostServers
	})
}

func compare(a, b Target) int {
	return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Node, b.Node))
}

// keep forgets targets that are no more and takes in new ones.
func keep(states map[Target]*State, targets []Target) {
	for t := range states {
		if !slices.Contains(targets, t) {
			delete(states, t)
		}
	}
	for _, t := range targets {
		if states[t] == nil {
			states[t] = &State{Target: t}
		}
	}
}

func (w *Watch) ask(ctx context.Context, states map[Target]*State, t Target, protocol string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := w.now()
	err := do(ctx)
	ended := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	state, ok := states[t]
	if !ok {
		return
	}
	outcome := &state.TCP
	if protocol == "udp" {
		outcome = &state.UDP
	}
	outcome.say(ended, ended.Sub(began), err)
}

// lookUp asks a server of cluster DNS for the name that every cluster has.
func lookUp(ctx context.Context, protocol string, t Target, domain string) error {
	name := dns.Fqdn("kubernetes.default.svc." + cmp.Or(domain, "cluster.local"))
	question := new(dns.Msg)
	question.SetQuestion(name, dns.TypeA)
	client := &dns.Client{Net: protocol, Timeout: timeout / tries}
	var answer *dns.Msg
	var err error
	for range tries {
		if answer, _, err = client.ExchangeContext(ctx, question, t.Address.String()); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("looking up %s: %w", name, err)
	}
	// A cluster whose only family is IPv6 has no A record of the name; that is an answer too.
	if answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return &FailureError{fmt.Sprintf("looking up %s: the server answers %s", name, dns.RcodeToString[answer.Rcode])}
	}
	return nil
}

// live asks an API server whether it lives. Everybody may ask unless anonymous requests are forbidden
// (ClusterRole system:public-info-viewer); that it forbids is an answer too.
func live(ctx context.Context, t Target, roots *x509.CertPool) error {
	transport := &http.Transport{
		DialContext:     (&net.Dialer{}).DialContext,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+t.Address.String()+"/livez", nil)
	if err != nil {
		return fmt.Errorf("asking whether it lives: %w", err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 4<<10))
	switch response.StatusCode {
	case http.StatusOK, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return nil
	}
	return &FailureError{"GET /livez: " + response.Status}
}

// DNS are the states of servers of cluster DNS, and API those of API servers, by address.
func (w *Watch) DNS() []State { return w.states(w.dns) }

// API servers' states, by address.
func (w *Watch) API() []State { return w.states(w.api) }

func (w *Watch) states(of map[Target]*State) []State {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]State, 0, len(of))
	for _, s := range of {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b State) int { return compare(a.Target, b.Target) })
	return out
}
