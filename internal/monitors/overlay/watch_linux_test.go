package overlay

import (
	"context"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/rtnetlink/netnstest"
)

func TestWatchTellsOfWhatIsLost(t *testing.T) {
	ns := netnstest.Enter(t)
	v := likeFlannel(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			ended <- err
			return
		}
		ended <- New(monitor.Host{}).Watch(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	told := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case err := <-ended:
			t.Fatalf("it ended before %s: %v", what, err)
		case <-time.After(time.Minute):
			t.Fatalf("nothing was told after %s", what)
		}
	}
	told("it began") // Devices that are there already are told first.
	must(t, netlink.NeighDel(&netlink.Neigh{LinkIndex: v.Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, IP: net.ParseIP("192.168.77.2"), HardwareAddr: mac(t, "02:00:00:00:00:02")}))
	told("a forwarding entry was deleted")
	must(t, netlink.NeighDel(&netlink.Neigh{LinkIndex: v.Index, IP: net.ParseIP("10.200.2.0"), HardwareAddr: mac(t, "02:00:00:00:00:02")}))
	told("a neighbour was deleted")
	must(t, netlink.RouteDel(&netlink.Route{Dst: network(t, "10.200.2.0/24"), LinkIndex: v.Index}))
	told("a route was deleted")
	must(t, netlink.LinkDel(v))
	told("the device was deleted")
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("it goes on after its context ended")
	}
}
