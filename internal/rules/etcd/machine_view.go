package etcd

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// machineKeys is what machines tell of etcd, and of what can take a member away.
var machineKeys = []snapshot.EvidenceKey{
	"etcd/cluster/*", "etcd/local/*", "etcd/member/*/*", "etcd/alarm/*/*", "etcd/metrics/*", "etcd/metrics/peer/*/rtt-p99", "etcd/compaction/*",
	"filesystem/*/holds/*", "filesystem/*/free-bytes", "filesystem/*/total-bytes", "filesystem/*/read-only",
	"component/etcd/last-error", "unit/etcd.service/active-state", "unit/etcd.service/last-error",
	"mesh/peer/*/host-tcp", "cluster/node/*/internal-ip",
}

// optionalNodes are what tells on which machine a member is, where no agent runs there.
var optionalNodes = []rule.Need{rule.Optional[*corev1.Node](), rule.Optional[*corev1.Pod]()}

// staleReport is how much older than the newest a machine's report may be to tell of the present.
const staleReport = 2 * time.Minute

// answered is how a member that answers is noted (internal/monitors/etcd).
const answered = "yes"

// etcdCluster is a cluster of members, joined from all machines that looked at it.
type etcdCluster struct {
	id string
	// other tells that it is not the first of several that machines use, as one for Events alone may be.
	other   bool
	from    []snapshot.Machine
	members []etcdMember
}

// etcdMember is one of them.
type etcdMember struct {
	// id in hexadecimal digits; the name where no ID is known.
	id, name string
	// host part of its URLs, and node whose machine that is; empty where unknown.
	host, node string
	learner    bool
}

// label is how people call the member: by its machine.
func (m etcdMember) label() string {
	for _, s := range []string{m.node, m.name, m.id} {
		if s != "" {
			return s
		}
	}
	return m.host
}

// subject of findings about a member. With machines or without, it is the same.
func (m etcdMember) subject() finding.Subject {
	return finding.Subject{Kind: "EtcdMember", Name: m.label(), Machine: m.node}
}

// clusters joins what machines say of etcd. Machines whose reports are old say nothing.
func clusters(p *rule.Pass) []*etcdCluster {
	var newest time.Time
	for _, m := range p.Machines() {
		// A machine whose clock is far ahead does not make the others' reports old.
		if m.ObservedAt().Sub(p.Now()) <= staleReport {
			newest = finding.Later(newest, m.ObservedAt())
		}
	}
	byID := map[string]*etcdCluster{}
	var out []*etcdCluster
	var nameless []snapshot.Machine
	for _, m := range p.Machines() {
		if newest.Sub(m.ObservedAt()) > staleReport || m.Value("etcd/local/source") == "" {
			continue
		}
		id := m.Value("etcd/cluster/id")
		if id == "" {
			nameless = append(nameless, m)
			continue
		}
		if byID[id] == nil {
			byID[id] = &etcdCluster{id: id}
			out = append(out, byID[id])
		}
		byID[id].add(m)
	}
	for _, m := range nameless {
		i := slices.IndexFunc(out, func(c *etcdCluster) bool { return c.has(m.Value("etcd/local/name")) })
		if i < 0 {
			i = len(out)
			out = append(out, &etcdCluster{})
		}
		out[i].add(m)
	}
	for _, c := range out {
		for i := range c.members {
			c.members[i].node = c.nodeOf(p, c.members[i])
		}
		slices.SortFunc(c.members, func(a, b etcdMember) int { return strings.Compare(a.label(), b.label()) })
	}
	out = slices.DeleteFunc(out, func(c *etcdCluster) bool { return len(c.members) == 0 })
	for i, c := range out {
		c.other = i > 0
	}
	return out
}

// store is the cluster as a whole.
func (c *etcdCluster) store() finding.Subject {
	if c.other {
		return finding.Subject{Kind: store.Kind, Name: store.Name + " " + cmp.Or(c.id, "of "+c.from[0].Node())}
	}
	return store
}

func (c *etcdCluster) has(name string) bool {
	return name != "" && slices.ContainsFunc(c.members, func(m etcdMember) bool { return m.name == name })
}

// add takes in a machine that looked, and the members that no other named.
func (c *etcdCluster) add(from snapshot.Machine) {
	c.from = append(c.from, from)
	for _, id := range from.Names("etcd/member/*/name") {
		m := etcdMember{id: id, name: from.Value(snapshot.KeyOf("etcd", "member", id, "name")), learner: from.True(snapshot.KeyOf("etcd", "member", id, "learner"))}
		if slices.ContainsFunc(c.members, func(old etcdMember) bool { return old.id == id || id == m.name && old.name == id }) {
			continue
		}
		urls := from.Value(snapshot.KeyOf("etcd", "member", id, "peer-urls"))
		first, _, _ := strings.Cut(urls, ",")
		if u, err := url.Parse(first); err == nil {
			m.host = u.Hostname()
		}
		c.members = append(c.members, m)
	}
}

// key of a member's value on a machine: one that never saw a list knows it by its name.
func (c *etcdCluster) key(on snapshot.Machine, m etcdMember, what string) snapshot.EvidenceKey {
	k := snapshot.KeyOf("etcd", "member", m.id, what)
	if _, ok := on.Find(k); !ok && m.name != "" && m.name != m.id {
		return snapshot.KeyOf("etcd", "member", m.name, what)
	}
	return k
}

// nodeOf is the node on whose machine a member runs.
func (c *etcdCluster) nodeOf(p *rule.Pass, m etcdMember) string {
	for _, from := range c.from {
		if own := from.Value("etcd/local/member"); own != "" && (own == m.id || own == m.name) {
			return from.Node()
		}
	}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		if slices.ContainsFunc(n.Status.Addresses, func(a corev1.NodeAddress) bool { return a.Address == m.host }) {
			return n.Name
		}
	}
	// Few machines look at etcd, and each knows all nodes.
	for _, from := range c.from {
		for _, node := range from.Names("cluster/node/*/internal-ip") {
			if slices.Contains(strings.Split(from.Value(snapshot.KeyOf("cluster", "node", node, "internal-ip")), ","), m.host) {
				return node
			}
		}
	}
	if _, err := netip.ParseAddr(m.host); err != nil && m.host != "" {
		if _, ok := snapshot.Get[*corev1.Node](p.Snapshot, "", m.host); ok {
			return m.host
		}
	}
	return ""
}

// up tells whether a member answers anybody, and asked whether anybody asked it. One that takes the
// asker's certificate for none, or whose own the asker does not trust, is there.
func (c *etcdCluster) up(m etcdMember) (up, asked bool) {
	for _, from := range c.from {
		switch from.Value(c.key(from, m, "answer")) {
		case "":
		case answered, "denied", "certificate":
			return true, true
		default:
			asked = true
		}
	}
	return false, asked
}

// voters are the members with a vote.
func (c *etcdCluster) voters() []etcdMember {
	return slices.DeleteFunc(slices.Clone(c.members), func(m etcdMember) bool { return m.learner })
}

// down are the voters that answer nobody, and those that were added and never started: they have no
// name yet, and no URL at which to ask them.
func (c *etcdCluster) down() []etcdMember {
	return slices.DeleteFunc(c.voters(), func(m etcdMember) bool {
		up, asked := c.up(m)
		return up || !asked && m.name != ""
	})
}

// agrees tells whether any machine had an answer that a majority stands behind.
func (c *etcdCluster) agrees() bool {
	return slices.ContainsFunc(c.from, func(from snapshot.Machine) bool {
		return slices.ContainsFunc(c.members, func(m etcdMember) bool { return from.Value(c.key(from, m, "quorum-read")) == answered })
	})
}

// best is a member's view on the machine that knows it best: its own, else any that had an answer.
func (c *etcdCluster) best(m etcdMember) (snapshot.Machine, bool) {
	var out snapshot.Machine
	found := false
	for _, from := range c.from {
		if from.Value(c.key(from, m, "answer")) != answered {
			continue
		}
		if from.Node() == m.node {
			return from, true
		}
		if !found {
			out, found = from, true
		}
	}
	return out, found
}

// lostSince is when the first machine saw that a majority no longer stood behind an answer, or, where
// none has, when it saw the last of the members go; zero where nobody saw it happen.
func (c *etcdCluster) lostSince() time.Time {
	var lost, gone time.Time
	for _, from := range c.from {
		for _, m := range c.members {
			if k := c.key(from, m, "quorum-read"); from.Value(k) != answered {
				lost = finding.Earlier(lost, from.Since(k))
			}
			if k := c.key(from, m, "answer"); from.Value(k) != answered {
				gone = finding.Later(gone, from.Since(k))
			}
		}
	}
	if lost.IsZero() {
		return gone
	}
	return lost
}

// names are the labels of members.
func names(members []etcdMember) []string {
	var out []string
	for _, m := range members {
		out = append(out, m.label())
	}
	return out
}
