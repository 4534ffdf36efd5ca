package prober

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Networks that no probe goes to, whatever it says of itself. Beyond loopback, link-local, multicast and no
// address at all, which netip knows, these are where clouds give machines their credentials or take orders of
// them, and those that lead to an IPv4 address by another name.
var refused = []netip.Prefix{
	// "This network" and the broadcast address (RFC 6890).
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("255.255.255.255/32"),
	// IPv4-compatible addresses (RFC 4291, 2.5.5.1), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380).
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
	// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
	netip.MustParsePrefix("fd00:ec2::/32"),
	// https://cloud.google.com/compute/docs/metadata/querying-metadata
	netip.MustParsePrefix("fd20:ce::254/128"),
	// https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
	netip.MustParsePrefix("168.63.129.16/32"),
	// https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
	netip.MustParsePrefix("100.100.100.200/32"),
	// https://docs.oracle.com/iaas/Content/Compute/Tasks/gettingmetadata.htm
	netip.MustParsePrefix("192.0.0.192/32"),
}

// Interfaces whose addresses are not the machine's own, but those of Services that its service proxy and its
// cache of DNS answer (k8s.io/kubernetes/pkg/proxy/ipvs/proxier.go,
// https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/).
var ofServices = []string{"kube-ipvs0", "nodelocaldns"}

// errRefused is the error of an address that this agent does not ask.
var errRefused = errors.New("agents do not ask this address")

// guard says where probes may go.
type guard struct {
	// own tells this machine's addresses, and others are those of the cluster's other machines.
	own    func(netip.Addr) (bool, error)
	others func() []netip.Addr
}

// check refuses an address that is about to be connected to. Named is true where the probe named this very
// port, and nodes where it may go to nodes.
func (g guard) check(at netip.AddrPort, nodes, named bool) error {
	ip := at.Addr()
	if ip.Zone() != "" {
		return fmt.Errorf("%w: %s has a zone", errRefused, ip)
	}
	ip = ip.Unmap()
	switch {
	case ip.IsLoopback():
		return fmt.Errorf("%w: %s is loopback, which is the machine itself", errRefused, ip)
	case ip.IsLinkLocalUnicast():
		return fmt.Errorf("%w: %s is link-local, where clouds keep the credentials of machines", errRefused, ip)
	case ip.IsUnspecified(), ip.IsMulticast(), slices.ContainsFunc(refused, func(p netip.Prefix) bool { return p.Contains(ip) }):
		return fmt.Errorf("%w: %s is no server's", errRefused, ip)
	}
	if nodes && named {
		return nil
	}
	own, err := g.own(ip)
	if err != nil {
		// What cannot be told apart is not asked.
		return fmt.Errorf("%w: the machine's own addresses cannot be read: %w", errRefused, err)
	}
	if own || slices.Contains(g.others(), ip) {
		return fmt.Errorf("%w: %s is a node's", errRefused, at)
	}
	return nil
}

// ownAddress tells whether an address is the machine's own. All addresses come with one answer of the kernel, but
// to know of each which interface has it takes an answer for each interface, of all addresses: on a machine with 110
// pods that is a hundred times as much. So that is asked only of an address that the machine has.
func ownAddress(ip netip.Addr) (bool, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false, fmt.Errorf("listing addresses: %w", err)
	}
	if !slices.ContainsFunc(all, func(a net.Addr) bool { return addressOf(a) == ip }) {
		return false, nil
	}
	own, err := interfaces()
	return slices.Contains(own, ip), err
}

// addressOf is an interface's address; none where it has none of IP.
func addressOf(a net.Addr) netip.Addr {
	network, ok := a.(*net.IPNet)
	if !ok {
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(network.IP)
	return ip.Unmap()
}

// interfaces are the machine's own addresses.
func interfaces() ([]netip.Addr, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	var out []netip.Addr
	for _, i := range all {
		if slices.Contains(ofServices, i.Name) {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			// An interface that has just gone has no address any more.
			continue
		}
		for _, a := range addresses {
			if ip := addressOf(a); ip.IsValid() {
				out = append(out, ip)
			}
		}
	}
	return out, nil
}
