package limits

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

func (w *watch) processes() ([]snapshot.MachineEvidence, error) {
	load, err := w.host.ReadFile("/proc/loadavg", fileLimit)
	if err != nil {
		return nil, fmt.Errorf("counting processes: %w", err)
	}
	// The fourth field is runnable/all threads (proc_loadavg(5)).
	fields := strings.Fields(string(load))
	if len(fields) < 4 {
		return nil, fmt.Errorf("counting processes: %q is not of the form of /proc/loadavg", strings.TrimSpace(string(load)))
	}
	_, all, _ := strings.Cut(fields[3], "/")
	used, err := strconv.ParseInt(all, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("counting processes: %w", err)
	}
	most, err := w.numbers("/proc/sys/kernel/pid_max", 1)
	if err != nil {
		return nil, err
	}
	if threads, err := w.numbers("/proc/sys/kernel/threads-max", 1); err == nil {
		most[0] = min(most[0], threads[0])
	}
	out := []snapshot.MachineEvidence{monitor.Int("limit/processes/used", used), monitor.Int("limit/processes/max", most[0])}
	table := w.table()
	zombies, parent := w.zombies(table)
	out = append(out, monitor.Int("limit/processes/zombies", zombies))
	if parent != "" {
		out = append(out, monitor.Value("limit/processes/zombies-of", parent))
	}
	return append(out, w.left(table)...), nil
}

// process is a line of the machine's table of processes.
type process struct {
	id, name, parent, session string
	// state as the kernel writes it: Z has ended and is not collected (proc_pid_stat(5)).
	state byte
	// begun is when it started, after the machine did; zero where the kernel does not say.
	begun time.Duration
}

// tick is the unit in which the kernel tells times of processes (USER_HZ of linux/param.h, for all that Kubernetes runs on).
const tick = 10 * time.Millisecond

// table reads all processes once.
func (w *watch) table() map[string]process {
	proc, err := w.host.Path("/proc")
	if err != nil {
		return nil
	}
	folder, err := os.Open(proc)
	if err != nil {
		return nil
	}
	defer func() { _ = folder.Close() }()
	names, _ := folder.Readdirnames(-1)
	out := make(map[string]process, len(names)/2)
	line := make([]byte, 512)
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		if p, ok := stat(filepath.Join(proc, name, "stat"), line); ok {
			p.id = name
			out[name] = p
		}
	}
	return out
}

// zombies counts the processes that have ended and are still listed, and names the parent of most.
func (w *watch) zombies(table map[string]process) (count int, parent string) {
	parents := map[string]int{}
	for _, p := range table {
		if p.state == 'Z' {
			count++
			parents[p.parent]++
		}
	}
	for id, n := range parents {
		if parent == "" || cmp.Or(cmp.Compare(n, parents[parent]), cmp.Compare(parent, id)) > 0 {
			parent = id
		}
	}
	if parent == "" {
		return count, ""
	}
	if comm, err := w.host.ReadFile("/proc/"+parent+"/comm", fileLimit); err == nil {
		return count, fmt.Sprintf("%s %s", strings.TrimSpace(string(comm)), parent)
	}
	return count, parent
}

// startTime is the place of the start time behind the name: it is the 22nd field of all (proc_pid_stat(5)).
const startTime = 22 - 3

// stat reads a process from its stat file into a buffer that is used again: a node has hundreds of them. The
// name in parentheses may hold spaces and parentheses of its own.
func stat(path string, line []byte) (process, bool) {
	f, err := os.Open(path)
	if err != nil {
		return process{}, false
	}
	defer func() { _ = f.Close() }()
	n, _ := f.Read(line)
	begin, end := bytes.IndexByte(line[:n], '('), bytes.LastIndexByte(line[:n], ')')
	if begin < 0 || end < begin {
		return process{}, false
	}
	// State, parent, process group, session.
	fields := bytes.Fields(line[end+1 : n])
	if len(fields) < 4 || len(fields[0]) != 1 {
		return process{}, false
	}
	p := process{name: string(line[begin+1 : end]), state: fields[0][0], parent: string(fields[1]), session: string(fields[3])}
	if len(fields) > startTime {
		ticks, _ := strconv.ParseInt(string(fields[startTime]), 10, 64)
		p.begun = time.Duration(ticks) * tick
	}
	return p, true
}
