package interfaces

import "github.com/maek-dev/maek/internal/monitor"

// keys are what the monitor gives.
var keys = []monitor.Key{
	{Pattern: "interface/*/type", Doc: "kind of an interface, as the kernel names it: device (a card), bond, bridge, vlan, veth and others"},
	{Pattern: "interface/*/state", Doc: "its operational state: up, down, lower-layer-down, dormant, not-present, testing; unknown where its driver does not say, which is no fault. At: since when, as far as this monitor has watched"},
	{Pattern: "interface/*/enabled", Doc: "whether it is switched on (true, false)"},
	{Pattern: "interface/*/carrier", Doc: "whether it has a link (true, false). At: since when, as far as this monitor has watched"},
	{Pattern: "interface/*/mtu", Doc: "largest packet that it takes, in bytes"},
	{Pattern: "interface/*/mac", Doc: "its hardware address"},
	{Pattern: "interface/*/addresses", Doc: "its addresses with their prefix lengths, without link-local ones, separated by spaces"},
	{Pattern: "interface/*/default-route", Doc: "true where a default route of the machine leads through it; absent otherwise"},
	{Pattern: "interface/*/master", Doc: "bond or bridge that it is part of; absent where it is part of none"},
	{Pattern: "interface/*/speed", Doc: "speed of its link in Mbit/s, where its driver says"},
	{Pattern: "interface/*/duplex", Doc: "full or half, where its driver says"},
	{Pattern: "interface/*/rx-packets", Doc: "packets received since it was made"},
	{Pattern: "interface/*/tx-packets", Doc: "packets sent since it was made"},
	{Pattern: "interface/*/rx-errors", Doc: "packets received with errors since it was made"},
	{Pattern: "interface/*/tx-errors", Doc: "packets that could not be sent since it was made"},
	{Pattern: "interface/*/rx-dropped", Doc: "packets received and dropped since it was made"},
	{Pattern: "interface/*/tx-dropped", Doc: "packets to be sent and dropped since it was made"},
	{Pattern: "interface/*/error-share", Doc: "share of its packets with errors, from 0 to 1, over the last minutes; absent until there have been two looks, and where nothing was sent or received"},
	{Pattern: "interface/*/errors-new", Doc: "number of errors over the same time"},
	{Pattern: "interface/*/carrier-losses", Doc: "how often it has lost its link since it was made"},
	{Pattern: "interface/*/carrier-losses-recent", Doc: "how often of these in the last ten minutes, as far as this monitor has watched"},
	{Pattern: "interface/*/bond-mode", Doc: "how a bond shares traffic among its members, in the kernel's words: IEEE 802.3ad Dynamic link aggregation"},
	{Pattern: "interface/*/bond-member/*", Doc: "state of the link of a bond's member as the bond sees it: up, down, going down, going back. At: since when, as far as this monitor has watched"},
	{Pattern: "interface/*/ports", Doc: "number of interfaces that a bridge joins"},
	{Pattern: "interface/pod-links", Doc: "number of interfaces whose other end is in a pod; they are told no further"},
	{Pattern: "interface/left-out", Doc: "number of interfaces beyond the first 64, which are not told; absent where there are none"},
}
