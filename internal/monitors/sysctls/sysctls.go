// Package sysctls watches the kernel's settings that pods' packets depend on: forwarding, what of bridges is
// filtered, the check of where packets come from, and how many neighbours the machine may remember.
package sysctls

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// fileLimit bounds what is read of a setting, in bytes.
const fileLimit = 4 << 10

// settings that are told, as sysctl(8) names them.
var settings = []string{
	"net.ipv4.ip_forward",
	"net.ipv4.conf.all.rp_filter",
	"net.ipv4.conf.default.rp_filter",
	"net.ipv6.conf.all.forwarding",
	"net.ipv6.conf.all.disable_ipv6",
	"net.bridge.bridge-nf-call-iptables",
	"net.bridge.bridge-nf-call-ip6tables",
	"net.ipv4.neigh.default.gc_thresh2",
	"net.ipv4.neigh.default.gc_thresh3",
	"net.ipv4.ip_local_port_range",
}

// overlays are the prefixes of the interfaces whose check of where packets come from is told.
var overlays = []string{"flannel", "cni0", "cbr0", "tunl0", "vxlan.calico", "cilium_", "kube-bridge"}

// New makes the monitor of a host. It sees the settings of the network namespace that the process is in, which
// is to be the host's.
func New(host monitor.Host) monitor.Monitor {
	return monitor.Monitor{
		Name: "sysctls", Doc: "Settings of the kernel that the network of pods depends on, from /proc/sys/net.",
		Keys: []monitor.Key{{
			Pattern: "sysctl/*",
			Doc: "A setting of the kernel by its name: " + strings.Join(settings, ", ") + ", and net.ipv4.conf/INTERFACE/rp_filter of the interfaces of overlays and pod bridges. " +
				"Absent where the kernel does not have it: those of bridges without the module br_netfilter, those of IPv6 without IPv6.",
		}},
		Requires: []monitor.Privilege{monitor.HostFiles},
		Interval: time.Minute,
		Observe: func(ctx context.Context) ([]snapshot.MachineEvidence, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return observe(host)
		},
	}
}

func observe(host monitor.Host) ([]snapshot.MachineEvidence, error) {
	var out []snapshot.MachineEvidence
	var gaps []error
	read := func(name, file string) {
		data, err := host.ReadFile(path.Join("/proc/sys", file), fileLimit)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			gaps = append(gaps, fmt.Errorf("reading the setting %s: %w", name, err))
		default:
			out = append(out, monitor.Value(snapshot.KeyOf("sysctl", name), strings.Join(strings.Fields(string(data)), " ")))
		}
	}
	for _, name := range settings {
		read(name, strings.ReplaceAll(name, ".", "/"))
	}
	// Names of interfaces hold dots, as flannel.1: sysctl(8) takes slashes for them.
	interfaces, err := host.ReadDir("/proc/sys/net/ipv4/conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		gaps = append(gaps, fmt.Errorf("listing the settings of interfaces: %w", err))
	}
	for _, e := range interfaces {
		for _, prefix := range overlays {
			if strings.HasPrefix(e.Name(), prefix) {
				read("net.ipv4.conf/"+e.Name()+"/rp_filter", path.Join("net/ipv4/conf", e.Name(), "rp_filter"))
				break
			}
		}
	}
	return out, errors.Join(gaps...)
}
