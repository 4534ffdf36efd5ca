package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/lab/internal/command"
	"github.com/maek-dev/maek/lab/internal/state"
)

// Disk is a file system of a machine's own, in a sparse file: a machine that fills it has filled nothing else.
type Disk struct {
	// Name is that of the file and of the mount point beside it.
	Name string `json:"name"`
	// MountPoint is where the machine sees it; the disk without one holds what the machine changes in its root.
	MountPoint string `json:"mountPoint,omitempty"`
	// MiB is its size.
	MiB int64 `json:"mib"`
}

// systemDisk is the name of the disk that holds what a machine changes in its root.
const systemDisk = "system"

// Disks returns the disks of a machine. They are small enough to be filled in seconds and large enough never to fill by
// themselves.
func Disks(role Role, docker bool) []Disk {
	disks := []Disk{
		{Name: systemDisk, MiB: 3072},
		// A disk of its own for each, since an overlay cannot lie on an overlay, which the machine's root is.
		{Name: "kubelet", MountPoint: "/var/lib/kubelet", MiB: 2048},
		{Name: "containerd", MountPoint: "/var/lib/containerd", MiB: 6144},
	}
	if role == ControlPlane {
		disks = append(disks, Disk{Name: "etcd", MountPoint: "/var/lib/etcd", MiB: 1024})
	}
	if docker {
		disks = append(disks, Disk{Name: "docker", MountPoint: "/var/lib/docker", MiB: 2048})
	}
	return disks
}

// Create makes the machine's disks and mounts its root.
func (m *Machine) Create(ctx context.Context, journal *state.Journal, root Root) error {
	for _, disk := range m.Disks {
		if err := m.createDisk(ctx, journal, disk); err != nil {
			return fmt.Errorf("making the %s disk of %s: %w", disk.Name, m.Name, err)
		}
	}
	upper, work := m.path(systemDisk, "upper"), m.path(systemDisk, "work")
	target := m.path("root")
	for _, dir := range []string{upper, work, target} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the root of %s: %w", m.Name, err)
		}
	}
	if err := journal.Record(state.Resource{Kind: state.KindMount, Name: target}); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", root.Path, upper, work)
	if err := unix.Mount("overlay", target, "overlay", 0, options); err != nil {
		return fmt.Errorf("mounting the root of %s (%s): %w", m.Name, options, err)
	}
	return nil
}

func (m *Machine) createDisk(ctx context.Context, journal *state.Journal, disk Disk) error {
	image, target := m.path(disk.Name+".img"), m.path(disk.Name)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	file, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(disk.MiB<<20), file.Close()); err != nil {
		return err
	}
	// No journal: the host's cache outlives any crash of a machine. No reserved blocks: they are for root, which is who
	// writes here.
	if _, err := command.Output(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image); err != nil {
		return err
	}
	if err := journal.Record(state.Resource{Kind: state.KindMount, Name: target}); err != nil {
		return err
	}
	// mount frees the loop device by itself when the file system is unmounted. Without barriers no write waits for the
	// host's disk, whose loss the lab would not outlive anyway.
	if _, err := command.Output(ctx, "mount", "-o", "loop,barrier=0", image, target); err != nil {
		return err
	}
	// kubeadm takes a folder that is not empty for an etcd that is there already.
	return os.Remove(filepath.Join(target, "lost+found"))
}

// Unmount unmounts what is mounted at target, however many times; nothing mounted there is no error.
func Unmount(target string) error {
	for {
		err := unix.Unmount(target, 0)
		if errors.Is(err, unix.EBUSY) {
			err = unix.Unmount(target, unix.MNT_DETACH)
		}
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil
		case err != nil:
			return fmt.Errorf("unmounting %s: %w", target, err)
		}
	}
}

// MountsUnder returns the mount points of this host at or under a path, in the order in which they were mounted.
func MountsUnder(path string) ([]string, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	return parseMountPoints(content, path), nil
}

func parseMountPoints(mountinfo []byte, under string) []string {
	var found []string
	for line := range bytes.Lines(mountinfo) {
		fields := strings.Fields(string(line))
		if len(fields) < 5 {
			continue
		}
		point := fields[4]
		if point == under || strings.HasPrefix(point, filepath.Clean(under)+"/") {
			found = append(found, point)
		}
	}
	return found
}
