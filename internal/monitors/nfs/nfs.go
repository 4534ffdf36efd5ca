//go:build linux

// Package nfs watches the servers of the machine's NFS mounts: whether they answer, and what waits for
// them.
package nfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/mounts"
	"github.com/maek-dev/maek/internal/snapshot"
)

// patience is how long a server may take; one across a wide network takes some tenths of a second.
const patience = 5 * time.Second

// New makes the monitor of the servers of a host's NFS mounts.
func New(host monitor.Host) monitor.Monitor { return newWith(host, mounts.System) }

func newWith(host monitor.Host, statfs mounts.Statfs) monitor.Monitor {
	w := &watch{host: host, asker: mounts.NewAsker(host, statfs, patience), failing: map[string]time.Time{}}
	return monitor.Monitor{
		Name: "nfs", Doc: "Servers of NFS mounts and whether they answer, from the mount table, statfs(2) and /proc/1/mountstats; nothing where there are none.",
		Keys: []monitor.Key{
			{Pattern: "nfs/mount/*/server", Doc: "Server of the NFS mount at a mount point."},
			{Pattern: "nfs/mount/*/export", Doc: "What of the server is mounted there."},
			{Pattern: "nfs/mount/*/soft", Doc: "Whether reads and writes fail after a while, rather than wait for good, when the server does not answer."},
			{Pattern: "nfs/server/*/stuck", Doc: "True while a server does not answer what one of its mounts was asked; At is since when."},
			{Pattern: "nfs/server/*/error", Doc: "The error that one of its mounts answers with, as \"stale file handle\"; At is since when that was seen."},
			{Pattern: "nfs/server/*/timeouts", Doc: "Requests to the server that had to be repeated for want of an answer, since it was mounted."},
			{Pattern: "nfs/server/*/requests", Doc: "Requests to the server since it was mounted."},
		},
		Requires: []monitor.Privilege{monitor.HostFiles},
		Timeout:  patience + 2*time.Second,
		Observe:  w.observe,
	}
}

type watch struct {
	host    monitor.Host
	asker   *mounts.Asker
	failing map[string]time.Time
}

func isNFS(m *mountinfo.Info) bool { return m.FSType == "nfs" || m.FSType == "nfs4" }

func (w *watch) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	table, err := mounts.Table(w.host, func(m *mountinfo.Info) bool { return !isNFS(m) })
	if err != nil || len(table) == 0 {
		w.failing = map[string]time.Time{}
		return nil, err
	}
	var out []snapshot.MachineEvidence
	// One mount of each server is asked, the one mounted first: a pod's comes and goes.
	asked := map[string]string{}
	for _, m := range table {
		server, export := split(m.Source)
		key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("nfs", "mount", m.Mountpoint, word) }
		out = append(out, monitor.Value(key("server"), server), monitor.Value(key("export"), export),
			monitor.Bool(key("soft"), slices.Contains(strings.Split(m.VFSOptions, ","), "soft")))
		if _, has := asked[server]; !has {
			asked[server] = m.Mountpoint
		}
	}
	read, gap := w.ask(ctx, asked)
	out = append(out, read...)
	counted, err := w.counters()
	if err != nil {
		gap = errors.Join(gap, err)
	}
	return append(out, counted...), gap
}

// split takes the source of an NFS mount apart: "10.0.0.9:/export", "[fd00::9]:/export".
func split(source string) (server, export string) {
	i := strings.Index(source, ":/")
	if i < 0 {
		return source, ""
	}
	return strings.Trim(source[:i], "[]"), source[i+1:]
}

// ask asks one mount of each server.
func (w *watch) ask(ctx context.Context, asked map[string]string) ([]snapshot.MachineEvidence, error) {
	var out []snapshot.MachineEvidence
	var gaps []error
	answers := w.asker.Ask(ctx, slices.Sorted(maps.Values(asked)))
	failing := map[string]time.Time{}
	for _, server := range slices.Sorted(maps.Keys(asked)) {
		key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("nfs", "server", server, word) }
		answer := answers[asked[server]]
		switch {
		case !answer.Waiting.IsZero():
			out = append(out, monitor.Since(monitor.Bool(key("stuck"), true), answer.Waiting))
		case errors.Is(answer.Err, fs.ErrNotExist), errors.Is(answer.Err, fs.ErrPermission):
			gaps = append(gaps, fmt.Errorf("%w: mounts of NFS must be reachable (mountPropagation: HostToContainer)", answer.Err))
		case answer.Err != nil:
			failing[server] = w.host.Now()
			if since, before := w.failing[server]; before {
				failing[server] = since
			}
			message := answer.Err.Error()
			if errno, ok := errors.AsType[unix.Errno](answer.Err); ok {
				message = errno.Error()
			}
			out = append(out, monitor.Since(monitor.Value(key("error"), message), failing[server]))
		}
	}
	w.failing = failing
	return out, errors.Join(gaps...)
}

// counters are the requests of all mounts of a server, as the kernel counts them. Mounts of one server
// share their counters only where they share a superblock, which bind mounts for pods do.
func (w *watch) counters() ([]snapshot.MachineEvidence, error) {
	proc, err := w.host.Path("/proc")
	if err != nil {
		return nil, err
	}
	system, err := procfs.NewFS(proc)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", proc, err)
	}
	first, err := system.Proc(1)
	if err != nil {
		return nil, fmt.Errorf("finding the machine's first process: %w", err)
	}
	all, err := first.MountStats()
	if err != nil {
		return nil, fmt.Errorf("counting requests to NFS servers: %w", err)
	}
	type counters struct{ requests, timeouts uint64 }
	servers, devices := map[string]counters{}, map[string]bool{}
	for _, m := range all {
		stats, ok := m.Stats.(*procfs.MountStatsNFS)
		if !ok || devices[m.Device] {
			continue
		}
		devices[m.Device] = true
		server, _ := split(m.Device)
		c := servers[server]
		for i := range stats.Operations {
			c.requests += stats.Operations[i].Requests
			c.timeouts += stats.Operations[i].MajorTimeouts
		}
		servers[server] = c
	}
	var out []snapshot.MachineEvidence
	for server, c := range servers {
		out = append(out, monitor.Int(snapshot.KeyOf("nfs", "server", server, "requests"), c.requests),
			monitor.Int(snapshot.KeyOf("nfs", "server", server, "timeouts"), c.timeouts))
	}
	slices.SortFunc(out, func(a, b snapshot.MachineEvidence) int { return cmp.Compare(a.Key, b.Key) })
	return out, nil
}
