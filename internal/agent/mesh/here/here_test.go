package here

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// now is a clock that stands: these tests measure no time.
func now() time.Time { return time.Unix(1700000000, 0) }

// startDNS serves DNS on a loopback address over both protocols.
func startDNS(t *testing.T, answer dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	packets, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(packets.LocalAddr().String())
	streams, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: answer}, {Listener: streams, Handler: answer}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return at
}

func reply(code int) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetRcode(q, code)
		_ = w.WriteMsg(m)
	}
}

// closedPort is one at which nobody listens: no system gives out ports so low, so that nobody takes it while it
// is asked.
var closedPort = netip.MustParseAddrPort("127.0.0.1:1")

func TestServersOfClusterDNSAreToldApart(t *testing.T) {
	t.Parallel()
	silent, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	cases := map[string]struct {
		at       netip.AddrPort
		udp, tcp string
	}{
		"a server that answers":                        {startDNS(t, reply(dns.RcodeSuccess)), OK, OK},
		"one that knows no such name is there":         {startDNS(t, reply(dns.RcodeNameError)), OK, OK},
		"one that answers that it fails":               {startDNS(t, reply(dns.RcodeServerFailure)), Failing, Failing},
		"nobody listens":                               {closedPort, Refused, Refused},
		"one that never answers over UDP, without TCP": {netip.MustParseAddrPort(silent.LocalAddr().String()), TimedOut, Refused},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := New(func() Targets { return Targets{DNS: []Target{{Address: tc.at, Node: "w1"}}} }, now)
			w.Once(t.Context())
			s := w.DNS()[0]
			if s.UDP.Answer != tc.udp || s.TCP.Answer != tc.tcp {
				t.Errorf("udp %q (%s), tcp %q (%s); want %q and %q", s.UDP.Answer, s.UDP.Problem, s.TCP.Answer, s.TCP.Problem, tc.udp, tc.tcp)
			}
			if s.UDP.Answer != OK && s.UDP.Problem == "" {
				t.Error("what went wrong is not said")
			}
		})
	}
}

func TestAPIServersAreToldApart(t *testing.T) {
	status := func(code int) (netip.AddrPort, *x509.CertPool) {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/livez" {
				code = http.StatusNotFound
			}
			w.WriteHeader(code)
		}))
		t.Cleanup(s.Close)
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		return netip.MustParseAddrPort(s.Listener.Addr().String()), roots
	}
	live, liveRoots := status(http.StatusOK)
	closed, closedRoots := status(http.StatusForbidden)
	failing, failingRoots := status(http.StatusInternalServerError)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for name, tc := range map[string]struct {
		at    netip.AddrPort
		roots *x509.CertPool
		want  string
	}{
		"one that lives":                             {live, liveRoots, OK},
		"one that tells strangers nothing":           {closed, closedRoots, OK},
		"one that says that it fails":                {failing, failingRoots, Failing},
		"one whose certificate somebody else signed": {live, x509.NewCertPool(), Untrusted},
		"something else that listens there":          {netip.MustParseAddrPort(plain.Listener.Addr().String()), liveRoots, Untrusted},
		"nobody listens":                             {closedPort, liveRoots, Refused},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(func() Targets { return Targets{API: []Target{{Address: tc.at}}, Roots: tc.roots} }, now)
			w.Once(t.Context())
			if got := w.API()[0].TCP; got.Answer != tc.want {
				t.Errorf("%q (%s), want %q", got.Answer, got.Problem, tc.want)
			}
		})
	}
}

func TestTheLastAPIServerIsAskedAfterItLeftItsEndpoints(t *testing.T) {
	known := []Target{{Address: closedPort, Node: "cp1"}}
	w := New(func() Targets { return Targets{API: known, Roots: x509.NewCertPool()} }, now)
	w.Once(t.Context())
	known = nil
	w.Once(t.Context())
	if got := w.API(); len(got) != 1 || got[0].TCP.Answer != Refused {
		t.Errorf("it was asked with the result %v, want one refusal", got)
	}
}

func TestOnlyAFewServersAreAsked(t *testing.T) {
	var many []Target
	for i := range 100 {
		many = append(many, Target{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 53)})
	}
	many = append(many, Target{Address: netip.MustParseAddrPort("10.96.0.10:53"), Service: true})
	got := bounded(many)
	if len(got) != mostServers+1 || !got[len(got)-1].Service {
		t.Errorf("%d are asked, want %d and the Service", len(got), mostServers)
	}
}
