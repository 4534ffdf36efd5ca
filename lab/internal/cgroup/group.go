package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// pollInterval is how often a group that was killed is looked at again.
	pollInterval = 20 * time.Millisecond
	// killTimeout is how long processes may take to end after SIGKILL. One that waits for a dead disk never ends.
	killTimeout = 30 * time.Second
)

// ProcessesFile returns the file of the group at path that a process joins the group by.
func ProcessesFile(path string) string {
	return filepath.Join(path, "cgroup.procs")
}

// Create makes the group at path. In the cpuset hierarchy of cgroup v1 a new group has no CPUs and takes no process, so
// it gets those of its parent.
func Create(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the control group: %w", err)
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		if err := inherit(path, file); err != nil {
			return err
		}
	}
	return nil
}

func inherit(path, file string) error {
	own, err := os.ReadFile(filepath.Join(path, file))
	if err != nil || strings.TrimSpace(string(own)) != "" {
		return nil //nolint:nilerr // no cpuset hierarchy, or nothing to do
	}
	parent, err := os.ReadFile(filepath.Join(filepath.Dir(path), file))
	if err != nil || strings.TrimSpace(string(parent)) == "" {
		return nil //nolint:nilerr // cgroup v2 leaves the file empty to say "as the parent"
	}
	if err := os.WriteFile(filepath.Join(path, file), parent, 0o644); err != nil {
		return fmt.Errorf("setting %s of the control group: %w", file, err)
	}
	return nil
}

// EnableControllers lets the groups under parent have every controller that parent has: cgroup v2 only. Controllers that
// cannot be enabled are left out: which ones the host hands out is its own decision.
func EnableControllers(parent string) {
	content, err := os.ReadFile(filepath.Join(parent, "cgroup.controllers"))
	if err != nil {
		return
	}
	for controller := range strings.FieldsSeq(string(content)) {
		_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
	}
}

// Processes returns the IDs of the processes in the group at path and in all groups under it. An absent group has none.
func Processes(path string) ([]int, error) {
	groups, err := tree(path)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, group := range groups {
		content, err := os.ReadFile(ProcessesFile(group))
		if err != nil {
			continue // removed since it was listed
		}
		for field := range strings.FieldsSeq(string(content)) {
			pid, err := strconv.Atoi(field)
			if err == nil && pid > 0 { // 0 is a process of an outer PID namespace
				pids = append(pids, pid)
			}
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// Kill sends SIGKILL to every process in the group at path and under it until none is left.
func Kill(ctx context.Context, path string) error {
	var left []int
	err := wait.PollUntilContextTimeout(ctx, pollInterval, killTimeout, true, func(context.Context) (bool, error) {
		pids, err := Processes(path)
		if err != nil {
			return false, err
		}
		for _, pid := range pids {
			killMember(path, pid)
		}
		left = pids
		return len(pids) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("killing the processes %v of the control group %s: %w", left, path, err)
	}
	return nil
}

// killMember kills pid if it is still in the group. The handle on the process is taken first, so that the ID cannot pass
// to another process between the look and the signal.
func killMember(path string, pid int) {
	handle, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended
	}
	defer func() { _ = unix.Close(handle) }()
	pids, err := Processes(path)
	if err != nil || !slices.Contains(pids, pid) {
		return
	}
	_ = unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0) // ended meanwhile is as good
}

// Remove removes the group at path and all groups under it, deepest first. They must have no processes.
func Remove(ctx context.Context, path string) error {
	return removeTree(ctx, path, true)
}

// RemoveChildren removes the groups under path but not the group itself.
func RemoveChildren(ctx context.Context, path string) error {
	return removeTree(ctx, path, false)
}

func removeTree(ctx context.Context, path string, itself bool) error {
	var last error
	// A group is busy for a moment after its last process was reaped.
	err := wait.PollUntilContextTimeout(ctx, pollInterval, killTimeout, true, func(context.Context) (bool, error) {
		groups, err := tree(path)
		if err != nil {
			return false, err
		}
		last = nil
		for _, group := range slices.Backward(groups) {
			if group == path && !itself {
				continue
			}
			if err := os.Remove(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
				last = err
			}
		}
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("removing the control group %s: %w", path, errors.Join(err, last))
	}
	return nil
}

// tree returns path and all groups under it, parents before children; nothing when path is absent.
func tree(path string) ([]string, error) {
	var groups []string
	err := filepath.WalkDir(path, func(p string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir():
			groups = append(groups, p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the control group %s: %w", path, err)
	}
	return groups, nil
}
