package interfaces

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/rtnetlink"
	"github.com/maek-dev/maek/internal/snapshot"
)

// most is how many interfaces are told of a machine. One with more has them from something that makes
// interfaces by itself, and the first are those of the machine.
const most = 64

// New makes the monitor of a host. It sees the network namespace that the process is in, which is to
// be the host's.
func New(host monitor.Host) monitor.Monitor {
	w := &watch{host: host, first: map[snapshot.EvidenceKey]first{}, counts: map[string][]count{}}
	return monitor.Monitor{
		Name: "interfaces",
		Doc:  "Network interfaces: state, size, speed, errors, lost links and members of bonds, from the kernel over netlink, /sys/class/net and /proc/net/bonding.",
		Keys: keys,
		// A link that is lost is seen by its counter, however short it was.
		Interval: 20 * time.Second,
		Observe: func(ctx context.Context) ([]snapshot.MachineEvidence, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return w.observe()
		},
	}
}

// watch remembers since when things are as they are, and what was counted.
type watch struct {
	host   monitor.Host
	first  map[snapshot.EvidenceKey]first
	counts map[string][]count
}

// first is the value that a key had at the last look, and since when; zero where it was so at the first look.
type first struct {
	value string
	at    time.Time
}

// since tells of a value since when it is so, as far as that was seen.
func (w *watch) since(key snapshot.EvidenceKey, value string) snapshot.MachineEvidence {
	before, known := w.first[key]
	now := before
	if before.value != value {
		now = first{value: value}
		if known {
			now.at = w.host.Now()
		}
		w.first[key] = now
	}
	return monitor.Since(monitor.Value(key, value), now.at)
}

// look is what the kernel says at one look.
type look struct {
	links     []netlink.Link
	names     map[int]string
	addresses map[int][]*net.IPNet
	// defaults are the interfaces that default routes lead through.
	defaults map[int]bool
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
	gaps := []error{err}
	var out []snapshot.MachineEvidence
	told := map[string]bool{}
	pods, left := 0, 0
	for _, link := range l.links {
		switch {
		case l.ofPod(link):
			pods++
		case toldElsewhere(link):
		case len(told) == most:
			left++
		default:
			told[link.Attrs().Name] = true
			e, err := w.tell(l, link)
			out, gaps = append(out, e...), append(gaps, err)
		}
	}
	out = append(out, monitor.Int("interface/pod-links", pods))
	if left > 0 {
		out = append(out, monitor.Int("interface/left-out", left))
	}
	w.forget(told)
	return out, errors.Join(gaps...)
}

// forget drops what is remembered of interfaces that are no more.
func (w *watch) forget(told map[string]bool) {
	for name := range w.counts {
		if !told[name] {
			delete(w.counts, name)
		}
	}
	for key := range w.first {
		if !told[key.Segments()[1]] {
			delete(w.first, key)
		}
	}
}

// read lists what the kernel has. Without links there is nothing to tell.
func read(h *netlink.Handle) (*look, error) {
	links, err := rtnetlink.Whole(h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing network interfaces: %w", err)
	}
	slices.SortFunc(links, func(a, b netlink.Link) int { return a.Attrs().Index - b.Attrs().Index })
	l := &look{links: links, names: map[int]string{}, addresses: map[int][]*net.IPNet{}, defaults: map[int]bool{}}
	for _, link := range links {
		l.names[link.Attrs().Index] = link.Attrs().Name
	}
	var gaps []error
	addresses, err := rtnetlink.Whole(func() ([]netlink.Addr, error) { return h.AddrList(nil, unix.AF_UNSPEC) })
	if err != nil {
		gaps = append(gaps, fmt.Errorf("listing addresses: %w", err))
	}
	for _, a := range addresses {
		if a.IPNet != nil && !a.IP.IsLinkLocalUnicast() {
			l.addresses[a.LinkIndex] = append(l.addresses[a.LinkIndex], a.IPNet)
		}
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := rtnetlink.Whole(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN, Dst: nil}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_DST)
		})
		if err != nil {
			gaps = append(gaps, fmt.Errorf("listing default routes: %w", err))
		}
		for _, r := range routes {
			l.defaults[r.LinkIndex] = true
			for _, hop := range r.MultiPath {
				l.defaults[hop.LinkIndex] = true
			}
		}
	}
	return l, errors.Join(gaps...)
}

// ofPod tells whether the other end of an interface is in a pod: it is half of a pair, leads no default
// route, and has no address or that of a gateway to one pod.
func (l *look) ofPod(link netlink.Link) bool {
	a := link.Attrs()
	return link.Type() == "veth" && !l.defaults[a.Index] && !slices.ContainsFunc(l.addresses[a.Index], func(n *net.IPNet) bool {
		ones, bits := n.Mask.Size()
		return ones < bits
	})
}

// others are devices without a cable of their own: of overlays, which the monitor "overlay" tells, and of
// kube-proxy (k8s.io/kubernetes/pkg/proxy/ipvs, defaultDummyDevice) and node-local DNS, which hold addresses
// alone.
var others = []string{"lo", "flannel", "cni0", "cbr0", "docker0", "kube-bridge", "weave", "tunl0", "vxlan", "wireguard.cali", "wg-v6.cali", "cilium_", "lxc", "cali", "gre", "erspan", "sit", "ip6tnl", "ip6gre", "ip_vti", "ip6_vti", "kube-ipvs0", "nodelocaldns"}

func toldElsewhere(link netlink.Link) bool {
	return slices.ContainsFunc(others, func(prefix string) bool { return strings.HasPrefix(link.Attrs().Name, prefix) })
}
