package switchd

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func TestNames(t *testing.T) {
	addresses := start(t, Config{Hosts: map[string]netip.Addr{
		"cp1":          netip.MustParseAddr("10.99.0.11"),
		"registry.lab": netip.MustParseAddr("10.99.0.1"),
	}})
	tests := map[string]struct {
		name  string
		qtype uint16
		want  string
		rcode int
	}{
		"a machine":                           {"cp1.", dns.TypeA, "10.99.0.11", dns.RcodeSuccess},
		"the registry":                        {"registry.lab.", dns.TypeA, "10.99.0.1", dns.RcodeSuccess},
		"in whatever case":                    {"Registry.LAB.", dns.TypeA, "10.99.0.1", dns.RcodeSuccess},
		"a known name has no IPv6 address":    {"cp1.", dns.TypeAAAA, "", dns.RcodeSuccess},
		"a name of the world does not exist":  {"www.kubernetes.io.", dns.TypeA, "", dns.RcodeNameError},
		"nor does one below a name there is":  {"x.registry.lab.", dns.TypeA, "", dns.RcodeNameError},
		"addresses are not looked up by name": {"1.0.99.10.in-addr.arpa.", dns.TypePTR, "", dns.RcodeNameError},
	}
	for _, network := range []string{"udp", "tcp"} {
		for name, tc := range tests {
			t.Run(network+": "+name, func(t *testing.T) {
				question := new(dns.Msg)
				question.SetQuestion(tc.name, tc.qtype)
				client := &dns.Client{Net: network}
				reply, _, err := client.ExchangeContext(t.Context(), question, addresses.DNS.String())
				if err != nil {
					t.Fatal(err)
				}
				if reply.Rcode != tc.rcode {
					t.Errorf("rcode = %s, want %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[tc.rcode])
				}
				var got string
				if len(reply.Answer) > 0 {
					got = reply.Answer[0].(*dns.A).A.String()
				} else if len(reply.Ns) != 1 {
					t.Error("an answer without an address does not say how long it holds")
				}
				if got != tc.want {
					t.Errorf("address = %q, want %q", got, tc.want)
				}
			})
		}
	}
}

func TestQuestionsOfAnotherClassAreRefused(t *testing.T) {
	addresses := start(t, Config{})
	question := new(dns.Msg)
	question.SetQuestion("version.bind.", dns.TypeTXT)
	question.Question[0].Qclass = dns.ClassCHAOS
	reply, err := dns.ExchangeContext(t.Context(), question, addresses.DNS.String())
	if err != nil {
		t.Fatal(err)
	}
	if reply.Rcode != dns.RcodeRefused {
		t.Errorf("rcode = %s, want REFUSED", dns.RcodeToString[reply.Rcode])
	}
}
