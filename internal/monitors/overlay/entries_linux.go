package overlay

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/rtnetlink"
	"github.com/maek-dev/maek/internal/snapshot"
)

// entries tells of the neighbours and forwarding entries of a VXLAN.
func (l *look) entries(t tables, d *netlink.Vxlan) error {
	name, index := d.Attrs().Name, d.Attrs().Index
	var errs []error
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		neighbours, err := t.Neighbours(index, family)
		if err != nil {
			errs = append(errs, fmt.Errorf("listing the neighbours of %s: %w", name, err))
			continue
		}
		for _, n := range neighbours {
			// The kernel keeps entries for multicast and for addresses that it asked for in vain.
			if n.IP == nil || n.IP.IsMulticast() || n.State&unix.NUD_NOARP != 0 {
				continue
			}
			l.add(monitor.Value(snapshot.KeyOf("overlay", "neighbour", name, n.IP.String()), strings.TrimSpace(n.HardwareAddr.String()+" "+rtnetlink.NeighbourState(n.State))))
		}
	}
	forwarding, err := t.Neighbours(index, unix.AF_BRIDGE)
	if err != nil {
		errs = append(errs, fmt.Errorf("listing the forwarding entries of %s: %w", name, err))
	}
	targets := map[string][]string{}
	for _, n := range forwarding {
		if n.IP != nil && len(n.HardwareAddr) > 0 {
			mac := n.HardwareAddr.String()
			targets[mac] = append(targets[mac], n.IP.String())
		}
	}
	for mac, to := range targets {
		slices.Sort(to)
		l.add(monitor.Value(snapshot.KeyOf("overlay", "forwarding", name, mac), strings.Join(slices.Compact(to), " ")))
	}
	return errors.Join(errs...)
}

// routes tells of routes through the devices of pods, and of those that name another machine as the
// next hop, as overlays without a device (host-gw) write them. The default route and what the kernel
// makes for a device's own addresses elsewhere are not the overlay's.
func (l *look) routes(routes []netlink.Route) {
	ways := map[string][]string{}
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsUnspecified() || r.Dst.IP.IsLinkLocalUnicast() || r.Dst.IP.IsMulticast() {
			continue
		}
		if way := l.way(r); way != "" {
			ways[r.Dst.String()] = append(ways[r.Dst.String()], way)
		}
	}
	for to, by := range ways {
		slices.Sort(by)
		l.add(monitor.Value(snapshot.KeyOf("overlay", "route", to), strings.Join(by, ", ")))
	}
}

// way is how a route leads on, in the words of `ip route`; empty where it is not the overlay's.
func (l *look) way(r netlink.Route) string {
	var words []string
	if len(r.Gw) > 0 && !r.Gw.IsUnspecified() {
		words = append(words, "via "+r.Gw.String())
	}
	if link, ok := l.links[r.LinkIndex]; ok {
		if len(words) == 0 && !isOfPods(link.Attrs().Name) {
			return ""
		}
		words = append(words, "dev "+link.Attrs().Name)
	}
	if r.Flags&int(netlink.FLAG_ONLINK) != 0 {
		words = append(words, "onlink")
	}
	return strings.Join(words, " ")
}
