package machine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/maek-dev/maek/lab/internal/cgroup"
	"github.com/maek-dev/maek/lab/internal/command"
)

// OffError means that a machine is switched off.
type OffError struct {
	// Machine is its name.
	Machine string
}

func (e *OffError) Error() string {
	return fmt.Sprintf("%s is off; `lab power-on %s` boots it", e.Machine, e.Machine)
}

// Leader returns the host's process ID of the machine's init, 0 when the machine is off.
func (m *Machine) Leader() (int, error) {
	for _, path := range m.Layout.Paths(m.Group()) {
		pids, err := cgroup.Processes(path)
		if err != nil {
			return 0, err
		}
		for _, pid := range pids {
			status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
			if err == nil && isInit(status) {
				return pid, nil
			}
		}
	}
	return 0, nil
}

// isInit says whether the content of /proc/PID/status is that of a process that is number 1 in a PID namespace right
// under this one, and no zombie. Containers of the machine have an init each too, but a level deeper.
func isInit(status []byte) bool {
	var init bool
	for line := range bytes.Lines(status) {
		name, value, _ := strings.Cut(string(line), ":")
		fields := strings.Fields(value)
		switch name {
		case "State":
			if len(fields) > 0 && (fields[0] == "Z" || fields[0] == "X") {
				return false
			}
		case "NSpid":
			init = len(fields) == 2 && fields[1] == "1"
		}
	}
	return init
}

// Command returns a program that is to run in the machine, in its namespaces and control groups, with a login's
// environment. It returns an [*OffError] when the machine is off.
func (m *Machine) Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	leader, err := m.Leader()
	if err != nil {
		return nil, fmt.Errorf("finding the init of %s: %w", m.Name, err)
	}
	if leader == 0 {
		return nil, &OffError{Machine: m.Name}
	}
	groups, err := m.groupsOf(leader)
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, "sh", enterArguments(groups, enterCommand(leader, os.Getenv("TERM"), args))...), nil
}

// groupsOf returns the paths of the control groups that a process of the machine is in, one a hierarchy.
func (m *Machine) groupsOf(pid int) ([]string, error) {
	membership, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return nil, fmt.Errorf("reading the control groups of %s: %w", m.Name, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading the mounts of this process: %w", err)
	}
	return cgroup.Memberships(string(membership), string(mounts)), nil
}

func enterCommand(leader int, terminal string, args []string) []string {
	if terminal == "" {
		terminal = "dumb"
	}
	enter := []string{
		"nsenter", "--target", strconv.Itoa(leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--",
		// Without it the program would outlive an nsenter that is stopped, which is all that the host can stop.
		"setpriv", "--pdeathsig", "TERM", "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root",
		"LANG=C.UTF-8", "TERM=" + terminal,
	}
	return append(enter, args...)
}

// Run runs a program in the machine with input and returns its standard output without the white space around it. Input
// may be nil. The error of a program that failed is a [*command.Error].
func (m *Machine) Run(ctx context.Context, input io.Reader, args ...string) (string, error) {
	cmd, err := m.Command(ctx, args...)
	if err != nil {
		return "", err
	}
	out, err := command.Run(ctx, command.Command{Args: cmd.Args, Shown: append([]string{m.Name + ":"}, args...), Stdin: input})
	return strings.TrimSpace(string(out)), err
}

// Output runs a program in the machine without input and returns its standard output without the white space around it.
func (m *Machine) Output(ctx context.Context, args ...string) (string, error) {
	return m.Run(ctx, nil, args...)
}
