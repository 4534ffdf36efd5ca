package routes

import (
	"cmp"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/rtnetlink"
	"github.com/maek-dev/maek/internal/snapshot"
)

// around tells which hardware addresses the machine has for the hosts of its own networks. Pods and the far
// ends of overlays are not hosts of them.
func (l *look) around() []snapshot.MachineEvidence {
	var told []netlink.Neigh
	for _, n := range l.neighbours {
		link, ok := l.links[n.LinkIndex]
		if !ok || n.IP == nil || n.IP.IsMulticast() || n.IP.IsLinkLocalUnicast() || n.State&unix.NUD_NOARP != 0 || ofPods(link.Attrs().Name) {
			continue
		}
		told = append(told, n)
	}
	slices.SortFunc(told, func(a, b netlink.Neigh) int {
		return cmp.Or(slices.Compare(a.IP.To16(), b.IP.To16()), cmp.Compare(a.LinkIndex, b.LinkIndex))
	})
	var out []snapshot.MachineEvidence
	for _, n := range told[:min(len(told), mostNeighbours)] {
		key := func(word string) snapshot.EvidenceKey {
			return snapshot.KeyOf("route", "neighbour", n.IP.String(), word)
		}
		if len(n.HardwareAddr) > 0 {
			out = append(out, monitor.Value(key("mac"), n.HardwareAddr.String()))
		}
		out = append(out, monitor.Value(key("state"), rtnetlink.NeighbourState(n.State)))
	}
	return out
}

// pods are prefixes of the names of interfaces behind which there are pods, not hosts.
var pods = []string{"lo", "flannel", "cni0", "cbr0", "docker0", "kube-bridge", "weave", "vxlan", "cilium_", "lxc", "cali", "veth"}

func ofPods(name string) bool {
	return slices.ContainsFunc(pods, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
