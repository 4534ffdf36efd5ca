package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/maek-dev/maek/lab/internal/cgroup"
	"github.com/maek-dev/maek/lab/internal/network"
	"github.com/maek-dev/maek/lab/internal/state"
)

const (
	// bootTimeout is how long a machine may take until its systemd has reached basic.target: about 1 s on an idle host.
	bootTimeout = 2 * time.Minute
	bootPoll    = 100 * time.Millisecond
	// nspawnDirectory is where systemd-nspawn keeps a folder and a lock for each container, which it leaves when it is
	// killed.
	nspawnDirectory = "/run/systemd/nspawn/"
	// joinGroups is a shell program that puts itself into the groups whose files come before "--" and then becomes the
	// program that comes after it.
	joinGroups = `while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"`
)

// Boot switches the machine on and waits until its systemd starts ordinary units.
func (m *Machine) Boot(ctx context.Context, journal *state.Journal) error {
	if err := m.createGroups(ctx, journal); err != nil {
		return err
	}
	if err := network.Connect(ctx, journal, m.Name, m.Address); err != nil {
		return err
	}
	lock, err := nspawnLock(m.path("root"))
	if err != nil {
		return fmt.Errorf("booting %s: %w", m.Name, err)
	}
	if err := journal.Record(
		state.Resource{Kind: state.KindDirectory, Name: nspawnDirectory + "propagate/" + m.Group()},
		state.Resource{Kind: state.KindDirectory, Name: lock},
	); err != nil {
		return err
	}
	console, err := os.OpenFile(m.ConsolePath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the console of %s: %w", m.Name, err)
	}
	err = StartInGroups(m.Layout.Paths(m.Group()), nspawnCommand(m), console)
	if err := errors.Join(err, console.Close()); err != nil {
		return fmt.Errorf("booting %s: %w", m.Name, err)
	}
	return m.waitForBoot(ctx)
}

// nspawnLock returns the file by which systemd-nspawn locks a root, named after the root's device and inode
// (image_path_lock in src/shared/discover-image.c of systemd).
func nspawnLock(root string) (string, error) {
	var status unix.Stat_t
	if err := unix.Stat(root, &status); err != nil {
		return "", fmt.Errorf("looking at %s: %w", root, err)
	}
	return fmt.Sprintf("%slocks/inode-%d:%d", nspawnDirectory, status.Dev, status.Ino), nil
}

// createGroups makes the machine's control groups, empty as they are after a real boot.
//
// What an earlier boot left in them has to go: the kubelet asks the runtime about each group that it finds and does not
// start before it has an answer for every container that is no more.
func (m *Machine) createGroups(ctx context.Context, journal *state.Journal) error {
	if m.Layout.Unified {
		cgroup.EnableControllers(m.Layout.Parents[0])
	}
	for _, path := range m.Layout.Paths(m.Group()) {
		if err := journal.Record(state.Resource{Kind: state.KindCgroup, Name: path}); err != nil {
			return err
		}
		if err := cgroup.Create(path); err != nil {
			return err
		}
		if err := cgroup.RemoveChildren(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// nspawnCommand returns the environment and the command line that a machine is booted with. The host's own init need not
// be systemd, so nothing is registered with it (--register=no --keep-unit). System call filters are off and /proc/sys and
// /sys are writable: the kubelet and kube-proxy set kernel parameters of the machine's namespaces, and container runtimes
// need system calls that containers are usually denied.
func nspawnCommand(m *Machine) []string {
	args := []string{
		"env", "SYSTEMD_SECCOMP=0", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=1",
		"systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--machine=" + m.Group(), "--hostname=" + m.Name,
		"--directory=" + m.path("root"), "--network-namespace-path=" + network.NamespacePath(network.Namespace(m.Name)),
		"--capability=all", "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
		"--bind=/dev/kmsg", "--bind=/dev/net/tun", "--bind=/dev/fuse",
	}
	for _, disk := range m.Disks {
		if disk.MountPoint != "" {
			args = append(args, "--bind="+m.path(disk.Name)+":"+disk.MountPoint)
		}
	}
	for _, bind := range m.Binds {
		flag := "--bind="
		if bind.ReadOnly {
			flag = "--bind-ro="
		}
		args = append(args, flag+bind.Host+":"+bind.Machine)
	}
	return append(args, "--boot")
}

// StartInGroups starts a program that outlives this one, in control groups from its first instruction on. What it prints
// goes to output, and it has extra open as file descriptors 3 and on.
func StartInGroups(groups, args []string, output *os.File, extra ...*os.File) error {
	cmd := exec.Command("sh", enterArguments(groups, args)...) //nolint:noctx // it is to outlive every context
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = output, output, extra
	// A session of its own: neither Ctrl-C nor a closed terminal reaches it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", args[0], err)
	}
	go func() { _ = cmd.Wait() }() // only so that it leaves no zombie; how it went is seen from what it was to do
	return nil
}

func enterArguments(groups, args []string) []string {
	shell := []string{"-c", joinGroups, "lab"}
	for _, group := range groups {
		shell = append(shell, cgroup.ProcessesFile(group))
	}
	return slices.Concat(shell, []string{"--"}, args)
}

func (m *Machine) waitForBoot(ctx context.Context) error {
	last := "its init has not started"
	err := wait.PollUntilContextTimeout(ctx, bootPoll, bootTimeout, true, func(ctx context.Context) (bool, error) {
		leader, err := m.Leader()
		if err != nil || leader == 0 {
			return false, err
		}
		// Units after it may wait for an API server that is not there; they are no part of the machine's own boot.
		out, err := m.Output(ctx, "systemctl", "is-active", "basic.target")
		last = "systemctl is-active basic.target says " + out
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("booting %s: %w (%s); the end of its console:\n%s", m.Name, err, last, m.consoleTail())
	}
	return nil
}

func (m *Machine) consoleTail() string {
	content, err := os.ReadFile(m.ConsolePath())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// PowerOff kills every process of the machine at once, as a power cut does, and takes its network card away.
func (m *Machine) PowerOff(ctx context.Context) error {
	if leader, err := m.Leader(); err == nil && leader != 0 {
		if process, err := os.FindProcess(leader); err == nil {
			_ = process.Kill() // the kernel ends every process of the machine with its init; what is left is killed below
		}
	}
	for _, path := range m.Layout.Paths(m.Group()) {
		if err := cgroup.Kill(ctx, path); err != nil {
			return fmt.Errorf("switching %s off: %w", m.Name, err)
		}
		if err := cgroup.RemoveChildren(ctx, path); err != nil {
			return fmt.Errorf("switching %s off: %w", m.Name, err)
		}
	}
	if err := network.Disconnect(ctx, m.Name); err != nil {
		return fmt.Errorf("switching %s off: %w", m.Name, err)
	}
	return nil
}
