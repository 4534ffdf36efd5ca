// Package interfaces watches the network interfaces of a machine: their state, size and speed, what
// goes wrong on them and how often their link is lost, and which of them carries the machine's traffic.
// It stands for ifconfig -a, ip -s link and /proc/net/bonding. Pods' ends of interfaces are only counted,
// and devices of overlays are told by package overlay.
package interfaces
