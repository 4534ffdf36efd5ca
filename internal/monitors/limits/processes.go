package limits

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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
	zombies, parent := w.zombies()
	out = append(out, monitor.Int("limit/processes/zombies", zombies))
	if parent != "" {
		out = append(out, monitor.Value("limit/processes/zombies-of", parent))
	}
	return out, nil
}

// zombies counts the processes that have ended and are still listed, and names the parent of most.
func (w *watch) zombies() (count int, parent string) {
	proc, err := w.host.Path("/proc")
	if err != nil {
		return 0, ""
	}
	folder, err := os.Open(proc)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = folder.Close() }()
	names, _ := folder.Readdirnames(-1)
	parents := map[string]int{}
	line := make([]byte, 512)
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		if state, of := stat(filepath.Join(proc, name, "stat"), line); state == 'Z' {
			count++
			parents[of]++
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

// stat reads a process's state and parent from its stat file into a buffer that is used again: a node
// has hundreds of them. The name in parentheses may hold spaces and parentheses of its own.
func stat(path string, line []byte) (state byte, parent string) {
	f, err := os.Open(path)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = f.Close() }()
	n, _ := f.Read(line)
	_, rest, found := bytes.Cut(line[:n], []byte(") "))
	for found {
		var more []byte
		if _, more, found = bytes.Cut(rest, []byte(") ")); found {
			rest = more
		}
	}
	fields := bytes.Fields(rest)
	if len(fields) < 2 || len(fields[0]) != 1 {
		return 0, ""
	}
	return fields[0][0], string(fields[1])
}
