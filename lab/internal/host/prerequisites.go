// Package host finds out whether a lab can run on this host, and installs the Debian packages that it needs.
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/maek-dev/maek/lab/internal/command"
)

// capSysAdmin is the number of CAP_SYS_ADMIN (capability.h of the kernel).
const capSysAdmin = 21

// capSysResource is the number of CAP_SYS_RESOURCE.
const capSysResource = 24

// requirement is a program that the lab runs, and the Debian package that has it.
type requirement struct {
	program string
	pkg     string
}

func requirements() []requirement {
	return []requirement{
		{"debootstrap", "debootstrap"},
		{"systemd-nspawn", "systemd-container"},
		{"ip", "iproute2"},
		{"mkfs.ext4", "e2fsprogs"},
		{"mount", "mount"},
		{"nsenter", "util-linux"},
		{"unshare", "util-linux"},
		{"nft", "nftables"},
		// The components are built here; flannel has a part in C.
		{"gcc", "gcc"},
	}
}

// libcHeader shows that C programs can be compiled; its package is libc6-dev.
const libcHeader = "/usr/include/stdlib.h"

// MissingError lists packages that have to be installed.
type MissingError struct {
	// Packages are the names of Debian packages.
	Packages []string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("the lab needs Debian packages that are not installed: run `apt-get install %s`, or `lab up --install`",
		strings.Join(e.Packages, " "))
}

// Missing returns the Debian packages that the lab needs and whose programs are not there.
func Missing() []string {
	// A shell of an ordinary user, or sudo's, may lack the folders of administration.
	lookUp := func(program string) bool {
		for _, directory := range []string{"", "/usr/sbin/", "/sbin/"} {
			if _, err := exec.LookPath(directory + program); err == nil {
				return true
			}
		}
		return false
	}
	return missing(lookUp, func(file string) bool {
		_, err := os.Stat(file)
		return err == nil
	})
}

func missing(hasProgram, hasFile func(string) bool) []string {
	var packages []string
	for _, r := range requirements() {
		if !hasProgram(r.program) {
			packages = append(packages, r.pkg)
		}
	}
	if !hasFile(libcHeader) {
		packages = append(packages, "libc6-dev")
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

// Install installs Debian packages with apt-get.
func Install(ctx context.Context, packages []string) error {
	if len(packages) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("installing %s: this host has no apt-get; install what your distribution calls them", strings.Join(packages, " "))
	}
	if os.Geteuid() != 0 {
		return errors.New("installing packages needs root: run it with sudo")
	}
	environment := []string{"DEBIAN_FRONTEND=noninteractive"}
	if _, err := command.Run(ctx, command.Command{Args: []string{"apt-get", "update", "-q"}, Env: environment}); err != nil {
		return fmt.Errorf("reading the lists of packages: %w", err)
	}
	install := append([]string{"apt-get", "install", "-y", "-q", "--no-install-recommends"}, packages...)
	if _, err := command.Run(ctx, command.Command{Args: install, Env: environment}); err != nil {
		return fmt.Errorf("installing packages: %w", err)
	}
	return nil
}

// Check says in one sentence why a lab cannot run here, and returns nil when it can. It changes nothing: what it tries, it
// tries in namespaces that end with the trial.
func Check(ctx context.Context) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the lab runs on Linux only, not on %s: it boots machines that share this host's kernel", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return errors.New("the lab needs root, for network namespaces, mounts and control groups: run it with sudo")
	}
	has, err := capable(capSysAdmin)
	if err != nil {
		return err
	}
	if !has {
		return errors.New("the lab needs CAP_SYS_ADMIN, which this host does not give even to root (an unprivileged container?)")
	}
	if packages := Missing(); len(packages) > 0 {
		return &MissingError{Packages: packages}
	}
	for _, trial := range trials() {
		if _, err := command.Output(ctx, trial.args...); err != nil {
			return fmt.Errorf("this host's kernel lacks %s, which the lab needs: %w", trial.feature, err)
		}
	}
	return nil
}

// trial is a command that works where a kernel has a feature.
type trial struct {
	feature string
	args    []string
}

func trials() []trial {
	inNetwork := func(feature, program string) trial {
		return trial{feature, []string{"unshare", "--net", "sh", "-c", program}}
	}
	return []trial{
		inNetwork("veth network devices", "ip link add name lab0 type veth peer name lab1"),
		inNetwork("network bridges", "ip link add name lab0 type bridge"),
		inNetwork("VXLAN", "ip link set lo up && ip link add name lab0 type vxlan id 1 dstport 8472 dev lo"),
		inNetwork("nftables", "nft add table ip lab"),
		{"overlay file systems", []string{
			"unshare", "--mount", "sh", "-c",
			"mount -t tmpfs lab /mnt && mkdir /mnt/l /mnt/u /mnt/w /mnt/m && mount -t overlay lab -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w /mnt/m",
		}},
		{"loop devices", []string{"test", "-e", "/dev/loop-control"}},
		{"TUN devices", []string{"test", "-e", "/dev/net/tun"}},
	}
}

// CanLowerOOMScore says whether root may protect processes from the out-of-memory killer on this host.
func CanLowerOOMScore() (bool, error) { return capable(capSysResource) }

func capable(capability uint) (bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, fmt.Errorf("reading the capabilities of this process: %w", err)
	}
	return hasCapability(status, capability)
}

// hasCapability reads the effective capabilities in the content of /proc/PID/status (proc_pid_status(5)).
func hasCapability(status []byte, capability uint) (bool, error) {
	for line := range bytes.Lines(status) {
		name, value, _ := strings.Cut(string(line), ":")
		if name != "CapEff" {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return false, fmt.Errorf("reading the capabilities of this process: %w", err)
		}
		return set&(1<<capability) != 0, nil
	}
	return false, errors.New("reading the capabilities of this process: /proc/self/status has no CapEff")
}
