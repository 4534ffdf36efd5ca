// Package machine makes the lab's machines: systemd-nspawn containers booted from a Debian root, each with a real
// systemd, journal and disks of its own, in a network namespace of its own. What runs on a machine is not its business.
package machine

import (
	"fmt"
	"net/netip"

	"github.com/maek-dev/maek/lab/internal/network"
)

// Role is what a machine is for.
type Role string

// The roles.
const (
	ControlPlane Role = "control-plane"
	Worker       Role = "worker"
)

// maxWorkers is as many as have an address and, by far, more than a host can bear.
const maxWorkers = 50

// Spec describes a machine.
type Spec struct {
	// Name is its host name and the name of its Node.
	Name string `json:"name"`
	// Role is what it is for.
	Role Role `json:"role"`
	// Address is that of its network card.
	Address netip.Addr `json:"address"`
}

// Plan returns the machines of a lab: 1 or 3 control planes, and 0 or more workers.
func Plan(controlPlanes, workers int) ([]Spec, error) {
	if controlPlanes != 1 && controlPlanes != 3 {
		return nil, fmt.Errorf("a lab has 1 or 3 control planes, not %d: etcd bears no failure with 2", controlPlanes)
	}
	if workers < 0 || workers > maxWorkers {
		return nil, fmt.Errorf("a lab has 0 to %d workers, not %d", maxWorkers, workers)
	}
	specs := make([]Spec, 0, controlPlanes+workers)
	for n := range controlPlanes {
		specs = append(specs, Spec{fmt.Sprintf("cp%d", n+1), ControlPlane, network.ControlPlaneAddress(n + 1)})
	}
	for n := range workers {
		specs = append(specs, Spec{fmt.Sprintf("w%d", n+1), Worker, network.WorkerAddress(n + 1)})
	}
	return specs, nil
}
