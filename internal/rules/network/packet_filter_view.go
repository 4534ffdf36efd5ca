package network

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/maek-dev/maek/internal/snapshot"
)

// filterRule is a rule of a machine's packet filter that drops or rejects.
type filterRule struct {
	m                    snapshot.Machine
	table, chain, handle string
}

func (r filterRule) key(word string) snapshot.EvidenceKey {
	return snapshot.KeyOf("filter", "rule", r.table, r.chain, r.handle, word)
}

func (r filterRule) value(word string) string { return r.m.Value(r.key(word)) }

// filterRules are a machine's rules that take all that they seem to: without further conditions, and without an
// earlier rule of their chain that lets some of it pass.
func filterRules(m snapshot.Machine) []filterRule {
	var out []filterRule
	for _, e := range m.Select("filter/rule/*/*/*/text") {
		s := e.Key.Segments()
		r := filterRule{m, s[2], s[3], s[4]}
		if r.value("hooks") != "" && r.value("conditional") == "" && r.value("after") == "" {
			out = append(out, r)
		}
	}
	return out
}

// meets tells whether packets meet a rule at one of the hooks.
func (r filterRule) meets(hooks ...string) bool {
	return slices.ContainsFunc(strings.Fields(r.value("hooks")), func(h string) bool { return slices.Contains(hooks, h) })
}

// takes tells whether a rule takes packets of a protocol to a port.
func (r filterRule) takes(protocol string, port int) bool {
	if p := r.value("protocol"); p != "" && p != protocol {
		return false
	}
	return slices.ContainsFunc(strings.Fields(r.value("ports")), func(span string) bool {
		from, to, ranged := strings.Cut(span, "-")
		first, err := strconv.Atoi(from)
		last := first
		if ranged {
			last, _ = strconv.Atoi(to)
		}
		return err == nil && first <= port && port <= last
	})
}

// among tells whether one of the addresses is among those that a rule asks for; one that asks for none takes all.
func (r filterRule) among(word string, addresses []netip.Addr) bool {
	asked := strings.Fields(r.value(word))
	return len(asked) == 0 || slices.ContainsFunc(asked, func(text string) bool {
		return slices.ContainsFunc(addresses, func(a netip.Addr) bool { return spans(text, a) })
	})
}

// spans tells whether an address is one, is in a prefix, or between two.
func spans(text string, a netip.Addr) bool {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Contains(a)
	}
	from, to, ranged := strings.Cut(text, "-")
	first, err := netip.ParseAddr(from)
	if err != nil {
		return false
	}
	if !ranged {
		return first == a
	}
	last, err := netip.ParseAddr(to)
	return err == nil && first.Compare(a) <= 0 && a.Compare(last) <= 0
}

// filterScene is what is known of a machine's part in the cluster, by which rules of its packet filter are judged.
type filterScene struct {
	m snapshot.Machine
	// own are the addresses of its interfaces, and others those of the other machines that are known.
	own, others []netip.Addr
	// interfaces that the nodes' traffic takes.
	interfaces []string
	// apiHost and apiPort are where its kubelet reaches the API server.
	apiHost netip.Addr
	apiPort int
	// controlPlane tells that an API server runs on it.
	controlPlane bool
	// overlay are the UDP ports of its overlays.
	overlay []int
}

func sceneOf(m snapshot.Machine, nodes map[string][]netip.Addr) filterScene {
	s := filterScene{m: m, apiPort: 6443, controlPlane: m.True(snapshot.KeyOf("cluster", "node", m.Node(), "control-plane"))}
	for _, i := range interfacesOf(m, nodes) {
		for _, p := range i.addresses {
			s.own = append(s.own, p.Addr())
		}
		if i.node {
			s.interfaces = append(s.interfaces, i.name)
		}
	}
	for node, addresses := range nodes {
		if node != m.Node() {
			s.others = append(s.others, addresses...)
		}
	}
	if u, err := url.Parse(m.Value("kubelet/api-server/url")); err == nil && u.Host != "" {
		s.apiHost, _ = netip.ParseAddr(u.Hostname())
		if port, err := strconv.Atoi(u.Port()); err == nil {
			s.apiPort = port
		} else {
			s.apiPort = 443
		}
	}
	if s.apiHost.IsValid() {
		s.controlPlane = s.controlPlane || slices.Contains(s.own, s.apiHost)
		if !slices.Contains(s.own, s.apiHost) {
			s.others = append(s.others, s.apiHost)
		}
	}
	for _, device := range m.Names("overlay/device/*/port") {
		if port, ok := m.Int(deviceKey(device, "port")); ok {
			s.overlay = append(s.overlay, int(port))
		}
	}
	return s
}

// inward and outward tell whether a rule takes what other machines of the cluster send to this one, and what
// this one sends to them.
func (s filterScene) inward(r filterRule) bool {
	in := r.value("in")
	return r.meets("prerouting", "input", "ingress") && (in == "" || slices.Contains(s.interfaces, in)) && r.value("out") == "" &&
		r.among("sources", s.others) && r.among("destinations", s.own)
}

func (s filterScene) outward(r filterRule) bool {
	out := r.value("out")
	return r.meets("output", "postrouting") && (out == "" || slices.Contains(s.interfaces, out)) && r.value("in") == "" &&
		r.among("sources", s.own) && r.among("destinations", s.others)
}

// through tells whether a rule takes what pods send to other machines of the cluster. Where pods' addresses are
// asked for, it is not known whose they are.
func (s filterScene) through(r filterRule) bool {
	return r.meets("prerouting", "forward") && r.value("in") == "" && r.value("out") == "" && r.value("sources") == "" && r.among("destinations", s.others)
}
