package network

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// flannelPrefix begins the annotations in which each flanneld tells the others where to send
// (github.com/flannel-io/flannel, pkg/subnet/kube/annotations.go).
const flannelPrefix = "flannel.alpha.coreos.com/"

// flannelEvidence is what rules about flannel read of machines.
var flannelEvidence = []snapshot.EvidenceKey{
	"overlay/device/*/*", "overlay/route/*", "overlay/neighbour/*/*", "overlay/forwarding/*/*",
	"flannel/running", "flannel/unit-file", "flannel/store", "flannel/setting/*", "flannel/setting-overridden/*",
	"flannel/subnet-file/*", "flannel/docker/*", "flannel/config/*", "flannel/etcd/*", "flannel/lease/*/*",
	"cni/first", "cni/configuration/*/*",
	"cluster/node/*/internal-ip", "cluster/node/*/pod-cidr", "cluster/node/*/deleting",
	"cluster/node/*/flannel-public-ip", "cluster/node/*/flannel-backend-data", "cluster/node/*/flannel-backend-type",
}

// flannelNeeds are the kinds that say the same as machines' evidence, where they could be read.
func flannelNeeds() []rule.Need { return []rule.Need{rule.Optional[*corev1.Node]()} }

// holder is a node as flannel knows it: it holds a range of pod addresses, and the others send to it.
type holder struct {
	// node is its name; empty where a lease's address is no known node's.
	node string
	// subnet of its pods, IPv4.
	subnet netip.Prefix
	// publicIP is where the others send.
	publicIP string
	// backend by which they do.
	backend string
	// vni and mac of its VXLAN device; vni is 1 where flannel of old did not say it.
	vni int64
	mac string
	// changing tells that this was only just written, so that others need not know it yet.
	changing bool
	// said is where all this was read.
	said finding.Evidence
	// gateway is the subnet's own address, by which others send; link the name of the VXLAN device; and route
	// the key under which others tell their route. Each of many machines looks for each of many holders, so
	// that they are made once.
	gateway, link string
	route         snapshot.EvidenceKey
}

// name of a holder for people.
func (h holder) name() string { return cmp.Or(h.node, h.publicIP) }

// device is the name of its VXLAN device.
func (h holder) device() string {
	if h.link != "" {
		return h.link
	}
	return "flannel." + itoa(h.vni)
}

// overlay is flannel's network as one machine can know it.
type overlay struct {
	// holders of subnets, by subnet.
	holders []holder
	// own is the machine's own; nil where it has none, or nobody knows.
	own *holder
	// whole tells that nobody else can have a subnet.
	whole bool
}

// peers are all holders but the machine's own.
func (o overlay) peers() []holder {
	return slices.DeleteFunc(slices.Clone(o.holders), func(h holder) bool { return o.own != nil && h.subnet == o.own.subnet })
}

// flannelView reads who holds which subnet: from the Nodes once for all machines, from a machine's own
// evidence where it must.
type flannelView struct {
	pass *rule.Pass
	*announcements
}

// announcements are what is the same for all rules about flannel, and made once for them.
type announcements struct {
	nodes []holder
	// remembered are those that the machine that knows of most was told of, where no Node says anything. In
	// large clusters the others tell of their own Nodes only.
	remembered []holder
	// at is where a node's own is among them.
	at      map[string]int
	whole   bool
	byIP    map[string]string
	created map[string]time.Time
}

// settlingTime is how long flanneld on other machines may take to write what one has announced, with room
// for reports that are not of the same second.
const settlingTime = 90 * time.Second

func readFlannel(p *rule.Pass) *flannelView {
	return &flannelView{p, snapshot.Derived(p.Snapshot, func() *announcements { return readAnnouncements(p) })}
}

func readAnnouncements(p *rule.Pass) *announcements {
	v := &announcements{at: map[string]int{}, byIP: map[string]string{}, created: map[string]time.Time{}}
	v.whole = p.Coverage(snapshot.KindOf[*corev1.Node]()).Known()
	v.nodes = announcedHolders(p)
	for i, h := range v.nodes {
		v.at[h.node] = i
	}
	if len(v.nodes) == 0 {
		for _, m := range p.Machines() {
			if told := remembered(m); len(told) > len(v.remembered) {
				v.remembered = told
			}
		}
	}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
				v.byIP[a.Address] = n.Name
			}
		}
		v.created[n.Name] = n.CreationTimestamp.Time
	}
	// flannel may send from an address that the Node object does not list.
	for _, m := range p.Machines() {
		for _, ip := range underlayAddresses(m) {
			if _, known := v.byIP[ip]; !known {
				v.byIP[ip] = m.Node()
			}
		}
	}
	return v
}

// holders is a type of its own for what is kept of a snapshot.
type holders []holder

// announcedHolders are the nodes that flannel has announced in annotations.
func announcedHolders(p *rule.Pass) []holder {
	return snapshot.Derived(p.Snapshot, func() holders {
		var out holders
		for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
			if h, ok := holderOf(p.Now(), n); ok {
				out = append(out, h)
			}
		}
		sortHolders(out)
		return out
	})
}

// holderOf reads a Node's annotations; false where flannel has not announced it whole.
func holderOf(now time.Time, n *corev1.Node) (holder, bool) {
	if n.Annotations[flannelPrefix+"kube-subnet-manager"] != "true" {
		return holder{}, false
	}
	cidr := n.Spec.PodCIDR
	if cidr == "" && len(n.Spec.PodCIDRs) > 0 {
		cidr = n.Spec.PodCIDRs[0]
	}
	written := n.CreationTimestamp.Time
	for _, f := range n.ManagedFields {
		if strings.HasPrefix(f.Manager, "flannel") && f.Time != nil {
			written = finding.Later(written, f.Time.Time)
		}
	}
	h, ok := announced(n.Name, cidr, n.Annotations[flannelPrefix+"public-ip"], n.Annotations[flannelPrefix+"backend-type"], n.Annotations[flannelPrefix+"backend-data"])
	h.changing = now.Sub(written) < settlingTime || n.DeletionTimestamp != nil
	h.said = finding.Evidence{Source: "Node " + n.Name, Path: ".metadata.annotations[" + flannelPrefix + "backend-data]", Value: n.Annotations[flannelPrefix+"backend-data"]}
	return h, ok
}

// announced reads what flanneld announces of a node.
func announced(node, cidr, publicIP, backend, data string) (holder, bool) {
	h := holder{node: node, publicIP: publicIP, backend: backend, vni: 1}
	subnet, err := netip.ParsePrefix(cidr)
	if err != nil || publicIP == "" || backend == "" {
		return h, false
	}
	h.subnet = subnet.Masked()
	var d struct {
		VNI     *int64
		VtepMAC string
	}
	// Backends without data announce "null".
	if json.Unmarshal([]byte(data), &d) == nil {
		h.mac = strings.ToLower(d.VtepMAC)
		if d.VNI != nil {
			h.vni = *d.VNI
		}
	}
	return h, h.subnet.Addr().Is4() && (backend != "vxlan" || h.mac != "")
}

// of is the network as a machine knows it.
func (v *flannelView) of(m snapshot.Machine) overlay {
	var o overlay
	switch {
	case m.Value("flannel/store") == "etcd":
		o.holders, o.whole = v.leases(m), m.True("flannel/etcd/all-leases")
	case len(v.nodes) > 0:
		o.holders, o.whole = v.nodes, v.whole
		if i, ok := v.at[m.Node()]; ok {
			o.own = &o.holders[i]
		}
		return o
	default:
		if o.holders = remembered(m); len(o.holders) == 1 {
			o.holders = v.remembered
		}
	}
	return o.of(m.Node())
}

// of is the same network as a node sees it.
func (o overlay) of(node string) overlay {
	for i, h := range o.holders {
		if h.node == node {
			o.own = &o.holders[i]
		}
	}
	return o
}

// leases are the holders in flannel's etcd, as a machine read them.
func (v *flannelView) leases(m snapshot.Machine) []holder {
	byIP := v.byIP
	if len(v.created) == 0 {
		byIP = maps.Clone(byIP)
		for _, node := range m.Names("cluster/node/*/internal-ip") {
			for ip := range strings.SplitSeq(m.Value(snapshot.KeyOf("cluster", "node", node, "internal-ip")), ",") {
				byIP[ip] = node
			}
		}
	}
	var out []holder
	for _, subnet := range m.Names("flannel/lease/*/public-ip") {
		key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("flannel", "lease", subnet, word) }
		prefix, err := netip.ParsePrefix(subnet)
		if err != nil {
			continue
		}
		h := holder{
			subnet: prefix, publicIP: m.Value(key("public-ip")), backend: m.Value(key("backend")), vni: 1, mac: strings.ToLower(m.Value(key("mac"))),
			said: m.Evidence(key("public-ip")),
		}
		if vni, ok := m.Int(key("vni")); ok {
			h.vni = vni
		}
		h.node = byIP[h.publicIP]
		out = append(out, h)
	}
	sortHolders(out)
	return out
}

// ownAddress tells whether a machine can send its overlay's traffic from an address.
func ownAddress(m snapshot.Machine, ip string) bool { return slices.Contains(underlayAddresses(m), ip) }

// underlayAddresses are the addresses from which a machine can send its overlay's traffic.
func underlayAddresses(m snapshot.Machine) []string {
	var out []string
	for _, e := range m.Select("overlay/device/*/*") {
		switch e.Key.Segments()[3] {
		case "local":
			out = append(out, e.Value)
		case "underlay-addresses":
			for a := range strings.FieldsSeq(e.Value) {
				at, _, _ := strings.Cut(a, "/")
				out = append(out, at)
			}
		}
	}
	return out
}

// remembered are the holders as the machine's agent last heard them of the API server.
func remembered(m snapshot.Machine) []holder {
	var out []holder
	for _, node := range m.Names("cluster/node/*/flannel-public-ip") {
		key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("cluster", "node", node, word) }
		cidr, _, _ := strings.Cut(m.Value(key("pod-cidr")), ",")
		h, ok := announced(node, cidr, m.Value(key("flannel-public-ip")), cmp.Or(m.Value(key("flannel-backend-type")), "vxlan"), m.Value(key("flannel-backend-data")))
		h.changing = m.True(key("deleting"))
		h.said = m.Evidence(key("flannel-backend-data"))
		if ok {
			out = append(out, h)
		}
	}
	sortHolders(out)
	return out
}

func sortHolders(holders []holder) {
	for i, h := range holders {
		holders[i].gateway, holders[i].link = h.subnet.Addr().String(), "flannel."+itoa(h.vni)
		holders[i].route = snapshot.KeyOf("overlay", "route", h.subnet.String())
	}
	slices.SortFunc(holders, func(a, b holder) int {
		return cmp.Or(a.subnet.Addr().Compare(b.subnet.Addr()), cmp.Compare(a.subnet.Bits(), b.subnet.Bits()), cmp.Compare(a.name(), b.name()))
	})
}
