package target

import (
	"net/netip"
	"slices"
)

// forbidden are networks that nobody asks through the operator, whatever a policy says, and why.
var forbidden = []struct {
	network netip.Prefix
	is      string
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address: the operator itself"},
	{netip.MustParsePrefix("::1/128"), "a loopback address: the operator itself"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address, where clouds keep the credentials of machines"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address, where clouds keep the credentials of machines"},
	// RFC 1122, 3.2.1.3: "this host on this network", which Linux takes for itself.
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address: the operator itself"},
	{netip.MustParsePrefix("::/128"), "an unspecified address: the operator itself"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
	{netip.MustParsePrefix("255.255.255.255/32"), "the broadcast address"},
}

// credentials are addresses beside the link-local ones where clouds keep the credentials of machines. They
// may be somebody else's elsewhere, so that a policy can allow them, each by itself.
var credentials = []netip.Addr{
	// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
	netip.MustParseAddr("fd00:ec2::254"),
	// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
	netip.MustParseAddr("fd00:ec2::23"),
	// https://cloud.google.com/compute/docs/metadata/querying-metadata
	netip.MustParseAddr("fd20:ce::254"),
	// https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
	netip.MustParseAddr("100.100.100.200"),
	// https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
	netip.MustParseAddr("168.63.129.16"),
	// Oracle's Compute Classic; that of its newer clouds is link-local
	// (https://docs.oracle.com/iaas/Content/Compute/Tasks/gettingmetadata.htm).
	netip.MustParseAddr("192.0.0.192"),
}

// Networks of IPv6 in which an address of IPv4 is written.
var (
	compatible = netip.MustParsePrefix("::/96")          // RFC 4291, 2.5.5.1
	nat64      = netip.MustParsePrefix("64:ff9b::/96")   // RFC 6052, 2.1
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215
	sixToFour  = netip.MustParsePrefix("2002::/16")      // RFC 3056, 2
	teredo     = netip.MustParsePrefix("2001::/32")      // RFC 4380, 4
	translated = netip.MustParsePrefix("::ffff:0:0:0/96")
)

// forms returns an address, and those that it is another way of writing: a translator on the way would make
// one of the other. The first is without its mapping into IPv6 and its zone.
func forms(addr netip.Addr) []netip.Addr {
	addr = addr.Unmap().WithZone("")
	all := []netip.Addr{addr}
	if !addr.Is6() {
		return all
	}
	b := addr.As16()
	last := netip.AddrFrom4([4]byte(b[12:]))
	switch {
	case compatible.Contains(addr), nat64.Contains(addr), translated.Contains(addr):
		all = append(all, last)
	case localNAT64.Contains(addr):
		// Where the address is written depends on the length that the operator of the network chose for
		// its prefix (RFC 6052, 2.2); the byte between is zero.
		all = append(all, last, netip.AddrFrom4([4]byte{b[6], b[7], b[9], b[10]}), netip.AddrFrom4([4]byte{b[7], b[9], b[10], b[11]}), netip.AddrFrom4([4]byte(b[9:13])))
	case sixToFour.Contains(addr):
		all = append(all, netip.AddrFrom4([4]byte(b[2:6])))
	case teredo.Contains(addr):
		all = append(all, netip.AddrFrom4([4]byte(b[4:8])), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	}
	return all
}

// whyForbidden says what makes an address one that nobody may ask; "" for one that is not.
func whyForbidden(addr netip.Addr) string {
	for _, f := range forbidden {
		if f.network.Contains(addr) {
			return f.is
		}
	}
	return ""
}

func isCredentials(addr netip.Addr) bool { return slices.Contains(credentials, addr) }
