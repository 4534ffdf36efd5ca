package packetfilter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rule is what is read of a rule.
type rule struct {
	handle uint64
	// verdict is accept, drop, reject, return, jump or goto; empty for a rule that decides nothing.
	verdict string
	// to is the chain of a jump or goto.
	to string
	// protocol is tcp, udp or another; empty for all.
	protocol string
	// ports that packets go to; none for all.
	ports                 []span
	sources, destinations []string
	in, out               string
	// unread are conditions beyond these, by the words that nft has for them.
	unread []string
	// settled tells that it is about connections that are open already.
	settled bool
}

// span is a range of ports, both ends in it.
type span struct{ from, to uint16 }

func (s span) String() string {
	if s.from == s.to {
		return strconv.Itoa(int(s.from))
	}
	return fmt.Sprintf("%d-%d", s.from, s.to)
}

func joinSpans(all []span) string {
	var out []string
	for _, s := range all {
		out = append(out, s.String())
	}
	return strings.Join(out, " ")
}

// clusterPorts are the ports that parts of a cluster listen at, whichever machine they are on
// (https://kubernetes.io/docs/reference/networking/ports-and-protocols/): names, HTTPS of the API server's
// Service and its own port, etcd, VXLAN of Linux (8472: flannel, Cilium) and as registered (4789: Calico), the
// kubelet, kube-proxy's health, and Maek's agents (monitor.Port).
var clusterPorts = []uint16{53, 443, 6443, 2379, 2380, 4789, 8472, 10250, 10256, 10270}

// ofCluster tells whether a rule can be about what a cluster sends: it names one of its ports, or takes all
// that goes to or comes from certain addresses.
func (r rule) ofCluster() bool {
	if len(r.ports) == 0 {
		return (len(r.sources) > 0 || len(r.destinations) > 0) && (r.protocol == "" || r.protocol == "tcp" || r.protocol == "udp")
	}
	return slices.ContainsFunc(clusterPorts, func(port uint16) bool { return covers(r.ports, port) })
}

func covers(all []span, port uint16) bool {
	return slices.ContainsFunc(all, func(s span) bool { return s.from <= port && port <= s.to })
}

// takesAll tells whether a rule asks for nothing.
func (r rule) takesAll() bool {
	return r.protocol == "" && len(r.ports) == 0 && len(r.sources) == 0 && len(r.destinations) == 0 && r.in == "" && r.out == "" && len(r.unread) == 0 && !r.settled
}

// lets tells whether a rule lets some of the new connections pass that a later one takes.
func (r rule) lets(later rule) bool {
	if r.verdict != "accept" && r.verdict != "return" || r.settled || r.in == "lo" || r.out == "lo" {
		return false
	}
	if r.protocol != "" && later.protocol != "" && r.protocol != later.protocol {
		return false
	}
	return len(r.ports) == 0 || len(later.ports) == 0 || slices.ContainsFunc(r.ports, func(a span) bool {
		return slices.ContainsFunc(later.ports, func(b span) bool { return a.from <= b.to && b.from <= a.to })
	})
}

// text is the rule in the words of nft.
func (r rule) text() string {
	var words []string
	add := func(name, value string) {
		if value != "" {
			words = append(words, name, value)
		}
	}
	add("iifname", r.in)
	add("oifname", r.out)
	add(family(r.sources)+" saddr", braces(r.sources))
	add(family(r.destinations)+" daddr", braces(r.destinations))
	switch {
	case len(r.ports) > 0 && r.protocol == "":
		add("th dport", braces(strings.Fields(joinSpans(r.ports))))
	case len(r.ports) > 0:
		add(r.protocol+" dport", braces(strings.Fields(joinSpans(r.ports))))
	default:
		add("meta l4proto", r.protocol)
	}
	for _, u := range r.unread {
		words = append(words, u+" ...")
	}
	if r.settled {
		words = append(words, "ct state established")
	}
	words = append(words, r.verdict)
	if r.to != "" {
		words = append(words, r.to)
	}
	return strings.Join(words, " ")
}

// family of addresses, as nft names it.
func family(addresses []string) string {
	if len(addresses) > 0 && strings.Contains(addresses[0], ":") {
		return "ip6"
	}
	return "ip"
}

// mostNamed is how many of many addresses or ports a rule's text names.
const mostNamed = 8

func braces(all []string) string {
	switch {
	case len(all) == 0:
		return ""
	case len(all) == 1:
		return all[0]
	case len(all) > mostNamed:
		return "{ " + strings.Join(all[:mostNamed], ", ") + ", ... }"
	default:
		return "{ " + strings.Join(all, ", ") + " }"
	}
}
