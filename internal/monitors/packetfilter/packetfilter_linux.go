package packetfilter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// mostChains bounds how many chains are read, and mostRules how many rules are told.
	mostChains = 256
	mostRules  = 64
	// fileLimit bounds what is read of a file of /proc, in bytes.
	fileLimit = 4 << 10
)

// New makes the monitor of a host. It sees the network namespace that the process is in, which is to
// be the host's.
func New(host monitor.Host) monitor.Monitor {
	return monitor.Monitor{
		Name: "packetfilter",
		Doc: "Rules of nftables that drop or reject what a cluster sends, outside of the tables and chains of kube-proxy, the kubelet and network plugins. " +
			"Without CAP_NET_ADMIN, as in an agent, nothing is listed, and filter/readable says so; that is no gap.",
		Keys: []monitor.Key{
			{Pattern: "filter/readable", Doc: "Whether the rules could be listed (true, false): false without CAP_NET_ADMIN, and on kernels without nftables."},
			{Pattern: "filter/chain/*/*/policy", Doc: "drop: what becomes of packets that no rule of a chain decides on; the names are the table (ip filter) and the chain. Absent where they pass."},
			{Pattern: "filter/chain/*/*/hook", Doc: "where packets meet such a chain: prerouting, input, forward, output, postrouting, ingress"},
			{Pattern: "filter/rule/*/*/*/text", Doc: "a rule that drops or rejects packets to ports of a cluster, or to or from single addresses, as nft list ruleset prints it; the names are the table (ip filter), the chain and the rule's handle. At most 64"},
			{Pattern: "filter/rule/*/*/*/hooks", Doc: "where packets meet it, separated by spaces, in the words above; empty where no packet does"},
			{Pattern: "filter/rule/*/*/*/protocol", Doc: "tcp or udp; absent where it takes all"},
			{Pattern: "filter/rule/*/*/*/ports", Doc: "ports that packets go to, as 6443 or 2379-2380, separated by spaces; absent where it takes all"},
			{Pattern: "filter/rule/*/*/*/sources", Doc: "addresses or prefixes that packets come from, separated by spaces; absent where it takes all"},
			{Pattern: "filter/rule/*/*/*/destinations", Doc: "addresses or prefixes that packets go to, separated by spaces; absent where it takes all"},
			{Pattern: "filter/rule/*/*/*/in", Doc: "interface that packets come in by; absent where it takes all"},
			{Pattern: "filter/rule/*/*/*/out", Doc: "interface that packets leave by; absent where it takes all"},
			{Pattern: "filter/rule/*/*/*/conditional", Doc: "true where it also asks for what is not read here (marks, limits, negations, states of connections), so that it may not take what it seems to; absent otherwise"},
			{Pattern: "filter/rule/*/*/*/after", Doc: "an earlier rule of its chain that lets some of the same packets pass, as those from known addresses; absent where there is none"},
			{Pattern: "filter/legacy-tables", Doc: "tables of the older iptables that the machine has, separated by spaces; what they drop is not read. Absent where there are none"},
		},
		Requires: []monitor.Privilege{monitor.NetworkAdmin},
		Interval: time.Minute,
		Observe: func(ctx context.Context) ([]snapshot.MachineEvidence, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			out, err := observe(ctx)
			if data, readErr := host.ReadFile("/proc/net/ip_tables_names", fileLimit); readErr == nil {
				if names := strings.Fields(string(data)); len(names) > 0 {
					slices.Sort(names)
					out = append(out, monitor.Value("filter/legacy-tables", strings.Join(names, " ")))
				}
			}
			return out, err
		},
	}
}

// ownTables and ownChains are the prefixes of what Kubernetes and network plugins write themselves, by the
// thousand: kube-proxy (k8s.io/kubernetes/pkg/proxy), flannel, Calico, Cilium, kube-router, CNI plugins, and
// those of container runtimes.
var (
	ownTables = []string{"kube-proxy", "flannel", "cali", "cilium", "kindnet", "kube-router", "cni", "docker", "libvirt"}
	ownChains = []string{"KUBE-", "FLANNEL-", "cali", "CILIUM_", "CNI-", "DOCKER", "LIBVIRT_", "WEAVE"}
)

func own(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// missing are what the kernel says where it has no nftables.
var missing = []error{unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.ENOENT, unix.EINVAL}

func observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket for the packet filter: %w", err)
	}
	defer func() { _ = c.CloseLasting() }()
	chains, err := c.ListChains()
	if denied(err) || slices.ContainsFunc(missing, func(m error) bool { return errors.Is(err, m) }) {
		return []snapshot.MachineEvidence{monitor.Bool("filter/readable", false)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the chains of the packet filter: %w", err)
	}
	out := []snapshot.MachineEvidence{monitor.Bool("filter/readable", true)}
	chains = slices.DeleteFunc(chains, func(chain *nftables.Chain) bool {
		return own(chain.Table.Name, ownTables) || own(chain.Name, ownChains) || chain.Type == nftables.ChainTypeNAT
	})
	var gaps []error
	if len(chains) > mostChains {
		gaps = append(gaps, fmt.Errorf("listing rules of the packet filter: it has %d chains, of which the first %d are read", len(chains), mostChains))
		chains = chains[:mostChains]
	}
	f := filter{conn: c}
	for _, chain := range chains {
		if err := ctx.Err(); err != nil {
			return out, errors.Join(append(gaps, fmt.Errorf("listing rules of the packet filter: %w", err))...)
		}
		if err := f.read(chain); err != nil {
			gaps = append(gaps, err)
		}
	}
	return append(out, f.tell()...), errors.Join(gaps...)
}

// denied tells whether a listing failed for want of the capability. The library gives words, not always the error.
func denied(err error) bool {
	return errors.Is(err, unix.EPERM) || err != nil && strings.Contains(err.Error(), unix.EPERM.Error())
}

// filter is what is read of the packet filter.
type filter struct {
	conn   *nftables.Conn
	chains []*chain
}

// chain is one chain with its rules.
type chain struct {
	table, name string
	// hook is where packets meet it by itself; empty where others lead to it.
	hook  string
	drops bool
	rules []rule
}

// hookNames by their numbers (uapi/linux/netfilter.h, nf_inet_hooks).
var hookNames = []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}

// familyNames as nft prints them.
var familyNames = map[nftables.TableFamily]string{
	nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
	nftables.TableFamilyNetdev: "netdev", nftables.TableFamilyBridge: "bridge", nftables.TableFamilyARP: "arp",
}

// netdev's only hook of packets that come in has the number of prerouting.
func hookName(c *nftables.Chain) string {
	if c.Hooknum == nil {
		return ""
	}
	if c.Table.Family == nftables.TableFamilyNetdev {
		return "ingress"
	}
	if n := int(*c.Hooknum); n < len(hookNames) {
		return hookNames[n]
	}
	return ""
}

func (f *filter) read(c *nftables.Chain) error {
	listed, err := f.conn.GetRules(c.Table, c)
	if err != nil {
		return fmt.Errorf("listing the rules of chain %s of table %s: %w", c.Name, c.Table.Name, err)
	}
	read := &chain{
		table: familyNames[c.Table.Family] + " " + c.Table.Name, name: c.Name, hook: hookName(c),
		drops: c.Hooknum != nil && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop,
	}
	for _, r := range listed {
		read.rules = append(read.rules, f.rule(c.Table, r))
	}
	f.chains = append(f.chains, read)
	return nil
}

// tell gives evidence of the rules that matter.
func (f *filter) tell() []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	hooks := f.hooks()
	told := 0
	for _, c := range f.chains {
		if c.drops {
			out = append(out, monitor.Value(snapshot.KeyOf("filter", "chain", c.table, c.name, "policy"), "drop"),
				monitor.Value(snapshot.KeyOf("filter", "chain", c.table, c.name, "hook"), c.hook))
		}
		for i, r := range c.rules {
			if told == mostRules || !f.stops(c, r) || !r.ofCluster() {
				continue
			}
			told++
			out = append(out, evidence(c, i, hooks[c])...)
		}
	}
	return out
}

// evidence of one rule of a chain.
func evidence(c *chain, i int, hooks []string) []snapshot.MachineEvidence {
	r := c.rules[i]
	key := func(word string) snapshot.EvidenceKey {
		return snapshot.KeyOf("filter", "rule", c.table, c.name, strconv.FormatUint(r.handle, 10), word)
	}
	out := []snapshot.MachineEvidence{
		monitor.Value(key("text"), r.text()),
		monitor.Value(key("hooks"), strings.Join(hooks, " ")),
	}
	for word, value := range map[string]string{
		"protocol": r.protocol, "ports": joinSpans(r.ports), "sources": strings.Join(r.sources, " "),
		"destinations": strings.Join(r.destinations, " "), "in": r.in, "out": r.out,
	} {
		if value != "" {
			out = append(out, monitor.Value(key(word), value))
		}
	}
	if len(r.unread) > 0 {
		out = append(out, monitor.Bool(key("conditional"), true))
	}
	for _, earlier := range c.rules[:i] {
		if earlier.lets(r) {
			out = append(out, monitor.Value(key("after"), earlier.text()))
			break
		}
	}
	return out
}

// stops tells whether a rule drops or rejects, by itself or by a chain that does nothing else.
func (f *filter) stops(c *chain, r rule) bool {
	if r.verdict != "jump" && r.verdict != "goto" {
		return r.verdict == "drop" || r.verdict == "reject"
	}
	for _, to := range f.chains {
		if to.table != c.table || to.name != r.to {
			continue
		}
		for _, inner := range to.rules {
			if inner.verdict != "" {
				return (inner.verdict == "drop" || inner.verdict == "reject") && inner.takesAll()
			}
		}
	}
	return false
}

// hooks are where packets meet each chain, by itself or through others.
func (f *filter) hooks() map[*chain][]string {
	out := map[*chain][]string{}
	byName := map[[2]string]*chain{}
	for _, c := range f.chains {
		byName[[2]string{c.table, c.name}] = c
	}
	var follow func(c *chain, hook string)
	follow = func(c *chain, hook string) {
		if slices.Contains(out[c], hook) {
			return
		}
		out[c] = append(out[c], hook)
		for _, r := range c.rules {
			if to := byName[[2]string{c.table, r.to}]; r.to != "" && to != nil {
				follow(to, hook)
			}
		}
	}
	for _, c := range f.chains {
		if c.hook != "" {
			follow(c, c.hook)
		}
	}
	for _, hooks := range out {
		slices.Sort(hooks)
	}
	return out
}
