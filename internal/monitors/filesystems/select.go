//go:build linux

package filesystems

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// pseudo are file systems without a disk behind them, or with one that is full by design (images of
// other systems), and file systems of servers, which the monitor of NFS watches.
var pseudo = map[string]bool{
	"autofs": true, "binfmt_misc": true, "bpf": true, "cgroup": true, "cgroup2": true, "configfs": true, "cramfs": true, "debugfs": true,
	"devpts": true, "devtmpfs": true, "efivarfs": true, "erofs": true, "fuse.gvfsd-fuse": true, "fuse.lxcfs": true, "fuse.portal": true,
	"fusectl": true, "hugetlbfs": true, "iso9660": true, "mqueue": true, "nfs": true, "nfs4": true, "nfsd": true, "nsfs": true, "proc": true,
	"pstore": true, "ramfs": true, "rpc_pipefs": true, "securityfs": true, "selinuxfs": true, "smackfs": true, "squashfs": true, "sysfs": true,
	"tracefs": true,
}

// others are folders in which runtimes, the kubelet and systemd mount for their own: those of
// containers, pods and sessions.
var others = []string{
	"/dev/", "/proc/", "/sys/", "/snap/", "/run/containerd/", "/run/containers/", "/run/credentials/", "/run/crio/", "/run/docker/",
	"/run/k3s/", "/run/netns/", "/run/user/", "/var/lib/containerd/", "/var/lib/containers/storage/", "/var/lib/docker/",
	"/var/lib/rancher/k3s/agent/containerd/", "/var/lib/rancher/rke2/agent/containerd/",
}

// skip tells whether a mount is no part of the machine's own file systems.
func skip(m *mountinfo.Info) bool {
	if pseudo[m.FSType] || m.Mountpoint == "/dev" || m.Mountpoint == "/sys" {
		return true
	}
	// Whatever the kubelet's folder is called, what it mounts for pods and plugins lies below these.
	if strings.Contains(m.Mountpoint, "/pods/") && strings.Contains(m.Mountpoint, "/volume") || strings.Contains(m.Mountpoint, "/plugins/kubernetes.io/") {
		return true
	}
	return slices.ContainsFunc(others, func(folder string) bool { return strings.HasPrefix(m.Mountpoint, folder) })
}

// filesystem is one file system and what the machine keeps on it.
type filesystem struct {
	*mountinfo.Info
	// holds are the places that lie on it: path to role.
	holds map[string]string
}

// device tells file systems apart, however often they are mounted.
type device struct{ major, minor int }

func deviceOf(m *mountinfo.Info) device { return device{m.Major, m.Minor} }

// choose picks one mount for each file system, and says what the machine keeps there. Parts of file
// systems that are mounted elsewhere once more (bind mounts) only count where a place lies on them;
// those in memory only where they hold one, as /tmp and /run do.
func choose(table []*mountinfo.Info, places []place) []filesystem {
	byDevice := map[device]*filesystem{}
	for _, m := range table {
		known := byDevice[deviceOf(m)]
		whole := m.Root == "/" || m.FSType == "btrfs"
		switch {
		case !whole || m.FSType == "tmpfs" || m.FSType == "overlay":
		case known == nil:
			byDevice[deviceOf(m)] = &filesystem{Info: m, holds: map[string]string{}}
		case len(m.Mountpoint) < len(known.Mountpoint):
			known.Info = m
		}
	}
	for _, p := range places {
		m := under(table, p.real)
		if m == nil {
			continue
		}
		if byDevice[deviceOf(m)] == nil {
			byDevice[deviceOf(m)] = &filesystem{Info: m, holds: map[string]string{}}
		}
		byDevice[deviceOf(m)].holds[p.path] = p.role
	}
	out := make([]filesystem, 0, len(byDevice))
	for _, f := range byDevice {
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b filesystem) int { return cmp.Compare(a.Mountpoint, b.Mountpoint) })
	return out
}

// under is the mount in which a path lies; of several at one mount point the last covers the others.
func under(table []*mountinfo.Info, name string) *mountinfo.Info {
	var found *mountinfo.Info
	for _, m := range table {
		inside := m.Mountpoint == "/" || name == m.Mountpoint || strings.HasPrefix(name, m.Mountpoint+"/")
		if inside && (found == nil || len(m.Mountpoint) >= len(found.Mountpoint)) {
			found = m
		}
	}
	return found
}

// hasOption tells whether a list of mount options has one of the given.
func hasOption(list string, options ...string) bool {
	return slices.ContainsFunc(strings.Split(list, ","), func(o string) bool { return slices.Contains(options, o) })
}

// configuredReadOnly are the mount points that /etc/fstab mounts read-only.
func configuredReadOnly(fstab []byte) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(string(fstab)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		out[path.Clean(fields[1])] = hasOption(fields[3], "ro")
	}
	return out
}
