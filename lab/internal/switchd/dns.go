package switchd

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// nameTTL is how long answers may be kept, in seconds: short, since faults change
// what is true.
const nameTTL = 5

// names answers for the names it knows, and says of all others at once that there
// are none. It asks nobody.
type names map[string]netip.Addr

// newNames makes the names fully qualified.
func newNames(hosts map[string]netip.Addr) names {
	n := make(names, len(hosts))
	for host, address := range hosts {
		n[strings.ToLower(dns.Fqdn(host))] = address
	}
	return n
}

// ServeDNS implements [dns.Handler].
func (n names) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	reply := new(dns.Msg)
	if len(request.Question) != 1 || request.Question[0].Qclass != dns.ClassINET {
		reply.SetRcode(request, dns.RcodeRefused)
		_ = w.WriteMsg(reply) // a client that is gone needs no answer
		return
	}
	question := request.Question[0]
	reply.SetReply(request)
	reply.Authoritative = true
	address, known := n[strings.ToLower(question.Name)]
	switch {
	case known && question.Qtype == dns.TypeA && address.Is4():
		reply.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: nameTTL},
			A:   address.AsSlice(),
		}}
	case known:
		// The name is there, but not with an address of this type.
		reply.Ns = []dns.RR{startOfAuthority()}
	default:
		reply.Rcode = dns.RcodeNameError
		reply.Ns = []dns.RR{startOfAuthority()}
	}
	_ = w.WriteMsg(reply) // a client that is gone needs no answer
}

// startOfAuthority tells resolvers how long they may remember that there is
// nothing (RFC 2308, section 3).
func startOfAuthority() dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: nameTTL},
		Ns:  "switch.lab.", Mbox: "nobody.lab.", Serial: 1,
		Refresh: nameTTL, Retry: nameTTL, Expire: nameTTL, Minttl: nameTTL,
	}
}
