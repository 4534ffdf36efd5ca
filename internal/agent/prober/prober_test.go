package prober

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/monitor"
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
	p.guard.own = func() ([]netip.Addr, error) { return nil, nil }
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
	got := ask(t, newProber(), 5*time.Second,
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
	got = append(got, ask(t, newProber(), 5*time.Second,
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
			got := words(ask(t, newProber(), 5*time.Second, tc.probe)[0])
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
	if got := words(ask(t, sober, time.Second, httpAt(front, "/"))[0]); !strings.Contains(got, "is a node's") {
		t.Errorf("its own machine: %s", got)
	}
	if got := words(ask(t, sober, time.Second, toNode)[0]); !strings.Contains(got, "is a node's") {
		t.Errorf("its own machine at whatever port: %s", got)
	}
	named := httpAt(front, "/")
	named.Nodes = true
	if got := words(ask(t, sober, time.Second, named)[0]); got != "success: " {
		t.Errorf("its own machine at a port that may be asked: %s", got)
	}
}

// TestEvilTargets holds that targets which send what they like take bounded memory and time.
func TestEvilTargets(t *testing.T) {
	raw := func(answer func(net.Conn)) remote.Probe {
		l := listen(t)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer func() { _ = c.Close() }()
					_, _ = c.Read(make([]byte, 1024))
					answer(c)
				}()
			}
		}()
		return remote.Probe{Addresses: []string{l.Addr().String()}, HTTP: &remote.HTTP{URL: "http://" + l.Addr().String()}}
	}
	endless := func(begin string) remote.Probe {
		return raw(func(c net.Conn) {
			_, err := io.WriteString(c, begin)
			for err == nil {
				_, err = io.WriteString(c, strings.Repeat("x", 32<<10))
			}
		})
	}
	for name, tc := range map[string]struct {
		probe   remote.Probe
		timeout time.Duration
		want    string
	}{
		"a header without end": {endless("HTTP/1.1 200 OK\r\nX: "), 10 * time.Second, "unasked: what comes before the answer's body is larger than 128 KiB"},
		"headers without end": {raw(func(c net.Conn) {
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for err == nil {
				_, err = io.WriteString(c, strings.Repeat("X: y\r\n", 1000))
			}
		}), 10 * time.Second, "unasked: what comes before"},
		"a body without end":     {endless("HTTP/1.1 200 OK\r\n\r\n"), 10 * time.Second, "success: xxx"},
		"silence":                {raw(func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }), 50 * time.Millisecond, "Client.Timeout exceeded"},
		"rubbish":                {raw(func(c net.Conn) { _, _ = io.WriteString(c, "\x00\xff\n") }), time.Second, "malformed HTTP"},
		"a hang-up":              {raw(func(net.Conn) {}), time.Second, "EOF"},
		"a body that is cut off": {raw(func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") }), time.Second, "failure: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := words(ask(t, newProber(), tc.timeout, tc.probe)[0]); !strings.Contains(got, tc.want) {
				t.Errorf("%.200s, want %s", got, tc.want)
			}
		})
	}
}

// TestOneLargeBodyIsHeldAtATime counts the large answers that are being taken in at once.
func TestOneLargeBodyIsHeldAtATime(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		_, _ = io.WriteString(w, strings.Repeat("x", remote.MaxBody))
		mu.Lock()
		now--
		mu.Unlock()
	}), false)
	one := httpAt(s, "/")
	one.HTTP.BodyLimit = remote.MaxBody
	for i, a := range ask(t, newProber(), 20*time.Second, slices.Repeat([]remote.Probe{one}, 12)...) {
		if a.Outcome == nil || len(a.Outcome.HTTP.Body) != remote.MaxBody {
			t.Errorf("probe %d: %.200s", i, words(a))
		}
	}
	if most != 1 {
		t.Errorf("%d large answers at once, want 1", most)
	}
}

// TestACallerWhoGoesAwayLeavesNothing holds that what was begun for somebody who does not wait any more ends.
func TestACallerWhoGoesAwayLeavesNothing(t *testing.T) {
	arrived := make(chan struct{}, 64)
	s := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}), false)
	p := newProber()
	before, files := runtime.NumGoroutine(), descriptors(t)
	for name, end := range map[string]func(context.CancelFunc) error{
		"the caller goes":            func(cancel context.CancelFunc) error { cancel(); return nil },
		"nothing can be told to him": func(context.CancelFunc) error { return errors.New("broken pipe") },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			probes := slices.Repeat([]remote.Probe{httpAt(s, "/")}, 60)
			probes = append(probes, remote.Probe{Addresses: []string{at(s)}, TCP: &remote.TCP{Address: at(s)}})
			// The last shall be first: it is answered while the others wait.
			slices.Reverse(probes)
			told := 0
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				p.Run(ctx, remote.NewRequest(probes, 30*time.Second), func(remote.Answer) error {
					told++
					<-arrived // somebody else is being asked
					return end(cancel)
				})
			}()
			<-ended
			if told != 1 {
				t.Errorf("%d answers were told", told)
			}
		})
	}
	wait(t, func() bool { return runtime.NumGoroutine() <= before && descriptors(t) <= files }, func() string {
		return fmt.Sprintf("%d goroutines and %d descriptors, and before %d and %d", runtime.NumGoroutine(), descriptors(t), before, files)
	})
	if len(p.slots) != 0 || len(p.large) != 0 {
		t.Errorf("%d places are taken, %d large ones", len(p.slots), len(p.large))
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("NOT RUN: %v", err)
	}
	return len(all)
}

// wait waits until something is so.
func wait(t *testing.T, is func() bool, or func() string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(10 * time.Second)
	defer end.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal(or())
		}
	}
}

func TestHowMuchOneCallerMayAskFor(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(Options{Now: func() time.Time { return now }})
	admitted := func(caller string, n int) bool {
		done, err := p.Admit(caller, n)
		if err != nil && !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
		if done != nil {
			done()
		}
		return err == nil
	}
	for range probesAtOnce / remote.MaxProbes {
		if !admitted("operator", remote.MaxProbes) {
			t.Fatal("refused at once")
		}
	}
	if admitted("operator", 1) {
		t.Error("one caller may ask for more than there is")
	}
	if !admitted("another", remote.MaxProbes) {
		t.Error("another caller pays for it")
	}
	now = now.Add(time.Second)
	if !admitted("operator", probesPerSecond) || admitted("operator", 1) {
		t.Error("a second later it is another number")
	}
	for n := range requests {
		if _, err := p.Admit(strconv.Itoa(n), 1); err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
	}
	if _, err := p.Admit("one more", 1); !errors.Is(err, ErrBusy) {
		t.Errorf("beyond all bounds: %v", err)
	}
}

func TestWhomTheMachineTrusts(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	want := x509.NewCertPool()
	want.AddCert(s.Certificate())
	nobody := func() (*x509.CertPool, error) { return x509.NewCertPool(), nil }
	root := t.TempDir()
	file := filepath.Join(root, "etc/pki/tls/certs/ca-bundle.crt")
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/real.pem"), bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	// As the machine means it.
	if err := os.Symlink("/etc/real.pem", file); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		of      *authorities
		want    *x509.CertPool
		wantErr error
	}{
		"the image's":   {&authorities{system: func() (*x509.CertPool, error) { return want, nil }}, want, nil},
		"the machine's": {&authorities{system: nobody, host: monitor.Host{Root: root}}, want, nil},
		"nobody":        {&authorities{system: nobody, host: monitor.Host{Root: t.TempDir()}}, nil, errNoRoots},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				got, err := tc.of.pool()
				if !errors.Is(err, tc.wantErr) || (err == nil && !got.Equal(tc.want)) {
					t.Errorf("%v, %v", got, err)
				}
			}
		})
	}
	p := newProber()
	p.roots.system, p.roots.host = nobody, monitor.Host{Root: t.TempDir()}
	server := serve(t, http.NotFoundHandler(), true)
	verified := remote.Probe{Addresses: []string{at(server)}, HTTP: &remote.HTTP{URL: server.URL, Security: &remote.Security{ServerName: "example.com"}}}
	shaken := remote.Probe{Addresses: []string{at(server)}, TLS: &remote.TLS{Address: at(server)}}
	for _, a := range ask(t, p, time.Second, verified, shaken) {
		if diff := cmp.Diff("unasked: "+errNoRoots.Error(), words(a)); diff != "" {
			t.Errorf("where nobody is trusted (-want +got):\n%s", diff)
		}
	}
}

// TestSeveralAddresses holds that a target which answers at one of them answers.
func TestSeveralAddresses(t *testing.T) {
	closed := listen(t)
	nobody := closed.Addr().String()
	_ = closed.Close()
	s := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), false)
	_, port, err := net.SplitHostPort(at(s))
	if err != nil {
		t.Fatal(err)
	}
	to := func(addresses ...string) remote.Probe {
		return remote.Probe{Addresses: addresses, HTTP: &remote.HTTP{URL: (&url.URL{Scheme: "http", Host: "front:" + port}).String()}}
	}
	host, _, _ := net.SplitHostPort(nobody)
	got := ask(t, newProber(), time.Second, to(nobody, at(s)), to("[fd00::dead]:"+port, net.JoinHostPort(host, port)), to(nobody))
	if words(got[0]) != "success: " || words(got[1]) != "success: " || !strings.Contains(words(got[2]), "none of the addresses") {
		t.Errorf("%s; %s; %s", words(got[0]), words(got[1]), words(got[2]))
	}
}
