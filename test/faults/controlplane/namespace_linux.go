package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// insideVariable marks the process that already lives in namespaces of its own.
const insideVariable = "MAEK_FAULTS_INSIDE"

// Inside tells whether this process already has the namespaces that control planes need.
func Inside() bool { return os.Getenv(insideVariable) != "" }

// Enter runs this program again, with the same arguments, in a network and a process namespace of
// its own, and returns its exit code. When either process ends, so does everything in the namespaces.
func Enter(ctx context.Context) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("looking for this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("making namespaces: %w", err)
	}
	return 0, nil
}

// PrepareNetwork makes every address of 10.0.0.0/8 local to this namespace, and adds the table with
// which an address can be made to answer nothing at all.
// The host's name becomes cp, for that is what leaders of the control plane call themselves.
func PrepareNetwork(ctx context.Context) error {
	if err := syscall.Sethostname([]byte("cp")); err != nil {
		return fmt.Errorf("naming the host: %w", err)
	}
	for _, line := range []string{
		"ip link set lo up",
		"ip route add local 10.0.0.0/8 dev lo",
		"nft add table inet faults",
		"nft add set inet faults silent { type ipv4_addr; }",
		"nft add chain inet faults input { type filter hook input priority -300; }",
		"nft add rule inet faults input ip daddr @silent drop",
	} {
		if err := run(ctx, strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}

// silence makes an address answer nothing, as a machine does that is off; unsilence undoes it.
func silence(ctx context.Context, address string) error {
	return run(ctx, "nft", "add", "element", "inet", "faults", "silent", "{ "+address+" }")
}

func unsilence(ctx context.Context, address string) error {
	return run(ctx, "nft", "delete", "element", "inet", "faults", "silent", "{ "+address+" }")
}

func run(ctx context.Context, command ...string) error {
	if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
	}
	return nil
}
