package overlay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// tables are the kernel's tables of one network namespace.
type tables interface {
	// Links are all network devices.
	Links() ([]netlink.Link, error)
	// Addresses of all devices.
	Addresses() ([]netlink.Addr, error)
	// Routes of the main table, IPv4 and IPv6.
	Routes() ([]netlink.Route, error)
	// Neighbours of a device: of one family, or its forwarding entries (unix.AF_BRIDGE).
	Neighbours(link, family int) ([]netlink.Neigh, error)
	// Close lets the tables go.
	Close()
}

// New makes the monitor of a host. It sees the network namespace that the process is in, which is to
// be the host's.
func New(_ monitor.Host) monitor.Monitor { return newMonitor(openKernel) }

func newMonitor(open func() (tables, error)) monitor.Monitor {
	return monitor.Monitor{
		Name: "overlay",
		Doc:  "Overlay devices, pod bridges, and the routes, neighbours and forwarding entries through them, from the kernel over netlink.",
		Keys: keys(),
		Observe: func(ctx context.Context) ([]snapshot.MachineEvidence, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			t, err := open()
			if err != nil {
				return nil, err
			}
			defer t.Close()
			return observe(t)
		},
		Watch: watchKernel,
	}
}

// ofPods are the names of devices that overlays and pod bridges bear, by prefix.
var ofPods = []string{
	"flannel",                                         // flannel.1, flannel-v6.1, flannel0, flannel-wg, flannel.ipip
	"cni0", "cbr0", "docker0", "kube-bridge", "weave", // bridges of pods
	"tunl0", "vxlan.calico", "vxlan-v6.calico", "wireguard.cali", "wg-v6.cali", // Calico
	"cilium_", // Cilium
}

func isOfPods(name string) bool {
	return slices.ContainsFunc(ofPods, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// look is one look at the tables.
type look struct {
	links     map[int]netlink.Link
	addresses []netlink.Addr
	evidence  []snapshot.MachineEvidence
}

func observe(t tables) ([]snapshot.MachineEvidence, error) {
	links, err := t.Links()
	if err != nil {
		return nil, fmt.Errorf("listing network devices: %w", err)
	}
	l := &look{links: make(map[int]netlink.Link, len(links))}
	var devices []netlink.Link
	for _, link := range links {
		l.links[link.Attrs().Index] = link
		if isOfPods(link.Attrs().Name) {
			devices = append(devices, link)
		}
	}
	var errs []error
	if l.addresses, err = t.Addresses(); err != nil {
		errs = append(errs, fmt.Errorf("listing addresses: %w", err))
	}
	for _, link := range devices {
		l.device(link)
		if vxlan, ok := link.(*netlink.Vxlan); ok {
			errs = append(errs, l.entries(t, vxlan))
		}
	}
	routes, err := t.Routes()
	if err != nil {
		errs = append(errs, fmt.Errorf("listing routes: %w", err))
	}
	l.routes(routes)
	return l.evidence, errors.Join(errs...)
}

func (l *look) add(e snapshot.MachineEvidence) { l.evidence = append(l.evidence, e) }

// device tells of a device that belongs to an overlay or to pods.
func (l *look) device(link netlink.Link) {
	a := link.Attrs()
	key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("overlay", "device", a.Name, word) }
	l.add(monitor.Value(key("type"), link.Type()))
	l.add(monitor.Int(key("mtu"), a.MTU))
	l.add(monitor.Value(key("mac"), a.HardwareAddr.String()))
	l.add(monitor.Bool(key("up"), a.Flags&net.FlagUp != 0))
	l.add(monitor.Value(key("addresses"), strings.Join(l.addressesOf(a.Index), " ")))
	if s := a.Statistics; s != nil {
		l.add(monitor.Int(key("rx-packets"), s.RxPackets))
		l.add(monitor.Int(key("tx-packets"), s.TxPackets))
		l.add(monitor.Int(key("rx-errors"), s.RxErrors))
		l.add(monitor.Int(key("tx-errors"), s.TxErrors))
		l.add(monitor.Int(key("rx-dropped"), s.RxDropped))
		l.add(monitor.Int(key("tx-dropped"), s.TxDropped))
	}
	switch d := link.(type) {
	case *netlink.Bridge:
		members := 0
		for _, other := range l.links {
			if other.Attrs().MasterIndex == a.Index {
				members++
			}
		}
		l.add(monitor.Int(key("members"), members))
	case *netlink.Vxlan:
		l.add(monitor.Int(key("vni"), d.VxlanId))
		l.add(monitor.Int(key("port"), d.Port))
		l.add(monitor.Bool(key("learning"), d.Learning))
		if d.SrcAddr != nil {
			l.add(monitor.Value(key("local"), d.SrcAddr.String()))
		}
		if under := l.under(d); under != nil {
			l.add(monitor.Value(key("underlay"), under.Attrs().Name))
			l.add(monitor.Int(key("underlay-mtu"), under.Attrs().MTU))
			l.add(monitor.Bool(key("underlay-up"), under.Attrs().Flags&net.FlagUp != 0))
			l.add(monitor.Value(key("underlay-addresses"), strings.Join(l.addressesOf(under.Attrs().Index), " ")))
		}
	}
}

// under is the device that a VXLAN sends through: the one that it names, or the one that has its address.
func (l *look) under(d *netlink.Vxlan) netlink.Link {
	if link, ok := l.links[d.VtepDevIndex]; ok {
		return link
	}
	for _, a := range l.addresses {
		if d.SrcAddr != nil && a.IP.Equal(d.SrcAddr) {
			return l.links[a.LinkIndex]
		}
	}
	return nil
}

// addressesOf are the addresses of a device, without those that the kernel gives every device itself.
func (l *look) addressesOf(index int) []string {
	var out []string
	for _, a := range l.addresses {
		if a.LinkIndex == index && a.IPNet != nil && !a.IP.IsLinkLocalUnicast() {
			out = append(out, a.IPNet.String())
		}
	}
	slices.Sort(out)
	return out
}
