// Package monitor is the contract of what is watched on a machine. A monitor watches one thing and
// gives values under evidence keys; rules read the keys and know no monitor. What a monitor could
// not read is a gap in the report, never a value. The Runner looks through monitors on their own
// schedules, and survives one that hangs.
package monitor

import (
	"context"
	"time"

	"github.com/maek-dev/maek/internal/snapshot"
)

// Monitor watches one thing on a machine.
type Monitor struct {
	// Name of the monitor: lower case, one word, such as "units".
	Name string
	// Doc says in a sentence what it reads and from where.
	Doc string
	// Keys are all that it gives. The first segment of a key belongs to one monitor.
	Keys []Key
	// Requires is what it needs beyond a process in the host's network namespace. What it lacks is
	// said in a gap.
	Requires []Privilege
	// Interval between two looks; zero means DefaultInterval.
	Interval time.Duration
	// Timeout bounds one look; zero means DefaultTimeout.
	Timeout time.Duration
	// Observe reads the present values. It may return values and an error: what could be read
	// stands, and the error becomes a gap. Several gaps are joined (errors.Join). It is never called
	// twice at once, so that it may keep what it saw last.
	Observe func(context.Context) ([]snapshot.MachineEvidence, error)
	// Watch, where it is not nil, waits for changes until the context ends, and calls changed to be
	// observed at once. An error means that changes are only seen at the next look; it is tried again.
	Watch func(ctx context.Context, changed func()) error
}

// Key is a kind of value that a monitor gives.
type Key struct {
	// Pattern of the keys, in which "*" stands for a name.
	Pattern snapshot.EvidenceKey
	// Doc says what the value is, in which unit or of which words, and what At tells.
	Doc string
}

// What a Monitor stands at when it says nothing.
const (
	DefaultInterval = 30 * time.Second
	DefaultTimeout  = 5 * time.Second
)

// Privilege is something that a monitor needs to read what it reads.
type Privilege string

// The privileges, as docs/machine.md lists them.
const (
	// HostFiles: the host's file system, read-only, as root.
	HostFiles Privilege = "host files"
	// SystemBus: systemd's D-Bus socket.
	SystemBus Privilege = "system bus"
	// RuntimeSocket: the socket of the container runtime, as root.
	RuntimeSocket Privilege = "container runtime socket"
	// KernelLog: /dev/kmsg, which takes CAP_SYSLOG and the device.
	KernelLog Privilege = "kernel log"
	// NetworkAdmin: CAP_NET_ADMIN, without which packet filters cannot be listed.
	NetworkAdmin Privilege = "CAP_NET_ADMIN"
	// RawSocket: CAP_NET_RAW, for probes below TCP and UDP.
	RawSocket Privilege = "CAP_NET_RAW"
	// EtcdClient: the client certificate of etcd on control-plane machines.
	EtcdClient Privilege = "etcd client certificate"
	// KubeletAPI: the right to get nodes/configz, nodes/healthz, nodes/metrics and nodes/stats of the own node.
	KubeletAPI Privilege = "kubelet API"
)

// Identity is what a machine's report says about the machine itself.
type Identity struct {
	// Machine is the host's own name.
	Machine string
	// Node is the name of the Node object that the machine stands under.
	Node string
}
