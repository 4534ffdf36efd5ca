// Package processes finds programs among those that run on a machine.
package processes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/maek-dev/maek/internal/monitor"
)

const (
	// nameBytes is room for a process's name: the kernel keeps 15 bytes (TASK_COMM_LEN of linux/sched.h).
	nameBytes = 64
	// statBytes is room for what is read of stat: the name in it can hold anything, but not much.
	statBytes = 512
	// commandBytes bounds a command line, and an environment.
	commandBytes = 64 << 10
)

// Process is one that runs, or ran a moment ago.
type Process struct {
	// ID in the host's numbering.
	ID     int
	folder string
}

// All are the processes of a host, by ID.
func All(host monitor.Host) (iter.Seq[Process], error) {
	proc, err := host.Path("/proc")
	if err != nil {
		return nil, err
	}
	folder, err := os.Open(proc)
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	names, err := folder.Readdirnames(-1)
	if err := errors.Join(err, folder.Close()); err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var ids []int
	for _, name := range names {
		if id, err := strconv.Atoi(name); err == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return func(yield func(Process) bool) {
		for _, id := range ids {
			if !yield(Process{ID: id, folder: filepath.Join(proc, strconv.Itoa(id))}) {
				return
			}
		}
	}, nil
}

// Name by which the kernel knows the process: of its program the first 15 bytes. Empty where it has ended.
func (p Process) Name() string {
	return strings.TrimSpace(string(p.read("comm", nameBytes)))
}

// State is the letter of the process's first thread: R runs, S sleeps, D waits for a device, T is stopped, Z
// has ended and is not collected (proc_pid_stat(5)). Empty where it is gone.
func (p Process) State() string {
	line := p.read("stat", statBytes)
	// It follows the name, which is in parentheses and may hold any character.
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if len(fields) == 0 {
		return ""
	}
	return string(fields[0])
}

// Command is the program with its arguments; none of a thread of the kernel, or where it has ended.
func (p Process) Command() []string {
	return words(p.read("cmdline", commandBytes))
}

// Environment is the one that the process was started with. Another user's takes CAP_SYS_PTRACE to read;
// none then.
func (p Process) Environment() []string {
	return words(p.read("environ", commandBytes))
}

func words(data []byte) []string {
	if len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
}

// read reads the beginning of a file; nothing where it cannot be read, as of a process that ended
// meanwhile. The kernel has plain files there, so that none is looked at before it is opened: there can be
// thousands.
func (p Process) read(name string, limit int64) []byte {
	f, err := os.OpenFile(filepath.Join(p.folder, name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil
	}
	return data
}
