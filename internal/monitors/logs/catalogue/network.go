package catalogue

import "time"

// networkPatterns are about the kernel's network: net/netfilter/nf_conntrack_core.c,
// net/core/neighbour.c, net/core/dev.c, drivers/net.
func networkPatterns() []Pattern {
	kernel := []Class{Kernel}
	return []Pattern{
		{
			Name: "conntrack-full", Doc: "The table of connections was full, so that packets of new connections were dropped.",
			Classes: kernel, Literals: []string{"table full, dropping packet"}, TTL: 5 * time.Minute,
			Expr:   `(?:nf|ip)_conntrack: (?:nf_conntrack: )?table full, dropping packet`,
			Fits:   []string{"nf_conntrack: nf_conntrack: table full, dropping packet", "nf_conntrack: table full, dropping packet", "ip_conntrack: table full, dropping packet."},
			Misses: []string{"nf_conntrack: default automatic helper assignment has been turned off for security reasons"},
		},
		{
			Name: "neighbour-table-full", Doc: "The table of neighbours was full, so that hosts on the own network could not be found.",
			Classes: kernel, Literals: []string{"able overflow"}, TTL: 10 * time.Minute,
			Expr:   `neighbour: \S+: neighbor table overflow|[Nn]eighbour table overflow`,
			Fits:   []string{"neighbour: arp_cache: neighbor table overflow!", "Neighbour table overflow."},
			Misses: []string{"TCP: request_sock_TCP: Possible SYN flooding on port 443. Sending cookies."},
		},
		{
			Name: "link-down", Doc: "A network interface lost its link again and again; the subject is the interface.",
			Classes: kernel, Literals: []string{"ink is Down", "ink is down", "Link down"}, AtLeast: 3, Within: 10 * time.Minute, TTL: 10 * time.Minute,
			Expr: `(\S+?):? NIC Link is Down|(\S+): Link (?:is )?[Dd]own`,
			Fits: []string{
				"e1000e: eth0 NIC Link is Down", "igb 0000:01:00.0 eth0: igb: eth0 NIC Link is Down", "bnxt_en 0000:3b:00.0 ens1f0: NIC Link is Down",
				"tg3 0000:02:00.0 eth2: Link is down", "mlx5_core 0000:04:00.0 ens5f0: Link down",
			},
			Misses: []string{"ata2: SATA link down (SStatus 0 SControl 300)", "igb 0000:01:00.0 eth0: igb: eth0 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: RX"},
		},
		{
			Name: "interface-stuck", Doc: "An interface cannot be taken away because something still holds it; network namespaces pile up. The subject is the interface.",
			Classes: kernel, Literals: []string{"unregister_netdevice: waiting for"}, AtLeast: 3, Within: 20 * time.Minute, TTL: 20 * time.Minute,
			Expr:   `unregister_netdevice: waiting for (\S+) to become free\. Usage count = -?\d+`,
			Fits:   []string{"unregister_netdevice: waiting for lo to become free. Usage count = 1", "unregister_netdevice: waiting for veth7a to become free. Usage count = -3"},
			Misses: []string{"veth7a: renamed from eth0"},
		},
		{
			Name: "transmit-timeout", Doc: "A network card stopped sending; the subject is the interface.",
			Classes: kernel, Literals: []string{"NETDEV WATCHDOG"}, TTL: 30 * time.Minute,
			Expr:   `(\S+): NETDEV WATCHDOG: CPU: \d+: transmit queue \d+ timed out|NETDEV WATCHDOG: (\S+) \(.*transmit queue \d+ timed out`,
			Fits:   []string{"NETDEV WATCHDOG: eth0 (igb): transmit queue 3 timed out", "igb 0000:01:00.0 eth0: NETDEV WATCHDOG: CPU: 2: transmit queue 3 timed out 5120 ms"},
			Misses: []string{"NET: Registered PF_PACKET protocol family"},
		},
		{
			Name: "tcp-memory", Doc: "TCP had no memory left for its buffers.",
			Classes: kernel, Literals: []string{"TCP: out of memory"}, TTL: 10 * time.Minute,
			Expr:   `TCP: out of memory -- consider tuning tcp_mem`,
			Fits:   []string{"TCP: out of memory -- consider tuning tcp_mem"},
			Misses: []string{"TCP: Hash tables configured (established 131072 bind 65536)"},
		},
	}
}
