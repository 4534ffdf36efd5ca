package overlay

import (
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/rtnetlink/netnstest"
	"github.com/maek-dev/maek/internal/snapshot"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func address(t *testing.T, text string) *netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(text)
	must(t, err)
	return a
}

func network(t *testing.T, text string) *net.IPNet {
	t.Helper()
	n, err := netlink.ParseIPNet(text)
	must(t, err)
	return n
}

func mac(t *testing.T, text string) net.HardwareAddr {
	t.Helper()
	m, err := net.ParseMAC(text)
	must(t, err)
	return m
}

// likeFlannel makes what flannel's vxlan backend makes on a machine with one peer, and a bridge with one pod.
func likeFlannel(t *testing.T) *netlink.Vxlan {
	t.Helper()
	eth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0", MTU: 1500}, PeerName: "port"}
	must(t, netlink.LinkAdd(eth))
	must(t, netlink.AddrAdd(eth, address(t, "192.168.77.1/24")))
	must(t, netlink.LinkSetUp(eth))
	must(t, netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP("192.168.77.254"), LinkIndex: eth.Index}))

	v := &netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{Name: "flannel.1", MTU: 1450, HardwareAddr: mac(t, "02:00:00:00:00:01")},
		VxlanId:   1, VtepDevIndex: eth.Index, SrcAddr: net.ParseIP("192.168.77.1"), Port: 8472,
	}
	must(t, netlink.LinkAdd(v))
	must(t, netlink.AddrAdd(v, address(t, "10.200.1.0/32")))
	must(t, netlink.LinkSetUp(v))
	must(t, netlink.RouteAdd(&netlink.Route{
		Dst: network(t, "10.200.2.0/24"), Gw: net.ParseIP("10.200.2.0"), LinkIndex: v.Index, Flags: int(netlink.FLAG_ONLINK), Scope: netlink.SCOPE_UNIVERSE,
	}))
	must(t, netlink.NeighAdd(&netlink.Neigh{LinkIndex: v.Index, IP: net.ParseIP("10.200.2.0"), HardwareAddr: mac(t, "02:00:00:00:00:02"), State: unix.NUD_PERMANENT}))
	must(t, netlink.NeighAppend(&netlink.Neigh{
		LinkIndex: v.Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, State: unix.NUD_PERMANENT, IP: net.ParseIP("192.168.77.2"), HardwareAddr: mac(t, "02:00:00:00:00:02"),
	}))

	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "cni0", MTU: 1450}}
	must(t, netlink.LinkAdd(bridge))
	must(t, netlink.AddrAdd(bridge, address(t, "10.200.1.1/24")))
	must(t, netlink.LinkSetUp(bridge))
	pod := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "veth0", MTU: 1450, MasterIndex: bridge.Index}, PeerName: "pod0"}
	must(t, netlink.LinkAdd(pod))
	return v
}

// see observes with a monitor, and returns the values by key.
func see(t *testing.T, m monitor.Monitor) (map[snapshot.EvidenceKey]string, error) {
	t.Helper()
	evidence, err := m.Observe(t.Context())
	got := map[snapshot.EvidenceKey]string{}
	for _, e := range evidence {
		known := false
		for _, k := range m.Keys {
			known = known || e.Key.Fits(k.Pattern)
		}
		if !known {
			t.Errorf("evidence %s is not among the monitor's keys", e.Key)
		}
		if _, twice := got[e.Key]; twice {
			t.Errorf("evidence %s is there twice", e.Key)
		}
		got[e.Key] = e.Value
	}
	return got, err
}

func TestOnRealDevices(t *testing.T) {
	const route, neighbour, forwarding = "overlay/route/10.200.2.0%2F24", "overlay/neighbour/flannel.1/10.200.2.0", "overlay/forwarding/flannel.1/02:00:00:00:00:02"
	tests := map[string]struct {
		fault func(t *testing.T, v *netlink.Vxlan)
		want  map[snapshot.EvidenceKey]string // an empty value stands for none
	}{
		"all that flannel wrote is seen": {
			fault: func(*testing.T, *netlink.Vxlan) {},
			want: map[snapshot.EvidenceKey]string{
				"overlay/device/flannel.1/type": "vxlan", "overlay/device/flannel.1/vni": "1", "overlay/device/flannel.1/port": "8472",
				"overlay/device/flannel.1/local": "192.168.77.1", "overlay/device/flannel.1/mac": "02:00:00:00:00:01", "overlay/device/flannel.1/mtu": "1450",
				"overlay/device/flannel.1/up": "true", "overlay/device/flannel.1/learning": "false", "overlay/device/flannel.1/addresses": "10.200.1.0/32",
				"overlay/device/flannel.1/underlay": "eth0", "overlay/device/flannel.1/underlay-mtu": "1500", "overlay/device/flannel.1/underlay-up": "true",
				"overlay/device/flannel.1/underlay-addresses": "192.168.77.1/24", "overlay/device/flannel.1/tx-errors": "0",
				"overlay/device/cni0/type": "bridge", "overlay/device/cni0/addresses": "10.200.1.1/24", "overlay/device/cni0/members": "1", "overlay/device/cni0/mtu": "1450",
				route: "via 10.200.2.0 dev flannel.1 onlink", "overlay/route/10.200.1.0%2F24": "dev cni0",
				neighbour: "02:00:00:00:00:02 permanent", forwarding: "192.168.77.2",
				"overlay/route/192.168.77.0%2F24": "", "overlay/device/eth0/type": "",
			},
		},
		"a forwarding entry that is gone is not there": {
			fault: func(t *testing.T, v *netlink.Vxlan) {
				must(t, netlink.NeighDel(&netlink.Neigh{LinkIndex: v.Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, IP: net.ParseIP("192.168.77.2"), HardwareAddr: mac(t, "02:00:00:00:00:02")}))
			},
			want: map[snapshot.EvidenceKey]string{forwarding: "", neighbour: "02:00:00:00:00:02 permanent", route: "via 10.200.2.0 dev flannel.1 onlink"},
		},
		"an entry that leads to another machine is told": {
			fault: func(t *testing.T, v *netlink.Vxlan) {
				must(t, netlink.NeighSet(&netlink.Neigh{
					LinkIndex: v.Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, State: unix.NUD_PERMANENT, IP: net.ParseIP("192.168.77.9"), HardwareAddr: mac(t, "02:00:00:00:00:02"),
				}))
			},
			want: map[snapshot.EvidenceKey]string{forwarding: "192.168.77.9"},
		},
		"a device that was switched off and on has lost routes and neighbours": {
			fault: func(t *testing.T, v *netlink.Vxlan) {
				must(t, netlink.LinkSetDown(v))
				must(t, netlink.LinkSetUp(v))
			},
			want: map[snapshot.EvidenceKey]string{"overlay/device/flannel.1/up": "true", route: "", forwarding: "192.168.77.2"},
		},
		"a device that is off is told": {
			fault: func(t *testing.T, v *netlink.Vxlan) { must(t, netlink.LinkSetDown(v)) },
			want:  map[snapshot.EvidenceKey]string{"overlay/device/flannel.1/up": "false"},
		},
		"a device that was deleted takes everything along": {
			fault: func(t *testing.T, v *netlink.Vxlan) { must(t, netlink.LinkDel(v)) },
			want:  map[snapshot.EvidenceKey]string{"overlay/device/flannel.1/type": "", route: "", neighbour: "", forwarding: "", "overlay/device/cni0/type": "bridge"},
		},
		"a route by way of another machine is told": {
			fault: func(t *testing.T, _ *netlink.Vxlan) {
				must(t, netlink.RouteAdd(&netlink.Route{Dst: network(t, "10.200.3.0/24"), Gw: net.ParseIP("192.168.77.3")}))
			},
			want: map[snapshot.EvidenceKey]string{"overlay/route/10.200.3.0%2F24": "via 192.168.77.3 dev eth0"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			netnstest.Enter(t)
			tc.fault(t, likeFlannel(t))
			got, err := see(t, New(monitor.Host{}))
			if err != nil {
				t.Fatal(err)
			}
			for key, want := range tc.want {
				if got[key] != want {
					t.Errorf("%s is %q, want %q", key, got[key], want)
				}
			}
		})
	}
}

// recorded are tables that a test wrote down.
type recorded struct {
	links      []netlink.Link
	addresses  []netlink.Addr
	routes     []netlink.Route
	neighbours []netlink.Neigh
	broken     map[string]error
}

func (r recorded) Links() ([]netlink.Link, error)     { return r.links, r.broken["links"] }
func (r recorded) Addresses() ([]netlink.Addr, error) { return r.addresses, r.broken["addresses"] }
func (r recorded) Routes() ([]netlink.Route, error)   { return r.routes, r.broken["routes"] }
func (r recorded) Neighbours(int, int) ([]netlink.Neigh, error) {
	return r.neighbours, r.broken["neighbours"]
}
func (r recorded) Close() {}

func TestOfRecordedTables(t *testing.T) {
	calico := &netlink.Iptun{LinkAttrs: netlink.LinkAttrs{Name: "tunl0", Index: 4, MTU: 1480, Flags: net.FlagUp}}
	vxlan := &netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: "flannel.1", Index: 3, MTU: 1450}, VxlanId: 1, SrcAddr: net.ParseIP("192.0.2.1")}
	eth := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "ens3", Index: 2, MTU: 9000}}
	broken := errors.New("no such luck")
	tests := map[string]struct {
		tables  recorded
		want    map[snapshot.EvidenceKey]string
		wantErr string
	}{
		"a machine without pods gives nothing": {
			tables: recorded{links: []netlink.Link{eth}},
			want:   map[snapshot.EvidenceKey]string{},
		},
		"a tunnel of Calico's is told": {
			tables: recorded{links: []netlink.Link{calico}},
			want: map[snapshot.EvidenceKey]string{
				"overlay/device/tunl0/type": "ipip", "overlay/device/tunl0/mtu": "1480", "overlay/device/tunl0/mac": "", "overlay/device/tunl0/up": "true", "overlay/device/tunl0/addresses": "",
			},
		},
		"a VXLAN that names no device sends through the one that has its address, and what cannot be listed is a gap": {
			tables: recorded{
				links:     []netlink.Link{eth, vxlan},
				addresses: []netlink.Addr{{IPNet: network(t, "192.0.2.1/24"), LinkIndex: 2}},
				broken:    map[string]error{"neighbours": broken, "routes": broken},
			},
			want: map[snapshot.EvidenceKey]string{
				"overlay/device/flannel.1/type": "vxlan", "overlay/device/flannel.1/mtu": "1450", "overlay/device/flannel.1/mac": "", "overlay/device/flannel.1/up": "false",
				"overlay/device/flannel.1/addresses": "", "overlay/device/flannel.1/vni": "1", "overlay/device/flannel.1/port": "0", "overlay/device/flannel.1/learning": "false",
				"overlay/device/flannel.1/local": "192.0.2.1", "overlay/device/flannel.1/underlay": "ens3", "overlay/device/flannel.1/underlay-mtu": "9000",
				"overlay/device/flannel.1/underlay-up": "false", "overlay/device/flannel.1/underlay-addresses": "192.0.2.1/24",
			},
			wantErr: "listing the neighbours of flannel.1: no such luck\nlisting the neighbours of flannel.1: no such luck\nlisting the forwarding entries of flannel.1: no such luck\nlisting routes: no such luck",
		},
		"devices that cannot be listed leave nothing": {
			tables:  recorded{broken: map[string]error{"links": broken}},
			want:    map[snapshot.EvidenceKey]string{},
			wantErr: "listing network devices: no such luck",
		},
		"an entry that failed is told as such, and those for multicast are left out": {
			tables: recorded{
				links: []netlink.Link{vxlan},
				neighbours: []netlink.Neigh{
					{IP: net.ParseIP("10.200.2.0"), State: unix.NUD_FAILED},
					{IP: net.ParseIP("ff02::16"), State: unix.NUD_NOARP},
				},
			},
			want: map[snapshot.EvidenceKey]string{
				"overlay/device/flannel.1/type": "vxlan", "overlay/device/flannel.1/mtu": "1450", "overlay/device/flannel.1/mac": "", "overlay/device/flannel.1/up": "false",
				"overlay/device/flannel.1/addresses": "", "overlay/device/flannel.1/vni": "1", "overlay/device/flannel.1/port": "0", "overlay/device/flannel.1/learning": "false",
				"overlay/device/flannel.1/local": "192.0.2.1", "overlay/neighbour/flannel.1/10.200.2.0": "failed",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m := newMonitor(func() (tables, error) { return tc.tables, nil })
			evidence, err := m.Observe(t.Context())
			got := map[snapshot.EvidenceKey]string{}
			for _, e := range evidence {
				got[e.Key] = e.Value
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff(tc.wantErr, message); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}
