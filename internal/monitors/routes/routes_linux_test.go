package routes

import (
	"net"
	"testing"
	"time"

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

func network(t *testing.T, text string) *net.IPNet {
	t.Helper()
	n, err := netlink.ParseIPNet(text)
	must(t, err)
	return n
}

func TestRoutesAndNextHopsAreTold(t *testing.T) {
	netnstest.Enter(t)
	eth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "port"}
	must(t, netlink.LinkAdd(eth))
	must(t, netlink.LinkSetUp(eth))
	port, err := netlink.LinkByName("port")
	must(t, err)
	must(t, netlink.LinkSetUp(port))
	a, err := netlink.ParseAddr("192.168.77.1/24")
	must(t, err)
	must(t, netlink.AddrAdd(eth, a))
	index := eth.Attrs().Index
	gateway := net.ParseIP("192.168.77.254")
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: index, Gw: gateway, Priority: 100}))
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: index, Dst: network(t, "10.244.2.0/24"), Gw: net.ParseIP("192.168.77.2")}))
	must(t, netlink.RouteAdd(&netlink.Route{Dst: network(t, "10.244.9.0/26"), Type: unix.RTN_BLACKHOLE, Protocol: 80}))
	mac, err := net.ParseMAC("02:00:00:00:00:02")
	must(t, err)
	must(t, netlink.NeighAdd(&netlink.Neigh{LinkIndex: index, IP: net.ParseIP("192.168.77.2"), HardwareAddr: mac, State: netlink.NUD_STALE}))

	now := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)
	m := New(monitor.Host{Root: "/", Now: func() time.Time { return now }})
	look := func() map[snapshot.EvidenceKey]snapshot.MachineEvidence {
		all, err := m.Observe(t.Context())
		must(t, err)
		out := map[snapshot.EvidenceKey]snapshot.MachineEvidence{}
		for _, e := range all {
			out[e.Key] = e
		}
		return out
	}
	got := map[snapshot.EvidenceKey]string{}
	for key, e := range look() {
		got[key] = e.Value
	}
	delete(got, "route/neighbours") // The kernel has entries of its own, for multicast.
	want := map[snapshot.EvidenceKey]string{
		"route/default/192.168.77.254/device": "eth0", "route/default/192.168.77.254/family": "IPv4",
		"route/default/192.168.77.254/metric": "100", "route/default/192.168.77.254/neighbour": "none",
		"route/prefix/192.168.77.0%2F24": "dev eth0", "route/prefix/10.244.2.0%2F24": "via 192.168.77.2 dev eth0",
		"route/prefix/10.244.9.0%2F26":     "blackhole proto 80",
		"route/neighbour/192.168.77.2/mac": "02:00:00:00:00:02", "route/neighbour/192.168.77.2/state": "stale",
		"route/count": got["route/count"], "route/rules": "0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	now = now.Add(time.Minute)
	must(t, netlink.NeighAdd(&netlink.Neigh{LinkIndex: index, IP: gateway, State: netlink.NUD_FAILED}))
	hop := look()["route/default/192.168.77.254/neighbour"]
	if hop.Value != "failed" || hop.At == nil || !hop.At.Time.Equal(now) {
		t.Errorf("the next hop is %s since %v, want failed since %s", hop.Value, hop.At, now)
	}
}

func TestANamespaceWithoutRoutesHasNone(t *testing.T) {
	netnstest.Enter(t)
	all, err := New(monitor.Host{Root: "/", Now: noon}).Observe(t.Context())
	must(t, err)
	for _, e := range all {
		if e.Key.Fits("route/default/*/*") {
			t.Errorf("%s is told where there is none", e.Key)
		}
	}
}

func BenchmarkLook(b *testing.B) {
	m := New(monitor.Host{Root: "/", Now: noon})
	for b.Loop() {
		if _, err := m.Observe(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// noon is a clock that stands.
func noon() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }
