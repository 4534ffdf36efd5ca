package prober

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/probe/remote"
)

// elsewhere is an address of this machine that is not loopback.
func elsewhere(t *testing.T) netip.Addr {
	t.Helper()
	own, err := interfaces()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(own, func(a netip.Addr) bool { return a.Is4() && !a.IsLoopback() && !a.IsLinkLocalUnicast() })
	if i < 0 {
		t.Skip("NOT RUN: this machine has no address but loopback")
	}
	return own[i]
}

// newProber makes a prober to which this machine's addresses are others'.
func newProber() *Prober {
	p := New(Options{Others: func() []netip.Addr { return nil }, Now: clock.RealClock{}.Now})
	p.guard.own = func(netip.Addr) (bool, error) { return false, nil }
	return p
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", netip.AddrPortFrom(elsewhere(t), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve starts a server at an address that is not loopback.
func serve(t *testing.T, h http.Handler, secure bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	s.Listener = listen(t)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func at(s *httptest.Server) string { return s.Listener.Addr().String() }

// ask makes probes and returns what each came to, by its place.
func ask(t *testing.T, p *Prober, timeout time.Duration, probes ...remote.Probe) []remote.Answer {
	t.Helper()
	out := make([]remote.Answer, len(probes))
	told := 0
	p.Run(t.Context(), remote.NewRequest(probes, timeout), func(a remote.Answer) error {
		out[a.Index] = a
		told++
		return nil
	})
	if told != len(probes) {
		t.Errorf("%d of %d probes were answered", told, len(probes))
	}
	return out
}

// words are an answer, as tests compare it.
func words(a remote.Answer) string {
	if a.Outcome == nil {
		return "unasked: " + a.Unasked
	}
	return string(a.Outcome.Strict.Result) + ": " + string(a.Outcome.Strict.Message)
}

func httpAt(to *httptest.Server, path string) remote.Probe {
	return remote.Probe{Addresses: []string{at(to)}, HTTP: &remote.HTTP{URL: to.URL + path}}
}

func TestEachKindIsAsked(t *testing.T) {
	plain := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Host", r.Host)
		_, _ = io.WriteString(w, "well, "+r.Header.Get("Authorization"))
	}), false)
	secure := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), true)
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	healthy := listen(t)
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(healthy) }()
	t.Cleanup(server.Stop)
	names := listen(t)
	resolve := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		record, _ := dns.NewRR("kubernetes.default.svc.cluster.local. 5 IN A 10.96.0.1")
		answer := new(dns.Msg).SetReply(q)
		answer.Answer = append(answer.Answer, record)
		_ = w.WriteMsg(answer)
	})
	datagrams, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", names.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, resolver := range []*dns.Server{{Listener: names, Handler: resolve}, {PacketConn: datagrams, Handler: resolve}} {
		go func() { _ = resolver.ActivateAndServe() }()
		t.Cleanup(func() { _ = resolver.Shutdown() })
	}

	_, port, err := net.SplitHostPort(at(plain))
	if err != nil {
		t.Fatal(err)
	}
	got := ask(t, newProber(), time.Minute,
		// The name is not looked up.
		remote.Probe{Addresses: []string{at(plain)}, HTTP: &remote.HTTP{URL: "http://front.shop.svc:" + port + "/", Authorization: "Bearer x"}},
		remote.Probe{Addresses: []string{at(secure)}, HTTP: &remote.HTTP{URL: secure.URL}},
		remote.Probe{Addresses: []string{at(secure)}, HTTP: &remote.HTTP{URL: secure.URL, Security: &remote.Security{ServerName: "example.com", Roots: roots}}},
		remote.Probe{Addresses: []string{at(secure)}, HTTP: &remote.HTTP{URL: secure.URL, Security: &remote.Security{ServerName: "other.example", Roots: roots}}},
		remote.Probe{Addresses: []string{at(plain)}, TCP: &remote.TCP{Address: at(plain)}},
		remote.Probe{Addresses: []string{healthy.Addr().String()}, GRPC: &remote.GRPC{Address: healthy.Addr().String()}},
		remote.Probe{Addresses: []string{names.Addr().String()}, DNS: &remote.DNS{Server: names.Addr().String(), Name: "kubernetes.default.svc.cluster.local", OverTCP: true}},
		remote.Probe{Addresses: []string{at(secure)}, TLS: &remote.TLS{Address: at(secure), ServerName: "example.com", Roots: roots}},
	)
	want := []string{
		"success: well, Bearer x", "success: ", "success: ",
		"failure: Get \"" + secure.URL + "\": tls: failed to verify certificate: x509: certificate is valid for example.com, *.example.com, not other.example",
		"success: ", "success: service healthy", "success: 10.96.0.1", "success: the chain is valid",
	}
	got = append(got, ask(t, newProber(), time.Minute,
		remote.Probe{Addresses: []string{names.Addr().String()}, DNS: &remote.DNS{Server: names.Addr().String(), Name: "kubernetes.default.svc.cluster.local"}})...)
	want = append(want, "success: 10.96.0.1")
	for i, a := range got {
		if !strings.HasPrefix(words(a), want[i]) {
			t.Errorf("probe %d: %s, want %s", i, words(a), want[i])
		}
		if a.Outcome != nil && a.Outcome.Latency <= 0 {
			t.Errorf("probe %d took %s", i, a.Outcome.Latency)
		}
	}
	if host := got[0].Outcome.HTTP.Header["X-Host"]; len(host) != 1 || string(host[0]) != "front.shop.svc:"+port {
		t.Errorf("asked for the host %q", host)
	}
	if len(got[7].Outcome.Certificates) != 1 || got[7].Outcome.Certificates[0].Left <= 0 {
		t.Errorf("certificates %+v", got[7].Outcome.Certificates)
	}
}

// TestNothingElseIsReached has targets and callers try to lead an agent somewhere else.
func TestNothingElseIsReached(t *testing.T) {
	var reached atomic.Int32
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(inner.Close)
	next := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }), false)
	front := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/inner":
			http.Redirect(w, r, inner.URL, http.StatusFound)
		case "/next":
			http.Redirect(w, r, next.URL, http.StatusFound)
		case "/self":
			http.Redirect(w, r, "/", http.StatusFound)
		}
	}), false)
	_, innerPort, err := net.SplitHostPort(at(inner))
	if err != nil {
		t.Fatal(err)
	}
	own := elsewhere(t).String()
	whole := httpAt(front, "/next")
	whole.Addresses = []string{own}
	toNode := whole
	toNode.Nodes = true
	literal := func(address, url string) remote.Probe {
		return remote.Probe{Addresses: []string{address}, Nodes: true, HTTP: &remote.HTTP{URL: url}}
	}
	for name, tc := range map[string]struct {
		probe remote.Probe
		want  string
		// wantReached is what may be reached: the server behind the redirect.
		wantReached int32
	}{
		"a redirect to loopback":                  {httpAt(front, "/inner"), "failure: redirected to another host: " + at(inner), 0},
		"a redirect to itself":                    {httpAt(front, "/self"), "success: ", 0},
		"a redirect to another port":              {httpAt(front, "/next"), "none of the addresses that this probe may go to", 0},
		"a redirect to another port that may be":  {whole, "success: ", 1},
		"loopback":                                {literal(at(inner), inner.URL), "unasked: agents do not ask this address: 127.0.0.1 is loopback", 0},
		"loopback under a name":                   {literal(at(inner), "http://front.shop.svc:"+innerPort), "unasked: agents do not ask this address: 127.0.0.1 is loopback", 0},
		"loopback, mapped":                        {literal("[::ffff:127.0.0.1]:"+innerPort, "http://[::ffff:127.0.0.1]:"+innerPort), "unasked: agents do not ask this address: 127.0.0.1 is loopback", 0},
		"an address that the URL does not name":   {literal("10.0.0.1:80", inner.URL), "none of the addresses that this probe may go to", 0},
		"localhost, which is looked up by nobody": {literal("10.0.0.1:81", "http://localhost:"+innerPort), "none of the addresses that this probe may go to", 0},
		"a number that some programs read as one": {literal("10.0.0.1:81", "http://2130706433:"+innerPort), "none of the addresses that this probe may go to", 0},
		"DNS at loopback":                         {remote.Probe{Addresses: []string{"127.0.0.1:53"}, DNS: &remote.DNS{Server: "127.0.0.1:53", Name: "a"}}, "unasked: agents do not ask this address", 0},
		"the credentials of clouds":               {literal("169.254.169.254:80", "http://169.254.169.254/"), "unasked: agents do not ask this address: 169.254.169.254 is link-local", 0},
		"a probe that is none":                    {remote.Probe{Addresses: []string{"10.0.0.1:80"}}, "unasked: a probe is one of", 0},
		"two probes in one":                       {remote.Probe{Addresses: []string{"10.0.0.1:80"}, TCP: &remote.TCP{}, DNS: &remote.DNS{}}, "unasked: a probe is one of", 0},
		"a probe without addresses":               {remote.Probe{TCP: &remote.TCP{Address: at(inner)}}, "unasked: it is not known at which addresses", 0},
		"authorities that are none":               {remote.Probe{Addresses: []string{own}, HTTP: &remote.HTTP{URL: front.URL, Security: &remote.Security{Roots: []byte("x")}}}, "unasked: roots hold no certificate", 0},
	} {
		t.Run(name, func(t *testing.T) {
			reached.Store(0)
			got := words(ask(t, newProber(), time.Minute, tc.probe)[0])
			if !strings.Contains(got, tc.want) {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if n := reached.Load(); n != tc.wantReached {
				t.Errorf("%d others were reached, want %d", n, tc.wantReached)
			}
		})
	}

	// With its own eyes, the agent sees that the address is its own.
	sober := New(Options{Others: func() []netip.Addr { return nil }, Now: clock.RealClock{}.Now})
	if got := words(ask(t, sober, time.Minute, httpAt(front, "/"))[0]); !strings.Contains(got, "is a node's") {
		t.Errorf("its own machine: %s", got)
	}
	if got := words(ask(t, sober, time.Minute, toNode)[0]); !strings.Contains(got, "is a node's") {
		t.Errorf("its own machine at whatever port: %s", got)
	}
	named := httpAt(front, "/")
	named.Nodes = true
	if got := words(ask(t, sober, time.Minute, named)[0]); got != "success: " {
		t.Errorf("its own machine at a port that may be asked: %s", got)
	}
}
