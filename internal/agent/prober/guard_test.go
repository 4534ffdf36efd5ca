package prober

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
)

func TestWhereProbesMayGo(t *testing.T) {
	g := guard{
		own: func(ip netip.Addr) (bool, error) {
			return ip == netip.MustParseAddr("10.99.0.21") || ip == netip.MustParseAddr("fd99::21"), nil
		},
		others: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("10.99.0.22")} },
	}
	for name, tc := range map[string]struct {
		at           string
		nodes, named bool
		// refused whatever is allowed, or only unless nodes are.
		wantRefused bool
	}{
		"a pod":                              {at: "10.244.1.7:8080"},
		"a Service":                          {at: "10.96.0.10:53"},
		"a pod of IPv6":                      {at: "[fd00:10:244::7]:8080"},
		"a server of the internet":           {at: "198.51.100.7:443"},
		"its own machine":                    {at: "10.99.0.21:22", wantRefused: true},
		"its own machine by a mapped name":   {at: "[::ffff:10.99.0.21]:22", wantRefused: true},
		"its own machine by IPv6":            {at: "[fd99::21]:22", wantRefused: true},
		"its own machine at a port it names": {at: "10.99.0.21:9100", nodes: true, named: true},
		"its own machine at another port":    {at: "10.99.0.21:22", nodes: true, wantRefused: true},
		"a port is named and nodes are not":  {at: "10.99.0.21:22", named: true, wantRefused: true},
		"another machine":                    {at: "10.99.0.22:10250", wantRefused: true},
		"another machine that may be asked":  {at: "10.99.0.22:10250", nodes: true, named: true},
		"loopback":                           {at: "127.0.0.1:80", nodes: true, named: true, wantRefused: true},
		"loopback further on":                {at: "127.8.8.8:80", nodes: true, named: true, wantRefused: true},
		"loopback of IPv6":                   {at: "[::1]:80", nodes: true, named: true, wantRefused: true},
		"loopback, mapped":                   {at: "[::ffff:127.0.0.1]:80", nodes: true, named: true, wantRefused: true},
		"loopback, compatible":               {at: "[::127.0.0.1]:80", nodes: true, named: true, wantRefused: true},
		"loopback by NAT64":                  {at: "[64:ff9b::7f00:1]:80", nodes: true, named: true, wantRefused: true},
		"loopback by 6to4":                   {at: "[2002:7f00:1::]:80", nodes: true, named: true, wantRefused: true},
		"credentials of clouds":              {at: "169.254.169.254:80", nodes: true, named: true, wantRefused: true},
		"credentials, mapped":                {at: "[::ffff:169.254.169.254]:80", nodes: true, named: true, wantRefused: true},
		"credentials at AWS by IPv6":         {at: "[fd00:ec2::254]:80", nodes: true, named: true, wantRefused: true},
		"credentials at Google by IPv6":      {at: "[fd20:ce::254]:80", nodes: true, named: true, wantRefused: true},
		"credentials at Alibaba":             {at: "100.100.100.200:80", nodes: true, named: true, wantRefused: true},
		"orders of Azure":                    {at: "168.63.129.16:80", nodes: true, named: true, wantRefused: true},
		"link-local of IPv6":                 {at: "[fe80::1]:80", nodes: true, named: true, wantRefused: true},
		"a zone":                             {at: "[fd00::1%eth0]:80", nodes: true, named: true, wantRefused: true},
		"no address":                         {at: "0.0.0.0:80", nodes: true, named: true, wantRefused: true},
		"no address of IPv6":                 {at: "[::]:80", nodes: true, named: true, wantRefused: true},
		"multicast":                          {at: "224.0.0.1:80", nodes: true, named: true, wantRefused: true},
		"multicast of IPv6":                  {at: "[ff02::1]:80", nodes: true, named: true, wantRefused: true},
		"everybody":                          {at: "255.255.255.255:80", nodes: true, named: true, wantRefused: true},
	} {
		t.Run(name, func(t *testing.T) {
			err := g.check(netip.MustParseAddrPort(tc.at), tc.nodes, tc.named)
			if errors.Is(err, errRefused) != tc.wantRefused || (err == nil) == tc.wantRefused {
				t.Errorf("error %v, want refused %v", err, tc.wantRefused)
			}
		})
	}
	blind := guard{own: func(netip.Addr) (bool, error) { return false, errors.New("no netlink") }, others: g.others}
	if err := blind.check(netip.MustParseAddrPort("10.244.1.7:80"), false, true); !errors.Is(err, errRefused) {
		t.Errorf("an agent that does not know its own addresses says %v", err)
	}
}

func TestItsOwnAddressesAreThoseOfItsInterfaces(t *testing.T) {
	own, err := interfaces()
	if err != nil || !slices.Contains(own, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("%v, %v", own, err)
	}
	for _, ip := range own {
		if is, err := ownAddress(ip); !is || err != nil {
			t.Errorf("%s is an interface's, and its own: %v, %v", ip, is, err)
		}
	}
	for _, name := range []string{"192.0.2.1", "2001:db8::1"} { // of documentation: RFC 5737, RFC 3849
		if is, err := ownAddress(netip.MustParseAddr(name)); is || err != nil {
			t.Errorf("%s is nobody's, and its own: %v, %v", name, is, err)
		}
	}
}
