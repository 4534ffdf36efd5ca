// Package packetfilter watches the rules of a machine's packet filter that drop or reject what a cluster
// sends: those of administrators, firewall programs and images, not those that Kubernetes' own parts write.
// It reads nftables, in which today's iptables writes too. Rules of the older iptables can only be listed by
// its own program; of them the names of the tables are told.
package packetfilter
