// Package limits watches what machines run out of besides disks: processes, open files, tracked
// connections and memory, of the whole machine and of control groups that have a limit of their own.
package limits

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// fileLimit bounds the files of /proc that are read here.
const fileLimit = 64 << 10

// New makes the monitor of a host's limits.
func New(host monitor.Host) monitor.Monitor {
	w := &watch{host: host, counted: map[snapshot.EvidenceKey]counter{}}
	return monitor.Monitor{
		Name: "limits", Doc: "Processes, open files, tracked connections and memory against their limits, from /proc and control groups.",
		Keys: []monitor.Key{
			{Pattern: "limit/processes/used", Doc: "Number of threads on the machine; every one takes a process id."},
			{Pattern: "limit/processes/max", Doc: "How many there can be: the smaller of kernel.pid_max and kernel.threads-max."},
			{Pattern: "limit/processes/zombies", Doc: "Number of processes that have ended and that their parent has not collected."},
			{Pattern: "limit/processes/zombies-of", Doc: "Name and process id of the parent of most of them."},
			{Pattern: "limit/left/*/ended", Doc: "By the id of a container, where there are twenty or more: processes of sessions whose first process is gone, as commands of exec probes leave them, that have ended and that the container's first process has not collected."},
			{Pattern: "limit/left/*/running", Doc: "Those that still run, and started five minutes after the container or later."},
			{Pattern: "limit/left/*/name", Doc: "Name of most of them."},
			{Pattern: "limit/left/*/to", Doc: "Name of the container's first process."},
			{Pattern: "limit/left/*/pod", Doc: "UID of the container's pod."},
			{Pattern: "limit/descriptors/used", Doc: "Number of open files on the machine."},
			{Pattern: "limit/descriptors/max", Doc: "How many there can be (fs.file-max)."},
			{Pattern: "limit/inotify/*", Doc: "How many inotify instances and watches one user may have: instances-max, watches-max."},
			{Pattern: "limit/conntrack/used", Doc: "Number of connections that the packet filter keeps track of."},
			{Pattern: "limit/conntrack/max", Doc: "How many it can (net.netfilter.nf_conntrack_max)."},
			{Pattern: "limit/conntrack/dropped", Doc: "Packets dropped since the start of the machine because the table was full; At is when the last were, as far as that was seen."},
			{Pattern: "limit/conntrack/insert-failed", Doc: "Connections since the start of the machine that could not be entered, mostly because two packets raced; At as above."},
			{Pattern: "limit/memory/*", Doc: "Bytes of memory and swap: total-bytes, available-bytes, swap-total-bytes, swap-free-bytes."},
			{Pattern: "limit/cgroup/*/pod", Doc: "UID of the pod that a control group belongs to."},
			{Pattern: "limit/cgroup/*/pids", Doc: "Threads in a control group: those with a limit of their own that are near it, and the one that has most."},
			{Pattern: "limit/cgroup/*/pids-max", Doc: "How many there may be."},
			{Pattern: "limit/cgroup/*/pids-refused", Doc: "How often a thread could not be made for that limit; At is when it last happened, as far as that was seen."},
			{Pattern: "limit/cgroup/*/memory-bytes", Doc: "Working set of a control group in bytes: those with a limit of their own below the pods', and the pods and services that use most."},
			{Pattern: "limit/cgroup/*/memory-max-bytes", Doc: "How much it may use."},
		},
		Requires: []monitor.Privilege{monitor.HostFiles},
		Observe:  func(context.Context) ([]snapshot.MachineEvidence, error) { return w.observe() },
	}
}

// watch remembers the counters that were seen, so that it is known when they last grew.
type watch struct {
	host    monitor.Host
	counted map[snapshot.EvidenceKey]counter
}

type counter struct {
	value int64
	grown time.Time
}

func (w *watch) observe() ([]snapshot.MachineEvidence, error) {
	var out []snapshot.MachineEvidence
	var gaps []error
	for _, read := range []func() ([]snapshot.MachineEvidence, error){w.processes, w.descriptors, w.connections, w.memory} {
		e, err := read()
		out = append(out, e...)
		if err != nil {
			gaps = append(gaps, err)
		}
	}
	return append(out, w.groups()...), errors.Join(gaps...)
}

// count makes evidence of a counter, with the time at which it was last seen to grow.
func (w *watch) count(key snapshot.EvidenceKey, value int64) snapshot.MachineEvidence {
	before, known := w.counted[key]
	now := counter{value: value, grown: before.grown}
	if known && value > before.value {
		now.grown = w.host.Now()
	}
	w.counted[key] = now
	return monitor.Since(monitor.Int(key, value), now.grown)
}

// numbers reads a file of /proc that holds numbers with space between them.
func (w *watch) numbers(name string, want int) ([]int64, error) {
	data, err := w.host.ReadFile(name, fileLimit)
	if err != nil {
		return nil, fmt.Errorf("reading a limit: %w", err)
	}
	fields := strings.Fields(string(data))
	if len(fields) < want {
		return nil, fmt.Errorf("reading a limit: %s is cut short", name)
	}
	out := make([]int64, want)
	for i := range out {
		if out[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return nil, fmt.Errorf("reading a limit from %s: %w", name, err)
		}
	}
	return out, nil
}

func (w *watch) descriptors() ([]snapshot.MachineEvidence, error) {
	var out []snapshot.MachineEvidence
	var gaps []error
	// Allocated, allocated and unused (always 0), greatest (Documentation/admin-guide/sysctl/fs.rst).
	if n, err := w.numbers("/proc/sys/fs/file-nr", 3); err != nil {
		gaps = append(gaps, err)
	} else {
		out = append(out, monitor.Int("limit/descriptors/used", n[0]-n[1]), monitor.Int("limit/descriptors/max", n[2]))
	}
	for name, key := range map[string]snapshot.EvidenceKey{
		"max_user_instances": "limit/inotify/instances-max", "max_user_watches": "limit/inotify/watches-max",
	} {
		if n, err := w.numbers("/proc/sys/fs/inotify/"+name, 1); err == nil {
			out = append(out, monitor.Int(key, n[0]))
		}
	}
	return out, errors.Join(gaps...)
}

// connections are those that the packet filter tracks, in the network namespace that this process is
// in; a machine whose filter tracks none has no such files.
func (w *watch) connections() ([]snapshot.MachineEvidence, error) {
	used, err := w.numbers("/proc/sys/net/netfilter/nf_conntrack_count", 1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	most, err := w.numbers("/proc/sys/net/netfilter/nf_conntrack_max", 1)
	if err != nil {
		return nil, err
	}
	out := []snapshot.MachineEvidence{monitor.Int("limit/conntrack/used", used[0]), monitor.Int("limit/conntrack/max", most[0])}
	data, err := w.host.ReadFile("/proc/net/stat/nf_conntrack", fileLimit)
	if err != nil {
		return out, nil //nolint:nilerr // kernels can be built without these counters
	}
	sums := columns(string(data))
	for name, key := range map[string]snapshot.EvidenceKey{"drop": "limit/conntrack/dropped", "insert_failed": "limit/conntrack/insert-failed"} {
		if sum, ok := sums[name]; ok {
			out = append(out, w.count(key, sum))
		}
	}
	return out, nil
}

// columns sums a table whose first line names its columns and whose others, one for each processor,
// hold hexadecimal numbers.
func columns(table string) map[string]int64 {
	var names []string
	sums := map[string]int64{}
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if names == nil {
			names = fields
			continue
		}
		for i, f := range fields[:min(len(fields), len(names))] {
			if n, err := strconv.ParseInt(f, 16, 64); err == nil {
				sums[names[i]] += n
			}
		}
	}
	return sums
}

// memoryKeys are the lines of /proc/meminfo that are told.
var memoryKeys = map[string]snapshot.EvidenceKey{
	"MemTotal": "limit/memory/total-bytes", "MemAvailable": "limit/memory/available-bytes",
	"SwapTotal": "limit/memory/swap-total-bytes", "SwapFree": "limit/memory/swap-free-bytes",
}

func (w *watch) memory() ([]snapshot.MachineEvidence, error) {
	data, err := w.host.ReadFile("/proc/meminfo", fileLimit)
	if err != nil {
		return nil, fmt.Errorf("reading how much memory is left: %w", err)
	}
	var out []snapshot.MachineEvidence
	for line := range strings.Lines(string(data)) {
		name, rest, _ := strings.Cut(line, ":")
		key, told := memoryKeys[name]
		if !told {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return out, fmt.Errorf("reading how much memory is left: line %q: %w", strings.TrimSpace(line), err)
		}
		out = append(out, monitor.Int(key, kib<<10))
	}
	return out, nil
}
