//go:build linux

// Package filesystems watches the machine's file systems: space and inodes as df counts them, how fast
// they fill, whether they became read-only, whether they answer, and what the machine keeps on them.
package filesystems

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/mounts"
	"github.com/maek-dev/maek/internal/snapshot"
)

// patience is how long a mount may take to say how full it is: the kernel answers for a disk from
// memory.
const patience = 3 * time.Second

// New makes the monitor of a host's file systems.
func New(host monitor.Host) monitor.Monitor { return newWith(host, mounts.System) }

func newWith(host monitor.Host, statfs mounts.Statfs) monitor.Monitor {
	w := &watch{
		host: host, asker: mounts.NewAsker(host, statfs, patience),
		growths: map[device]*growth{}, seen: map[string]state{},
	}
	return monitor.Monitor{
		Name: "filesystems", Doc: "Space, inodes and state of the machine's file systems, from its mount table, statfs(2) and /sys/fs.",
		Keys: []monitor.Key{
			{Pattern: "filesystem/*/type", Doc: "Type of the file system at a mount point, as ext4."},
			{Pattern: "filesystem/*/device", Doc: "What is mounted, as /dev/sda1."},
			{Pattern: "filesystem/*/holds/*", Doc: "Role of a folder that lies on it: root, tmp, run, kubelet, images, etcd, logs or boot."},
			{Pattern: "filesystem/*/total-bytes", Doc: "Size in bytes."},
			{Pattern: "filesystem/*/used-bytes", Doc: "Bytes in use."},
			{Pattern: "filesystem/*/free-bytes", Doc: "Bytes that processes other than root's may still write."},
			{Pattern: "filesystem/*/inodes", Doc: "Number of inodes; absent where they are made as needed."},
			{Pattern: "filesystem/*/inodes-free", Doc: "Number of inodes that are free."},
			{Pattern: "filesystem/*/bytes-per-hour", Doc: "By how many bytes an hour its use grew; At is since when that was watched, at most six hours."},
			{Pattern: "filesystem/*/read-only", Doc: "Whether it takes no writes; At is when it became so, where that was seen."},
			{Pattern: "filesystem/*/read-only-configured", Doc: "Whether /etc/fstab mounts it read-only; absent where /etc/fstab does not name it."},
			{Pattern: "filesystem/*/errors", Doc: "Number of errors that ext4 has noted in the file system itself; At is the last one's."},
			{Pattern: "filesystem/*/stuck", Doc: "True while a mount does not answer; At is since when."},
			{Pattern: "filesystem/*/error", Doc: "Why the kernel cannot say how full it is, as \"input/output error\"; At is since when that was seen."},
		},
		Requires: []monitor.Privilege{monitor.HostFiles},
		Interval: 15 * time.Second, Timeout: patience + 2*time.Second,
		Observe: w.observe,
	}
}

// watch is what the monitor remembers between two looks.
type watch struct {
	host    monitor.Host
	asker   *mounts.Asker
	growths map[device]*growth
	seen    map[string]state
}

// state is what was last seen of a mount.
type state struct {
	readOnly, failed           bool
	readOnlySince, failedSince time.Time
}

func (w *watch) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	table, err := mounts.Table(w.host, skip)
	if err != nil {
		return nil, err
	}
	all := choose(table, places(w.host))
	points := make([]string, len(all))
	for i := range all {
		points[i] = all[i].Mountpoint
	}
	var configured map[string]bool
	if fstab, err := w.host.ReadFile("/etc/fstab", settingsLimit); err == nil {
		configured = configuredReadOnly(fstab)
	}
	answers := w.asker.Ask(ctx, points)
	var out []snapshot.MachineEvidence
	var gaps []error
	present, seen := map[device]*growth{}, map[string]state{}
	for _, f := range all {
		if errors.Is(answers[f.Mountpoint].Err, unix.EACCES) && strings.HasPrefix(f.FSType, "fuse") {
			continue // It answers nobody but the user who mounted it (fuse(8), allow_other).
		}
		if errors.Is(answers[f.Mountpoint].Err, unix.EACCES) || errors.Is(answers[f.Mountpoint].Err, unix.ENOENT) {
			gaps = append(gaps, fmt.Errorf("%w: the host's file systems must be reachable, with those mounted later (mountPropagation: HostToContainer)", answers[f.Mountpoint].Err))
			continue
		}
		out = append(out, w.describe(f)...)
		read, now := w.state(f, answers[f.Mountpoint], configured)
		out = append(out, read...)
		seen[f.Mountpoint] = now
		if answers[f.Mountpoint].Err != nil || !answers[f.Mountpoint].Waiting.IsZero() {
			present[deviceOf(f.Info)] = w.growths[deviceOf(f.Info)]
			continue
		}
		g := w.growths[deviceOf(f.Info)]
		if g == nil {
			g = &growth{}
		}
		present[deviceOf(f.Info)] = g
		out = append(out, w.measure(f, answers[f.Mountpoint].Space, g)...)
	}
	w.growths, w.seen = present, seen
	return out, errors.Join(gaps...)
}

func key(f filesystem, words ...string) snapshot.EvidenceKey {
	return snapshot.KeyOf(append([]string{"filesystem", f.Mountpoint}, words...)...)
}

// describe says what a file system is.
func (w *watch) describe(f filesystem) []snapshot.MachineEvidence {
	out := []snapshot.MachineEvidence{monitor.Value(key(f, "type"), f.FSType), monitor.Value(key(f, "device"), f.Source)}
	for path, role := range f.holds {
		out = append(out, monitor.Value(key(f, "holds", path), role))
	}
	return out
}

// measure says how full a file system is.
func (w *watch) measure(f filesystem, s mounts.Space, g *growth) []snapshot.MachineEvidence {
	out := []snapshot.MachineEvidence{
		monitor.Int(key(f, "total-bytes"), s.Total), monitor.Int(key(f, "used-bytes"), s.Used), monitor.Int(key(f, "free-bytes"), s.Available),
	}
	if s.Inodes > 0 {
		out = append(out, monitor.Int(key(f, "inodes"), s.Inodes), monitor.Int(key(f, "inodes-free"), s.InodesFree))
	}
	now := sample{w.host.Now(), s.Used}
	g.add(now)
	if bytes, since, ok := g.perHour(now); ok {
		out = append(out, monitor.Since(monitor.Int(key(f, "bytes-per-hour"), int64(bytes)), since))
	}
	return out
}

// state says whether a mount takes writes and answers, and keeps since when it has not.
func (w *watch) state(f filesystem, answer mounts.Answer, configured map[string]bool) ([]snapshot.MachineEvidence, state) {
	before, known := w.seen[f.Mountpoint]
	// Since Linux 6.14 ext4 says emergency_ro where it stopped taking writes by itself and ro was not asked for.
	now := state{readOnly: hasOption(f.VFSOptions, "ro", "emergency_ro") || hasOption(f.Options, "ro"), failed: answer.Err != nil}
	switch {
	case now.readOnly && known && !before.readOnly:
		now.readOnlySince = w.host.Now()
	case now.readOnly:
		now.readOnlySince = before.readOnlySince
	}
	out := []snapshot.MachineEvidence{monitor.Since(monitor.Bool(key(f, "read-only"), now.readOnly), now.readOnlySince)}
	if ro, named := configured[f.Mountpoint]; named {
		out = append(out, monitor.Bool(key(f, "read-only-configured"), ro))
	}
	if f.FSType == "ext4" {
		out = append(out, w.errors(f)...)
	}
	if !answer.Waiting.IsZero() {
		out = append(out, monitor.Since(monitor.Bool(key(f, "stuck"), true), answer.Waiting))
	}
	if now.failed {
		now.failedSince = w.host.Now()
		if before.failed {
			now.failedSince = before.failedSince
		}
		out = append(out, monitor.Since(monitor.Value(key(f, "error"), errorText(answer.Err)), now.failedSince))
	}
	return out, now
}

// errorText is what the kernel said, in its own words.
func errorText(err error) string {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

// errors are those that ext4 has noted of itself (Documentation/ABI/testing/sysfs-fs-ext4).
func (w *watch) errors(f filesystem) []snapshot.MachineEvidence {
	reached, err := w.host.Path(fmt.Sprintf("/sys/dev/block/%d:%d", f.Major, f.Minor))
	if err != nil {
		return nil
	}
	folder := "/sys/fs/ext4/" + path.Base(reached)
	count, err := w.host.ReadFile(folder+"/errors_count", 64)
	if err != nil {
		return nil
	}
	e := monitor.Value(key(f, "errors"), strings.TrimSpace(string(count)))
	if last, err := w.host.ReadFile(folder+"/last_error_time", 64); err == nil {
		var seconds int64
		if _, err := fmt.Sscan(string(last), &seconds); err == nil && seconds > 0 {
			e = monitor.Since(e, time.Unix(seconds, 0))
		}
	}
	return []snapshot.MachineEvidence{e}
}
