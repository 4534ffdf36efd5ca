package teardown

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/maek-dev/maek/lab/internal/cgroup"
	"github.com/maek-dev/maek/lab/internal/command"
	"github.com/maek-dev/maek/lab/internal/machine"
	"github.com/maek-dev/maek/lab/internal/network"
	"github.com/maek-dev/maek/lab/internal/state"
)

const (
	settlePoll = 50 * time.Millisecond
	// settleTimeout is how long the kernel may take to let go of namespaces and file systems of killed processes.
	settleTimeout = 15 * time.Second
)

// Leftover is one thing of the lab that is still there.
type Leftover struct {
	// Kind is what it is: process, mount, network namespace, loop device or control group.
	Kind string
	// Name is what the host calls it.
	Name string
}

// String returns the leftover as it is shown to people.
func (l Leftover) String() string { return l.Kind + " " + l.Name }

// Kinds are what is looked for, in the order in which it is told.
func Kinds() []string {
	return []string{"process", "mount", "network namespace", "loop device", "control group"}
}

// Leftovers looks on the host, not in the journal, for what there is of a lab. The journal adds the control groups that
// were made by a command in other groups than this one.
func Leftovers(directory state.Directory, layout cgroup.Layout, journal []state.Resource) ([]Leftover, error) {
	groups, err := labGroups(layout, named(journal, state.KindCgroup))
	if err != nil {
		return nil, err
	}
	processes, err := ownedProcesses(directory)
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		pids, err := cgroup.Processes(group)
		if err != nil {
			return nil, err
		}
		processes = append(processes, pids...)
	}
	mounts, err := machine.MountsUnder(string(directory))
	if err != nil {
		return nil, err
	}
	for _, recorded := range named(journal, state.KindMount) {
		more, err := machine.MountsUnder(recorded)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, more...)
	}
	namespaces, err := labNamespaces()
	if err != nil {
		return nil, err
	}
	loops, err := loopDevices(directory)
	if err != nil {
		return nil, err
	}

	seen := make(map[Leftover]bool)
	var left []Leftover
	add := func(kind string, names ...string) {
		for _, name := range names {
			if l := (Leftover{kind, name}); !seen[l] {
				seen[l] = true
				left = append(left, l)
			}
		}
	}
	for _, pid := range processes {
		add("process", describe(pid))
	}
	add("mount", mounts...)
	add("network namespace", namespaces...)
	add("loop device", loops...)
	add("control group", groups...)
	return left, nil
}

func waitForNothing(ctx context.Context, directory state.Directory, layout cgroup.Layout, journal []state.Resource) ([]Leftover, error) {
	var left []Leftover
	err := wait.PollUntilContextTimeout(ctx, settlePoll, settleTimeout, true, func(context.Context) (bool, error) {
		var err error
		left, err = Leftovers(directory, layout, journal)
		return len(left) == 0, err
	})
	if len(left) > 0 {
		return left, nil // they say more than that the time is over
	}
	return nil, err
}

// killOwned kills the processes that lab commands started outside every machine and that are still there: a crash before
// a process is in its control group, a build, debootstrap.
func killOwned(ctx context.Context, directory state.Directory) []error {
	err := wait.PollUntilContextTimeout(ctx, settlePoll, settleTimeout, true, func(context.Context) (bool, error) {
		pids, err := ownedProcesses(directory)
		for _, pid := range pids {
			killOwnedProcess(pid, directory)
		}
		return len(pids) == 0, err
	})
	if err != nil {
		return []error{fmt.Errorf("killing what an earlier command left running: %w", err)}
	}
	return nil
}

// killOwnedProcess takes a handle on the process before it looks at it again, so that the ID cannot pass to another
// process between the look and the signal.
func killOwnedProcess(pid int, directory state.Directory) {
	handle, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended
	}
	defer func() { _ = unix.Close(handle) }()
	if isOwned(pid, directory) {
		_ = unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0) // ended meanwhile is as good
	}
}

// ownedProcesses returns the processes that were started with the lab's mark in their environment. A lab command marks itself only
// after it has started, which is not seen here.
func ownedProcesses(directory state.Directory) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var owned []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && pid != os.Getpid() && isOwned(pid, directory) {
			owned = append(owned, pid)
		}
	}
	return owned, nil
}

func isOwned(pid int, directory state.Directory) bool {
	environment, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return false // ended, or a kernel thread
	}
	mark := []byte(command.OwnerVariable + "=" + string(directory))
	for variable := range bytes.SplitSeq(environment, []byte{0}) {
		if bytes.Equal(variable, mark) {
			return true
		}
	}
	return false
}

func describe(pid int) string {
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return strconv.Itoa(pid)
	}
	return fmt.Sprintf("%d (%s)", pid, strings.TrimSpace(string(name)))
}

func labGroups(layout cgroup.Layout, recorded []string) ([]string, error) {
	var groups []string
	for _, parent := range layout.Parents {
		found, err := filepath.Glob(filepath.Join(parent, network.Namespace("*")))
		if err != nil {
			return nil, fmt.Errorf("listing control groups: %w", err)
		}
		groups = append(groups, found...)
	}
	for _, path := range recorded {
		if _, err := os.Stat(path); err == nil {
			groups = append(groups, path)
		}
	}
	return groups, nil
}

func labNamespaces() ([]string, error) {
	var names []string
	for _, pattern := range []string{network.SwitchNamespace, network.Namespace("*")} {
		found, err := filepath.Glob(network.NamespacePath(pattern))
		if err != nil {
			return nil, fmt.Errorf("listing network namespaces: %w", err)
		}
		for _, path := range found {
			names = append(names, filepath.Base(path))
		}
	}
	return names, nil
}

// loopDevices returns the loop devices whose file is in the state directory, deleted or not.
func loopDevices(directory state.Directory) ([]string, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, fmt.Errorf("listing loop devices: %w", err)
	}
	var devices []string
	for _, file := range files {
		backing, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue // freed since it was listed
		}
		if err != nil {
			return nil, fmt.Errorf("reading a loop device: %w", err)
		}
		if strings.HasPrefix(string(backing), string(directory)+"/") {
			device := filepath.Base(filepath.Dir(filepath.Dir(file)))
			devices = append(devices, fmt.Sprintf("/dev/%s (%s)", device, strings.TrimSpace(string(backing))))
		}
	}
	return devices, nil
}
