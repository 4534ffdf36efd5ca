package overlay

import "github.com/maek-dev/maek/internal/monitor"

// keys are what the monitor gives.
func keys() []monitor.Key {
	return []monitor.Key{
		{Pattern: "overlay/device/*/type", Doc: "kind of a device of an overlay or of pods, as the kernel names it: vxlan, bridge, ipip, wireguard, tuntap"},
		{Pattern: "overlay/device/*/mtu", Doc: "largest packet that the device takes, in bytes"},
		{Pattern: "overlay/device/*/mac", Doc: "its hardware address; empty where it has none"},
		{Pattern: "overlay/device/*/up", Doc: "whether it is switched on (true, false)"},
		{Pattern: "overlay/device/*/addresses", Doc: "its addresses with their prefix lengths, without link-local ones, separated by spaces"},
		{Pattern: "overlay/device/*/members", Doc: "how many devices a bridge joins"},
		{Pattern: "overlay/device/*/vni", Doc: "network identifier of a VXLAN"},
		{Pattern: "overlay/device/*/port", Doc: "UDP port that a VXLAN sends to"},
		{Pattern: "overlay/device/*/learning", Doc: "whether a VXLAN learns where others are from what they send (true, false)"},
		{Pattern: "overlay/device/*/local", Doc: "address that a VXLAN sends from"},
		{Pattern: "overlay/device/*/underlay", Doc: "device that a VXLAN sends through"},
		{Pattern: "overlay/device/*/underlay-mtu", Doc: "largest packet that the device takes that a VXLAN sends through, in bytes"},
		{Pattern: "overlay/device/*/underlay-up", Doc: "whether the device that a VXLAN sends through is switched on (true, false)"},
		{Pattern: "overlay/device/*/underlay-addresses", Doc: "addresses of the device that a VXLAN sends through, separated by spaces"},
		{Pattern: "overlay/device/*/rx-packets", Doc: "packets received since the device was made"},
		{Pattern: "overlay/device/*/tx-packets", Doc: "packets sent since the device was made"},
		{Pattern: "overlay/device/*/rx-errors", Doc: "packets received with errors since the device was made"},
		{Pattern: "overlay/device/*/tx-errors", Doc: "packets that could not be sent since the device was made"},
		{Pattern: "overlay/device/*/rx-dropped", Doc: "packets received and dropped since the device was made"},
		{Pattern: "overlay/device/*/tx-dropped", Doc: "packets to be sent and dropped since the device was made"},
		{Pattern: "overlay/route/*", Doc: "how the main table leads to a prefix, through a device of pods or by way of another machine, in the words of ip route: via ADDRESS dev DEVICE onlink; several are separated by commas"},
		{Pattern: "overlay/neighbour/*/*", Doc: "hardware address that a VXLAN sends to for an address, where it has one, and the entry's state: permanent, reachable, stale, delay, probe, failed, incomplete, none"},
		{Pattern: "overlay/forwarding/*/*", Doc: "addresses of the machines to which a VXLAN sends for a hardware address, separated by spaces"},
	}
}
