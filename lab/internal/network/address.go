// Package network makes the network that the lab's machines are joined by: a switch namespace with a bridge in it, and a
// veth port for each machine. All of it is in namespaces of its own; nothing touches the host's interfaces, routes,
// firewall or kernel settings.
package network

import (
	"fmt"
	"net/netip"
)

// Names of the network that people and fault scenarios use.
const (
	// SwitchNamespace is the network namespace of the switch.
	SwitchNamespace = "labsw"
	// Bridge is the bridge in it.
	Bridge = "br0"
	// Interface is what a machine calls its network card.
	Interface = "eth0"
)

// prefixLength is that of the machines' network.
const prefixLength = 24

// SwitchAddress is the address of the switch: the machines' gateway, name server, image registry and, when there are
// several control planes, load balancer.
func SwitchAddress() netip.Addr { return netip.AddrFrom4([4]byte{10, 99, 0, 1}) }

// ControlPlaneAddress returns the address of control plane number n, from 1 to 9.
func ControlPlaneAddress(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 99, 0, byte(10 + n)}) }

// WorkerAddress returns the address of worker number n, from 1 to 200.
func WorkerAddress(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 99, 0, byte(20 + n)}) }

// Namespace returns the name of a machine's network namespace.
func Namespace(machine string) string { return "lab-" + machine }

// Port returns the name of a machine's port on the switch.
func Port(machine string) string { return machine + "p" }

// hardwareAddress gives an address the same locally administered MAC address at each boot, as a real card has, so that
// no neighbour is left with a stale one.
func hardwareAddress(address netip.Addr) string {
	ip := address.As4()
	return fmt.Sprintf("02:00:%02x:%02x:%02x:%02x", ip[0], ip[1], ip[2], ip[3])
}
