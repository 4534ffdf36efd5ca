package routes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/rtnetlink"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// mostRoutes and mostNeighbours bound what is told: a machine with more has them from a routing daemon.
	mostRoutes     = 200
	mostNeighbours = 256
)

// New makes the monitor of a host. It sees the network namespace that the process is in, which is to
// be the host's.
func New(host monitor.Host) monitor.Monitor {
	w := &watch{host: host, states: map[string]first{}}
	return monitor.Monitor{
		Name: "routes",
		Doc:  "Default routes and their next hops, the main table, and neighbours on the machine's own interfaces, from the kernel over netlink.",
		Keys: keys,
		Observe: func(ctx context.Context) ([]snapshot.MachineEvidence, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return w.observe()
		},
	}
}

// watch remembers since when next hops are in their states.
type watch struct {
	host   monitor.Host
	states map[string]first
}

// first is a state and since when; zero where it was so at the first look.
type first struct {
	state string
	at    time.Time
}

// look is what the kernel says at one look.
type look struct {
	links      map[int]netlink.Link
	routes     []netlink.Route
	neighbours []netlink.Neigh
	rules      int
}

func (w *watch) observe() ([]snapshot.MachineEvidence, error) {
	h, err := rtnetlink.Open()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	l, err := read(h)
	if l == nil {
		return nil, err
	}
	out := append(w.defaults(l), l.prefixes()...)
	out = append(out, l.around()...)
	return append(out,
		monitor.Int("route/count", len(l.routes)),
		monitor.Int("route/rules", l.rules),
		monitor.Int("route/neighbours", len(l.neighbours)),
	), err
}

// read lists what the kernel has. Where routes cannot be listed nothing is told, so that nothing is
// concluded from their absence.
func read(h *netlink.Handle) (*look, error) {
	links, err := rtnetlink.Whole(h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing network interfaces: %w", err)
	}
	l := &look{links: make(map[int]netlink.Link, len(links))}
	for _, link := range links {
		l.links[link.Attrs().Index] = link
	}
	var gaps []error
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := rtnetlink.Whole(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, fmt.Errorf("listing routes: %w", err)
		}
		l.routes = append(l.routes, routes...)
		neighbours, err := rtnetlink.Whole(func() ([]netlink.Neigh, error) { return h.NeighList(0, family) })
		if err != nil {
			gaps = append(gaps, fmt.Errorf("listing neighbours: %w", err))
		}
		l.neighbours = append(l.neighbours, neighbours...)
		rules, err := rtnetlink.Whole(func() ([]netlink.Rule, error) { return h.RuleList(family) })
		if err != nil {
			gaps = append(gaps, fmt.Errorf("listing the rules that choose a table: %w", err))
		}
		for _, r := range rules {
			if r.Table != unix.RT_TABLE_LOCAL && r.Table != unix.RT_TABLE_MAIN && r.Table != unix.RT_TABLE_DEFAULT || r.Src != nil || r.Dst != nil || r.Mark != 0 {
				l.rules++
			}
		}
	}
	return l, errors.Join(gaps...)
}

// hop is a way that a route takes.
type hop struct {
	gateway net.IP
	link    int
	flags   int
}

// hops of a route: it has several where packets are spread over them.
func hops(r netlink.Route) []hop {
	if len(r.MultiPath) == 0 {
		gateway := r.Gw
		if via, ok := r.Via.(*netlink.Via); ok && gateway == nil {
			gateway = via.Addr
		}
		return []hop{{gateway, r.LinkIndex, r.Flags}}
	}
	var out []hop
	for _, h := range r.MultiPath {
		out = append(out, hop{h.Gw, h.LinkIndex, h.Flags})
	}
	return out
}

// isDefault tells whether a route leads everywhere.
func isDefault(r netlink.Route) bool {
	if r.Type != unix.RTN_UNICAST {
		return false
	}
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0 && r.Dst.IP.IsUnspecified()
}

// defaults tells of the default routes.
func (w *watch) defaults(l *look) []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	seen := map[string]bool{}
	for _, r := range l.routes {
		if !isDefault(r) {
			continue
		}
		for _, h := range hops(r) {
			name := l.name(h.link)
			id := name
			if h.gateway != nil {
				id = h.gateway.String()
			}
			if seen[id] {
				continue
			}
			seen[id] = true
			key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("route", "default", id, word) }
			family := "IPv4"
			if r.Family == unix.AF_INET6 {
				family = "IPv6"
			}
			out = append(out, monitor.Value(key("device"), name), monitor.Value(key("family"), family), monitor.Int(key("metric"), r.Priority))
			if h.flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0 {
				out = append(out, monitor.Bool(key("dead"), true))
			}
			if h.gateway != nil {
				out = append(out, w.nextHop(l, id, h, key)...)
			}
		}
	}
	for id := range w.states {
		if !seen[id] {
			delete(w.states, id)
		}
	}
	return out
}

// nextHop tells what the machine knows of the next hop of a route.
func (w *watch) nextHop(l *look, id string, h hop, key func(string) snapshot.EvidenceKey) []snapshot.MachineEvidence {
	state, mac := "none", ""
	if n := l.neighbour(h.gateway, h.link); n != nil {
		state, mac = rtnetlink.NeighbourState(n.State), n.HardwareAddr.String()
	}
	before, known := w.states[id]
	now := before
	if before.state != state {
		now = first{state: state}
		if known {
			now.at = w.host.Now()
		}
		w.states[id] = now
	}
	out := []snapshot.MachineEvidence{monitor.Since(monitor.Value(key("neighbour"), state), now.at)}
	if mac != "" {
		out = append(out, monitor.Value(key("mac"), mac))
	}
	return out
}

func (l *look) neighbour(ip net.IP, link int) *netlink.Neigh {
	for i, n := range l.neighbours {
		if n.LinkIndex == link && n.IP.Equal(ip) {
			return &l.neighbours[i]
		}
	}
	return nil
}

func (l *look) name(index int) string {
	if link, ok := l.links[index]; ok {
		return link.Attrs().Name
	}
	return strconv.Itoa(index)
}

// types are routes that lead nowhere, by name as ip route prints them.
var types = map[int]string{unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw"}

// prefixes tells of the other routes, save those that the kernel makes for each interface of IPv6 and those
// to single pods.
func (l *look) prefixes() []snapshot.MachineEvidence {
	ways := map[string][]string{}
	for _, r := range l.routes {
		if isDefault(r) || r.Dst == nil || r.Dst.IP.IsLinkLocalUnicast() || r.Dst.IP.IsMulticast() {
			continue
		}
		prefix := r.Dst.String()
		if word, ok := types[r.Type]; ok {
			ways[prefix] = append(ways[prefix], word+" proto "+r.Protocol.String())
			continue
		}
		for _, h := range hops(r) {
			if link, ok := l.links[h.link]; ok && link.Type() == "veth" && h.gateway == nil && isHost(r.Dst) {
				continue
			}
			way := "dev " + l.name(h.link)
			if h.gateway != nil {
				way = "via " + h.gateway.String() + " " + way
			}
			ways[prefix] = append(ways[prefix], way)
		}
	}
	var out []snapshot.MachineEvidence
	for prefix, all := range ways {
		slices.Sort(all)
		out = append(out, monitor.Value(snapshot.KeyOf("route", "prefix", prefix), strings.Join(slices.Compact(all), ",")))
	}
	slices.SortFunc(out, func(a, b snapshot.MachineEvidence) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return out[:min(len(out), mostRoutes)]
}

func isHost(n *net.IPNet) bool {
	ones, bits := n.Mask.Size()
	return ones == bits
}
