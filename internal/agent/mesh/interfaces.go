package mesh

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/maek-dev/maek/internal/agent/peer"
)

// What a path carries is bounded by these.
const (
	headersV4 = 28 // IPv4 and UDP, in bytes
	headersV6 = 48 // IPv6 and UDP, in bytes
	// podAddresses bounds how many of a machine's pod-network addresses are told.
	podAddresses = 4
	leastMTU     = 576
	mostMTU      = 9216
)

// PodAddress is an address of a machine that lies in the pod network: what reaches it from another
// machine came over the pod network, with its routes, encapsulation and MTU.
type PodAddress struct {
	// Address itself: flannel's <subnet>.0, the first address of the bridge.
	Address netip.Addr `json:"address"`
	// MTU of its interface in bytes.
	MTU int `json:"mtu"`
	// Interface it is on.
	Interface string `json:"interface"`
}

// local is what this machine tells its peers about itself.
type local struct {
	mtu  int
	pods []PodAddress
}

// interfaces reads those of the process's network namespace, which is the host's.
func interfaces() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing network interfaces: %w", err)
	}
	var out []Interface
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("listing addresses of %s: %w", i.Name, err)
		}
		one := Interface{Name: i.Name, MTU: i.MTU}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
				one.Addresses = append(one.Addresses, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()))
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// localOf finds a machine's own addresses in the pod network, those of tunnels first: only these are
// there before the first pod.
func localOf(self peer.Peer, all []Interface) local {
	var l local
	for _, i := range all {
		for _, a := range i.Addresses {
			if slices.Contains(self.Addresses, a.Addr()) {
				l.mtu = max(l.mtu, i.MTU)
			}
			if within(a.Addr(), self.PodCIDRs) {
				l.pods = append(l.pods, PodAddress{Address: a.Addr(), MTU: i.MTU, Interface: i.Name})
			}
		}
	}
	single := func(p PodAddress) int {
		for _, i := range all {
			if slices.Contains(i.Addresses, netip.PrefixFrom(p.Address, p.Address.BitLen())) {
				return 0
			}
		}
		return 1
	}
	slices.SortStableFunc(l.pods, func(a, b PodAddress) int { return single(a) - single(b) })
	l.pods = l.pods[:min(len(l.pods), podAddresses)]
	return l
}

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// bigPacket is how long a beacon between two MTUs may be; zero where one of them is not known.
func bigPacket(to netip.Addr, a, b int) int {
	mtu := min(a, b, mostMTU)
	if mtu < leastMTU {
		return 0
	}
	if to.Is4() {
		return mtu - headersV4
	}
	return mtu - headersV6
}
