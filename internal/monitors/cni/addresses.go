package cni

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// addressFolder is where host-local keeps a file for each address that it gave out: the sandbox's id
	// and the interface (containernetworking/plugins, plugins/ipam/host-local/backend/disk).
	addressFolder = "/var/lib/cni/networks"
	// taskFolder is where containerd keeps what runs, by id (containerd, core/runtime/v2).
	taskFolder = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
	// maxAddresses bounds how many files of one network are looked at.
	maxAddresses = 4096
	// leakAge is how old an address must be to count as leaked: a pod gets it before its sandbox runs, and
	// gives it back after.
	leakAge = 10 * time.Minute
)

// given tells how many addresses host-local gave out, and how many of them no pod has any more.
func (w watch) given(first *configuration) ([]snapshot.MachineEvidence, error) {
	networks, err := w.host.ReadDir(addressFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // Other plugins keep their addresses elsewhere.
	}
	if err != nil {
		return nil, fmt.Errorf("listing the networks of the host-local plugin: %w", err)
	}
	tasks, err := w.host.ReadDir(taskFolder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing what containerd runs: %w", err)
	}
	var running map[string]bool
	if err == nil {
		running = make(map[string]bool, len(tasks))
		for _, t := range tasks {
			running[t.Name()] = true
		}
	}
	var out []snapshot.MachineEvidence
	var errs []error
	for _, n := range networks {
		if !n.IsDir() {
			continue
		}
		evidence, err := w.network(n.Name(), running)
		errs = append(errs, err)
		out = append(out, evidence...)
		if size, ok := sizeOf(first); ok && first.name == n.Name() {
			out = append(out, monitor.Int(snapshot.KeyOf("cni", "network", n.Name(), "size"), size))
		}
	}
	return out, errors.Join(errs...)
}

// network counts the addresses of one network. Without what runs, nothing counts as leaked.
func (w watch) network(name string, running map[string]bool) ([]snapshot.MachineEvidence, error) {
	folder := path.Join(addressFolder, name)
	files, err := w.host.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("listing the addresses of the network %s: %w", name, err)
	}
	given, leaked := 0, 0
	var oldest time.Time
	for _, f := range files {
		if _, err := netip.ParseAddr(strings.ReplaceAll(f.Name(), "_", ":")); err != nil {
			continue // The lock, and the last address given.
		}
		given++
		if running == nil || given > maxAddresses {
			continue
		}
		info, err := f.Info()
		if err != nil || w.host.Now().Sub(info.ModTime()) < leakAge {
			continue
		}
		data, err := w.host.ReadFile(path.Join(folder, f.Name()), fileBytes)
		if err != nil {
			continue // It was given back meanwhile.
		}
		id, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
		if running[strings.TrimSpace(id)] {
			continue
		}
		leaked++
		if oldest.IsZero() || info.ModTime().Before(oldest) {
			oldest = info.ModTime()
		}
	}
	out := []snapshot.MachineEvidence{monitor.Int(snapshot.KeyOf("cni", "network", name, "given"), given)}
	if running != nil {
		out = append(out, monitor.Since(monitor.Int(snapshot.KeyOf("cni", "network", name, "leaked"), leaked), oldest))
	}
	return out, nil
}

// sizeOf is how many addresses the IPv4 ranges of a configuration hold for pods: without the network's
// own address, its broadcast address and the gateway's.
func sizeOf(c *configuration) (int, bool) {
	if c == nil {
		return 0, false
	}
	size := 0
	for _, r := range c.ranges {
		prefix, err := netip.ParsePrefix(r)
		if err == nil && prefix.Addr().Is4() && prefix.Bits() > 8 && prefix.Bits() < 30 {
			size += 1<<(32-prefix.Bits()) - 3
		}
	}
	return size, size > 0
}
