package routes

import "github.com/maek-dev/maek/internal/monitor"

// keys are what the monitor gives.
var keys = []monitor.Key{
	{Pattern: "route/default/*/device", Doc: "interface that a default route leads through; the name is the address of its next hop, or that of the interface where it has none"},
	{Pattern: "route/default/*/family", Doc: "IPv4 or IPv6"},
	{Pattern: "route/default/*/metric", Doc: "its metric: of several the lowest is taken"},
	{Pattern: "route/default/*/neighbour", Doc: "what the machine knows of the next hop's hardware address: reachable, stale, delay, probe, permanent, noarp; failed where it has answered no question for it, incomplete while it is asked; none where nothing was sent there lately. At: since when, as far as this monitor has watched"},
	{Pattern: "route/default/*/mac", Doc: "hardware address of the next hop, where there is one"},
	{Pattern: "route/default/*/dead", Doc: "true where its interface is down or has no link, so that the route is not taken; absent otherwise"},
	{Pattern: "route/prefix/*", Doc: "how the main table leads to a prefix, in the words of ip route: via ADDRESS dev INTERFACE, or blackhole, unreachable, prohibit, throw with the protocol that made it; several are separated by commas. At most 200"},
	{Pattern: "route/count", Doc: "number of routes of the main table"},
	{Pattern: "route/rules", Doc: "number of rules that choose a table, beyond the kernel's own three of a family"},
	{Pattern: "route/neighbours", Doc: "number of neighbour entries of all interfaces; sysctl net.ipv4.neigh.default.gc_thresh3 bounds them"},
	{Pattern: "route/neighbour/*/mac", Doc: "hardware address that the machine has for an address next to it, on an interface of the machine's own; absent while it has none. At most 256"},
	{Pattern: "route/neighbour/*/state", Doc: "state of that entry, in the words of a next hop's"},
}
