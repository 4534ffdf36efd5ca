package interfaces

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

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

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o750))
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func address(t *testing.T, link netlink.Link, text string) {
	t.Helper()
	a, err := netlink.ParseAddr(text)
	must(t, err)
	must(t, netlink.AddrAdd(link, a))
}

func values(t *testing.T, m monitor.Monitor) map[snapshot.EvidenceKey]string {
	t.Helper()
	all, err := m.Observe(t.Context())
	must(t, err)
	out := map[snapshot.EvidenceKey]string{}
	for _, e := range all {
		out[e.Key] = e.Value
	}
	return out
}

func TestInterfacesOfAMachineAreTold(t *testing.T) {
	netnstest.Enter(t)
	eth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0", MTU: 1400}, PeerName: "port"}
	must(t, netlink.LinkAdd(eth))
	address(t, eth, "192.168.77.1/24")
	must(t, netlink.LinkSetUp(eth))
	gateway, err := netlink.ParseIPNet("192.168.77.254/32")
	must(t, err)
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: gateway.IP}))
	pod := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "vethpod"}, PeerName: "vethother"}
	must(t, netlink.LinkAdd(pod))
	must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "cni0"}}))

	root := t.TempDir()
	write(t, root, "sys/class/net/eth0/speed", "1000\n")
	write(t, root, "sys/class/net/eth0/duplex", "full\n")
	write(t, root, "sys/class/net/eth0/carrier_down_count", "4\n")
	got := values(t, New(monitor.Host{Root: root, Now: noon}))
	want := map[snapshot.EvidenceKey]string{
		"interface/eth0/type": "veth", "interface/eth0/enabled": "true", "interface/eth0/carrier": "false", "interface/eth0/state": "lower-layer-down",
		"interface/eth0/mtu": "1400", "interface/eth0/addresses": "192.168.77.1/24", "interface/eth0/default-route": "true",
		"interface/eth0/speed": "1000", "interface/eth0/duplex": "full", "interface/eth0/carrier-losses": "4", "interface/eth0/carrier-losses-recent": "0",
		// The far end of eth0, and both ends of the pod's.
		"interface/pod-links": "3",
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %q, want %q", key, got[key], value)
		}
	}
	for key := range got {
		if name := key.Segments()[1]; name == "cni0" || name == "vethpod" || name == "lo" {
			t.Errorf("%s is told, and is another monitor's or a pod's", key)
		}
	}
}

func TestLostLinksAreCountedOverTenMinutes(t *testing.T) {
	netnstest.Enter(t)
	eth := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}}
	must(t, netlink.LinkAdd(eth))
	root := t.TempDir()
	now := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)
	m := New(monitor.Host{Root: root, Now: func() time.Time { return now }})
	for _, look := range []struct {
		after        time.Duration
		losses, want string
	}{
		{0, "7", "0"},
		{time.Minute, "9", "2"},
		{4 * time.Minute, "10", "3"},
		{5 * time.Minute, "10", "3"},
		{7 * time.Minute, "10", "0"},
		{time.Minute, "1", "0"}, // made anew under its name
	} {
		now = now.Add(look.after)
		write(t, root, "sys/class/net/eth0/carrier_down_count", look.losses+"\n")
		if got := values(t, m)["interface/eth0/carrier-losses-recent"]; got != look.want {
			t.Errorf("after %s with %s lost links in all: %s recent, want %s", look.after, look.losses, got, look.want)
		}
	}
}

func TestMembersOfABondAreReadAsTheBondSeesThem(t *testing.T) {
	now := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)
	key := func(words ...string) snapshot.EvidenceKey {
		return snapshot.KeyOf(append([]string{"interface", "bond0"}, words...)...)
	}
	w := &watch{host: monitor.Host{Root: "testdata/bond", Now: func() time.Time { return now }}, first: map[snapshot.EvidenceKey]first{}}
	for _, tc := range []struct {
		name, bond string
		want       []snapshot.MachineEvidence
	}{
		{"one of two members is down", "bond0", []snapshot.MachineEvidence{
			monitor.Value("interface/bond0/bond-mode", "IEEE 802.3ad Dynamic link aggregation"),
			monitor.Value("interface/bond0/bond-member/eno1", "up"),
			monitor.Value("interface/bond0/bond-member/eno2", "down"),
		}},
		{"the file is cut short", "bond1", []snapshot.MachineEvidence{monitor.Value("interface/bond0/bond-mode", "fault-tolerance (active-backup)")}},
		{"the file is rubbish", "bond2", nil},
		{"there is no file", "bond3", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := w.bond(tc.bond, key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
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
