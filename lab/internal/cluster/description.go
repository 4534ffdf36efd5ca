// Package cluster makes a Kubernetes cluster of the lab's machines, with kubeadm and real credentials, and waits until all
// of it works.
package cluster

import (
	"fmt"
	"net/netip"

	"github.com/maek-dev/maek/lab/internal/machine"
	"github.com/maek-dev/maek/lab/internal/network"
	"github.com/maek-dev/maek/lab/internal/node"
)

// apiPort is where API servers and the load balancer before them listen.
const apiPort = 6443

// Options are what a person chooses about a cluster.
type Options struct {
	// ControlPlanes is how many control-plane machines it has: 1 or 3.
	ControlPlanes int
	// Workers is how many other machines it has.
	Workers int
	// FlannelStore is where flannel keeps subnets.
	FlannelStore node.FlannelStore
	// Docker says that Docker Engine runs beside containerd on every machine.
	Docker bool
	// Shop says that the sample application is installed.
	Shop bool
}

// Description is what later commands know about a lab.
type Description struct {
	// Machines are all machines, control planes first.
	Machines []machine.Spec `json:"machines"`
	// FlannelStore, Docker and Shop are as in [Options].
	FlannelStore node.FlannelStore `json:"flannelStore"`
	Docker       bool              `json:"docker"`
	Shop         bool              `json:"shop"`
	// Port is where the API is on the host's loopback address.
	Port int `json:"port"`
	// Token is the bootstrap token that nodes join with.
	Token string `json:"token"`
	// CertificateKey protects the certificates that control planes hand to each other while they join.
	CertificateKey string `json:"certificateKey"`
	// Ready says that `lab up` came to its end.
	Ready bool `json:"ready"`
}

// Validate says what is wrong with the options.
func (o Options) Validate() error {
	if o.FlannelStore != node.StoreKubernetes && o.FlannelStore != node.StoreEtcd {
		return fmt.Errorf("flannel keeps its subnets in %q or %q, not in %q", node.StoreKubernetes, node.StoreEtcd, o.FlannelStore)
	}
	_, err := machine.Plan(o.ControlPlanes, o.Workers)
	return err
}

// ControlPlanes returns the machines of that role.
func (d Description) ControlPlanes() []machine.Spec { return d.role(machine.ControlPlane) }

// Workers returns the machines of that role.
func (d Description) Workers() []machine.Spec { return d.role(machine.Worker) }

func (d Description) role(role machine.Role) []machine.Spec {
	var specs []machine.Spec
	for _, spec := range d.Machines {
		if spec.Role == role {
			specs = append(specs, spec)
		}
	}
	return specs
}

// Endpoint is the address of the API inside the lab. A single control plane is reached directly, so that its refusals and
// silences are its own; only several have a load balancer before them.
func (d Description) Endpoint() netip.AddrPort {
	controlPlanes := d.ControlPlanes()
	if len(controlPlanes) == 1 {
		return netip.AddrPortFrom(controlPlanes[0].Address, apiPort)
	}
	return netip.AddrPortFrom(network.SwitchAddress(), apiPort)
}

// Addresses returns the addresses of all machines by name.
func (d Description) Addresses() map[string]netip.Addr {
	addresses := make(map[string]netip.Addr, len(d.Machines))
	for _, spec := range d.Machines {
		addresses[spec.Name] = spec.Address
	}
	return addresses
}
