package probe_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/maek-dev/maek/internal/probe"
)

// nameServer serves DNS over UDP and TCP on one port of the loopback address.
func nameServer(t *testing.T, handle dns.HandlerFunc) string {
	t.Helper()
	for range 20 {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", listener.Addr().String())
		if err != nil { // the port is taken by somebody's UDP
			_ = listener.Close()
			continue
		}
		for _, server := range []*dns.Server{{Listener: listener, Handler: handle}, {PacketConn: packets, Handler: handle}} {
			started, stopped := make(chan struct{}), make(chan error, 1)
			server.NotifyStartedFunc = func() { close(started) }
			go func() { stopped <- server.ActivateAndServe() }()
			<-started
			t.Cleanup(func() {
				if err := errors.Join(server.Shutdown(), <-stopped); err != nil {
					t.Errorf("serving DNS: %v", err)
				}
			})
		}
		return listener.Addr().String()
	}
	t.Fatal("found no port that is free in both protocols")
	return ""
}

// zone answers with records, and NXDOMAIN where it has none of the name.
func zone(t *testing.T, records ...string) dns.HandlerFunc {
	t.Helper()
	var all []dns.RR
	for _, text := range records {
		record, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, record)
	}
	return func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetRcode(question, dns.RcodeNameError)
		for _, record := range all {
			if record.Header().Name != question.Question[0].Name {
				continue
			}
			answer.Rcode = dns.RcodeSuccess
			if kind := record.Header().Rrtype; kind == question.Question[0].Qtype || kind == dns.TypeCNAME {
				answer.Answer = append(answer.Answer, record)
			}
		}
		_ = w.WriteMsg(answer)
	}
}

func TestDNSServers(t *testing.T) {
	t.Parallel()
	records := zone(t, "api.shop.svc. A 10.96.0.10", "api.shop.svc. A 10.96.0.9", "mail. MX 10 mx.mail.", "alias. CNAME api.shop.svc.", "alias. A 10.96.0.9")
	tests := map[string]struct {
		ask     probe.DNS
		handle  dns.HandlerFunc
		timeout time.Duration
		want    probe.Verdict
		records []string
	}{
		"all records of the name": {
			ask: probe.DNS{Name: "api.shop.svc"}, records: []string{"10.96.0.10", "10.96.0.9"},
			want: probe.Verdict{Result: probe.Success, Message: "10.96.0.10, 10.96.0.9"},
		},
		"over TCP": {
			ask: probe.DNS{Name: "api.shop.svc", OverTCP: true}, records: []string{"10.96.0.10", "10.96.0.9"},
			want: probe.Verdict{Result: probe.Success, Message: "10.96.0.10, 10.96.0.9"},
		},
		"another type": {
			ask: probe.DNS{Name: "mail.", Type: "mx", Want: []string{"10 MX.mail."}}, records: []string{"10 mx.mail."},
			want: probe.Verdict{Result: probe.Success, Message: "10 mx.mail."},
		},
		"by an alias, which is no answer itself": {
			ask: probe.DNS{Name: "alias"}, records: []string{"10.96.0.9"}, want: probe.Verdict{Result: probe.Success, Message: "10.96.0.9"},
		},
		"the expected answer is there": {
			ask: probe.DNS{Name: "api.shop.svc", Want: []string{"10.96.0.9"}}, records: []string{"10.96.0.10", "10.96.0.9"},
			want: probe.Verdict{Result: probe.Success, Message: "10.96.0.10, 10.96.0.9"},
		},
		"the expected answer is not there": {
			ask: probe.DNS{Name: "api.shop.svc", Want: []string{"10.96.0.9", "10.96.0.1"}}, records: []string{"10.96.0.10", "10.96.0.9"},
			want: probe.Verdict{Result: probe.Failure, Message: "10.96.0.1 is not among the answers: 10.96.0.10, 10.96.0.9"},
		},
		"no such name":            {ask: probe.DNS{Name: "nobody"}, want: probe.Verdict{Result: probe.Failure, Message: "the server answered NXDOMAIN"}},
		"no records of that type": {ask: probe.DNS{Name: "mail"}, want: probe.Verdict{Result: probe.Failure, Message: "the name has no A records"}},
		"no such type":            {ask: probe.DNS{Name: "mail", Type: "X"}, want: probe.Verdict{Result: probe.Unknown, Message: `there is no type of DNS record "X"`}},
		"no name":                 {ask: probe.DNS{Name: "a..b"}, want: probe.Verdict{Result: probe.Unknown, Message: `"a..b" is no domain name`}},
		"an answer too long for UDP": {
			ask: probe.DNS{Name: "api.shop.svc"}, records: []string{"10.96.0.10", "10.96.0.9"}, want: probe.Verdict{Result: probe.Success, Message: "10.96.0.10, 10.96.0.9"},
			handle: func(w dns.ResponseWriter, question *dns.Msg) {
				if w.LocalAddr().Network() == "udp" {
					answer := new(dns.Msg).SetReply(question)
					answer.Truncated = true
					_ = w.WriteMsg(answer)
					return
				}
				records(w, question)
			},
		},
		"answers to other questions before": {
			ask: probe.DNS{Name: "api.shop.svc"}, records: []string{"10.96.0.10", "10.96.0.9"}, want: probe.Verdict{Result: probe.Success, Message: "10.96.0.10, 10.96.0.9"},
			handle: func(w dns.ResponseWriter, question *dns.Msg) {
				other := new(dns.Msg).SetRcode(question, dns.RcodeServerFailure)
				other.Id++
				_ = w.WriteMsg(other)
				_ = w.WriteMsg(question)
				records(w, question)
			},
		},
		"no answer": {
			ask: probe.DNS{Name: "api.shop.svc"}, timeout: 2 * time.Second, handle: func(dns.ResponseWriter, *dns.Msg) {},
			want: probe.Verdict{Result: probe.Failure, Message: "asking over UDP: context deadline exceeded"},
		},
		"no answer over TCP": {
			ask: probe.DNS{Name: "api.shop.svc", OverTCP: true}, timeout: 2 * time.Second, handle: func(dns.ResponseWriter, *dns.Msg) {},
			want: probe.Verdict{Result: probe.Failure, Message: "asking over TCP: context deadline exceeded"},
		},
		"answers to other questions without end": {
			ask: probe.DNS{Name: "api.shop.svc"}, timeout: 2 * time.Second, handle: func(w dns.ResponseWriter, question *dns.Msg) {
				other := question.Copy()
				other.Id++
				for range 5000 {
					_ = w.WriteMsg(other)
				}
			},
			want: probe.Verdict{Result: probe.Failure, Message: "asking over UDP: context deadline exceeded"},
		},
	}
	prober := probe.New(probe.Options{Now: wallClock})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.handle == nil {
				tc.handle = records
			}
			if tc.timeout == 0 {
				tc.timeout = 20 * time.Second
			}
			tc.ask.Server = nameServer(t, tc.handle)
			got := prober.Probe(t.Context(), tc.ask, tc.timeout)
			if diff := cmp.Diff(tc.want, got.Strict); diff != "" {
				t.Errorf("the verdict (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.records, got.Records); diff != "" {
				t.Errorf("the records (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDNSEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := nameServer(t, func(dns.ResponseWriter, *dns.Msg) { cancel() })
	got := probe.New(probe.Options{Now: wallClock}).Probe(ctx, probe.DNS{Server: server, Name: "a"}, time.Hour)
	if got.Strict.Result != probe.Failure || !strings.Contains(got.Strict.Message, "context canceled") {
		t.Errorf("%+v", got.Strict)
	}
}
