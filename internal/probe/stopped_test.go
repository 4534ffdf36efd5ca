package probe_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
)

func TestWhatStoppedAnAttempt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	certificate := probetest.Issue(t, "a.example.org", now, now.AddDate(1, 0, 0), nil)
	clock := func() time.Time { return now.Add(time.Hour) }
	get := func(scheme string) func(t *testing.T, port int) probe.Target {
		return func(t *testing.T, port int) probe.Target {
			t.Helper()
			return target(t, scheme+"://127.0.0.1:"+strconv.Itoa(port)+"/")
		}
	}
	tests := map[string]struct {
		config *tls.Config
		serve  probetest.Serve
		ask    func(t *testing.T, port int) probe.Target
		// closed has nobody listen.
		closed bool
		verify bool
		want   probe.Cause
	}{
		"HTTP where nobody listens": {closed: true, ask: get("http"), want: probe.ConnectionRefused},
		"TCP where nobody listens":  {closed: true, ask: func(_ *testing.T, port int) probe.Target { return probe.TCP{Address: local(port)} }, want: probe.ConnectionRefused},
		"gRPC where nobody listens": {closed: true, ask: func(_ *testing.T, port int) probe.Target { return probe.GRPC{Address: local(port)} }, want: probe.ConnectionRefused},
		"a handshake with nobody":   {closed: true, ask: func(_ *testing.T, port int) probe.Target { return probe.TLS{Address: local(port)} }, want: probe.ConnectionRefused},
		"HTTP that hangs":           {serve: func(c *probetest.Conn) { c.Hang() }, ask: get("http"), want: probe.TimedOut},
		"HTTP that hangs up":        {serve: func(c *probetest.Conn) { c.ReadHead() }, ask: get("http"), want: probe.ConnectionReset},
		"HTTP that resets":          {serve: func(c *probetest.Conn) { c.ReadHead(); c.Reset() }, ask: get("http"), want: probe.ConnectionReset},
		"headers without end": {serve: func(c *probetest.Conn) {
			c.ReadHead()
			c.Say("HTTP/1.1 200 OK\r\n")
			c.Flood("A: " + strings.Repeat("b", 1000) + "\r\n")
		}, ask: get("http"), want: ""},
		"half a body": {serve: func(c *probetest.Conn) { c.ReadHead(); c.Say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf") }, ask: get("http"), want: probe.BodyIncomplete},
		"a body that hangs": {serve: func(c *probetest.Conn) {
			c.ReadHead()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
			c.Hang()
		}, ask: get("http"), want: probe.TimedOut},
		"a body without end": {serve: func(c *probetest.Conn) {
			c.ReadHead()
			c.Say("HTTP/1.1 200 OK\r\n\r\n")
			c.Flood(strings.Repeat("x", 10_000))
		}, ask: get("http"), want: ""},
		"HTTP in place of HTTPS":      {serve: func(c *probetest.Conn) { c.ReadRecord(); c.Say("HTTP/1.1 400 Bad Request\r\n\r\n") }, ask: get("https"), want: probe.TLSHandshakeFailed},
		"HTTPS of TLS 1.0":            {config: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, ask: get("https"), want: probe.TLSHandshakeFailed},
		"HTTPS that nobody trusts":    {config: &tls.Config{Certificates: []tls.Certificate{certificate}}, verify: true, ask: get("https"), want: probe.CertificateInvalid},
		"a handshake of TLS 1.0":      {config: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, ask: func(_ *testing.T, port int) probe.Target { return probe.TLS{Address: local(port)} }, want: probe.TLSHandshakeFailed},
		"a handshake nobody trusts":   {config: &tls.Config{Certificates: []tls.Certificate{certificate}}, ask: func(_ *testing.T, port int) probe.Target { return probe.TLS{Address: local(port)} }, want: probe.CertificateInvalid},
		"a handshake with a web page": {serve: func(c *probetest.Conn) { c.ReadRecord(); c.Say("HTTP/1.1 400 Bad Request\r\n\r\n") }, ask: func(_ *testing.T, port int) probe.Target { return probe.TLS{Address: local(port)} }, want: probe.TLSHandshakeFailed},
		"a good answer":               {serve: func(c *probetest.Conn) { c.ReadHead(); c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }, ask: get("http"), want: ""},
		"an answer that is a failure": {serve: func(c *probetest.Conn) { c.ReadHead(); c.Say("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n") }, ask: get("http"), want: ""},
		"an answer that is no HTTP":   {serve: func(c *probetest.Conn) { c.Say("SSH-2.0-OpenSSH_9.9\r\n") }, ask: get("http"), want: ""},
		"a name server that hangs": {serve: func(c *probetest.Conn) { c.Hang() }, ask: func(_ *testing.T, port int) probe.Target {
			return probe.DNS{Server: local(port), Name: "a", OverTCP: true}
		}, want: probe.TimedOut},
		"a name server that hangs up": {serve: func(*probetest.Conn) {}, ask: func(_ *testing.T, port int) probe.Target {
			return probe.DNS{Server: local(port), Name: "a", OverTCP: true}
		}, want: probe.ConnectionReset},
		"a name server without a name": {serve: answers(dns.RcodeNameError), ask: func(_ *testing.T, port int) probe.Target {
			return probe.DNS{Server: local(port), Name: "a", OverTCP: true}
		}, want: probe.NameNotFound},
		"a name server that is ill": {serve: answers(dns.RcodeServerFailure), ask: func(_ *testing.T, port int) probe.Target {
			return probe.DNS{Server: local(port), Name: "a", OverTCP: true}
		}, want: probe.NameLookupFailed},
		"a name server with no record": {serve: answers(dns.RcodeSuccess), ask: func(_ *testing.T, port int) probe.Target {
			return probe.DNS{Server: local(port), Name: "a", OverTCP: true}
		}, want: probe.RecordMissing},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			serve := tc.serve
			if serve == nil {
				serve = func(c *probetest.Conn) { c.Hang() }
			}
			var port int
			if tc.closed {
				port = 1 // tcpmux, which nobody runs
			} else {
				port = probetest.Listen(t, tc.config, serve)
			}
			options := probe.Options{Now: clock}
			if tc.verify {
				options.TLS = &tls.Config{RootCAs: x509.NewCertPool(), Time: clock}
			}
			timeout := 20 * time.Second
			if tc.want == probe.TimedOut {
				timeout = time.Second
			}
			got := probe.New(options).Probe(t.Context(), tc.ask(t, port), timeout)
			if got.Cause != tc.want {
				t.Errorf("cause %q, want %q: %+v (%v)", got.Cause, tc.want, got.Strict, got.Err)
			}
			if (got.Cause != "" && got.Strict.Passed()) || (got.Err != nil && got.Strict.Passed()) {
				t.Errorf("passed, and was stopped: %+v", got)
			}
		})
	}
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// answers is a name server that has one answer, without records.
func answers(rcode int) probetest.Serve {
	return func(c *probetest.Conn) {
		talk := &dns.Conn{Conn: c.Conn}
		question, err := talk.ReadMsg()
		if err != nil {
			return
		}
		_ = talk.WriteMsg(new(dns.Msg).SetRcode(question, rcode))
	}
}

// errGuard is what somebody's own dialler says.
var errGuard = errors.New("not allowed")

func TestTheErrorOfADiallerIsKept(t *testing.T) {
	t.Parallel()
	prober := probe.New(probe.Options{Now: wallClock, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errGuard }})
	for name, ask := range map[string]probe.Target{
		"HTTP":  target(t, "http://10.0.0.1/"),
		"HTTPS": target(t, "https://10.0.0.1/"),
		"TCP":   probe.TCP{Address: "10.0.0.1:1"},
		"TLS":   probe.TLS{Address: "10.0.0.1:1"},
		"DNS":   probe.DNS{Server: "10.0.0.1:1", Name: "a"},
		"gRPC":  probe.GRPC{Address: "10.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := prober.Probe(t.Context(), ask, 20*time.Second)
			if !errors.Is(got.Err, errGuard) || got.Cause != "" || got.Strict.Passed() {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestCertificatesBehindHTTPS(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	root := probetest.Issue(t, "root", now.Add(-day), now.Add(5*day), nil)
	leaf := probetest.Issue(t, "a.example.org", now.Add(-day), now.Add(30*day), &root)
	unrelated := probetest.Issue(t, "unrelated", now.Add(-day), now.Add(-time.Hour), nil)
	roots := x509.NewCertPool()
	roots.AddCert(root.Leaf)
	chain := leaf
	chain.Certificate = append(append([][]byte(nil), leaf.Certificate...), unrelated.Certificate...)
	clock := func() time.Time { return now }
	tests := map[string]struct {
		verify *tls.Config
		ask    bool
		want   string
		days   int
	}{
		"not asked for":     {ask: false},
		"as they were sent": {ask: true, want: "CN=a.example.org", days: 30},
		"as they verified":  {ask: true, verify: &tls.Config{RootCAs: roots, ServerName: "a.example.org", Time: clock}, want: "CN=root", days: 5},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			server.TLS = &tls.Config{Certificates: []tls.Certificate{chain}}
			server.StartTLS()
			defer server.Close()
			at, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			got := probe.New(probe.Options{Now: clock, TLS: tc.verify}).Probe(t.Context(), probe.HTTP{URL: at, Certificates: tc.ask}, 20*time.Second)
			if !got.Strict.Passed() {
				t.Fatalf("%+v", got.Strict)
			}
			if !tc.ask {
				if got.EndsFirst != nil || len(got.Certificates) > 0 {
					t.Errorf("told of %+v", got.Certificates)
				}
				return
			}
			if got.EndsFirst == nil || got.EndsFirst.Subject != tc.want || got.EndsFirst.DaysLeft() != tc.days {
				t.Errorf("ends first: %+v, want %s in %d days; sent: %+v", got.EndsFirst, tc.want, tc.days, got.Certificates)
			}
		})
	}
}

func TestTheLookUpOfANameIsAPhaseOfItsOwn(t *testing.T) {
	t.Parallel()
	// The name has no dot at its end and no addresses: RFC 6761 keeps .invalid from ever having any.
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errGuard }}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		_, err := resolver.LookupNetIP(ctx, "ip", "name.invalid.")
		return nil, err
	}
	for name, ask := range map[string]probe.Target{
		"HTTP": target(t, "http://name.invalid/"),
		"TCP":  probe.TCP{Address: "name.invalid:1"},
		"TLS":  probe.TLS{Address: "name.invalid:1"},
		"DNS":  probe.DNS{Server: "name.invalid:53", Name: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := probe.New(probe.Options{Now: wallClock, Dial: dial}).Probe(t.Context(), ask, 20*time.Second)
			if got.Phases.Resolve <= 0 || got.Cause != probe.NameLookupFailed {
				t.Errorf("%+v (%v)", got, got.Err)
			}
		})
	}
}
