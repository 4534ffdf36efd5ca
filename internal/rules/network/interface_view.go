package network

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// interfaceKeys are what rules about interfaces read of machines.
var interfaceKeys = []snapshot.EvidenceKey{
	"interface/*/*", "interface/*/bond-member/*", "cluster/node/*/internal-ip",
	"nfs/mount/*/server", "iscsi/session/*/portal",
}

// hostNeeds are the kinds that say which addresses are nodes', where they could be read.
func hostNeeds() []rule.Need { return []rule.Need{rule.Optional[*corev1.Node]()} }

// hostInterface is a network interface of a machine, and what the cluster uses it for.
type hostInterface struct {
	m    snapshot.Machine
	name string
	// addresses with their networks.
	addresses []netip.Prefix
	// node tells that the node's address is on it, or, where nobody says which that is, the default route.
	node bool
	// storage is what is reached through it beside the node's traffic: an NFS server or an iSCSI portal; empty
	// for none.
	storage string
}

func interfaceKey(name, word string) snapshot.EvidenceKey {
	return snapshot.KeyOf("interface", name, word)
}

func (i hostInterface) key(word string) snapshot.EvidenceKey { return interfaceKey(i.name, word) }

func (i hostInterface) value(word string) string { return i.m.Value(i.key(word)) }

func (i hostInterface) subject() finding.Subject { return i.m.Subject("Interface", i.name) }

// role is what an interface is for, in words; empty where the cluster uses it for nothing known.
func (i hostInterface) role() finding.Text {
	switch {
	case i.node:
		return finding.Text{EN: "the node's own traffic", KO: "노드 자체의 트래픽"}
	case i.storage != "":
		return finding.Textf("storage at %s", "스토리지 %s", i.storage)
	default:
		return finding.Text{}
	}
}

// nodeAddresses are the addresses of the nodes, by node, as the API server or the agents' last word has them.
func nodeAddresses(p *rule.Pass) map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	add := func(node, text string) {
		if a, err := netip.ParseAddr(text); err == nil && !slices.Contains(out[node], a) {
			out[node] = append(out[node], a)
		}
	}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				add(n.Name, a.Address)
			}
		}
	}
	for _, m := range p.Machines() {
		for _, e := range m.Select("cluster/node/*/internal-ip") {
			node := e.Key.Segments()[2]
			for address := range strings.SplitSeq(e.Value, ",") {
				add(node, address)
			}
		}
	}
	return out
}

// interfacesOf are a machine's interfaces.
func interfacesOf(m snapshot.Machine, nodes map[string][]netip.Addr) []hostInterface {
	var out []hostInterface
	found := false
	for _, name := range m.Names("interface/*/type") {
		i := hostInterface{m: m, name: name}
		for text := range strings.FieldsSeq(i.value("addresses")) {
			if p, err := netip.ParsePrefix(text); err == nil {
				i.addresses = append(i.addresses, p)
			}
		}
		i.node = slices.ContainsFunc(i.addresses, func(p netip.Prefix) bool { return slices.Contains(nodes[m.Node()], p.Addr()) })
		found = found || i.node
		out = append(out, i)
	}
	storage := storageOf(m)
	for n := range out {
		i := &out[n]
		if !found {
			i.node = i.value("default-route") == "true"
		}
		for _, s := range storage {
			if !i.node && slices.ContainsFunc(i.addresses, func(p netip.Prefix) bool { return p.Contains(s.Addr()) }) {
				i.storage = s.Addr().String()
			}
		}
	}
	return out
}

// storageOf are the addresses of a machine's NFS servers and iSCSI portals. Servers by name are left out.
func storageOf(m snapshot.Machine) []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range m.Select("nfs/mount/*/server") {
		if a, err := netip.ParseAddr(e.Value); err == nil {
			out = append(out, netip.AddrPortFrom(a, 0))
		}
	}
	for _, e := range m.Select("iscsi/session/*/portal") {
		if a, err := netip.ParseAddrPort(e.Value); err == nil {
			out = append(out, a)
		}
	}
	return out
}
