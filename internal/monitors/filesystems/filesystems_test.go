//go:build linux

package filesystems

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/mounts"
	"github.com/maek-dev/maek/internal/snapshot"
)

const gib = 1 << 30

// machine is a host whose files are written by a test.
func machine(t *testing.T, folders []string, files map[string]string) monitor.Host {
	t.Helper()
	root := t.TempDir()
	for _, f := range folders {
		if err := os.MkdirAll(filepath.Join(root, f), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return monitor.Host{Root: root, Node: "w1", Now: time.Now} //nolint:forbidigo // tests run in a bubble of time
}

// on returns the evidence of one mount point, words after it to value.
func on(evidence []snapshot.MachineEvidence, point string) map[string]string {
	out := map[string]string{}
	for _, e := range evidence {
		if s := e.Key.Segments(); s[1] == point {
			value := e.Value
			if e.At != nil {
				value += " since " + e.At.UTC().Format(time.TimeOnly)
			}
			out[strings.Join(s[2:], " ")] = value
		}
	}
	return out
}

func recorded(t *testing.T) string {
	t.Helper()
	table, err := os.ReadFile("testdata/control-plane.mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(table)
}

var folders = []string{"tmp", "var/tmp", "var/log", "boot", "run", "var/lib/kubelet", "var/lib/containerd", "var/lib/etcd"}

func half(string) (mounts.Space, error) {
	return mounts.Space{Total: 2 * gib, Used: gib, Available: gib - 1024, Inodes: 1000, InodesFree: 990}, nil
}

func TestObserveControlPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newWith(machine(t, folders, map[string]string{"proc/1/mountinfo": recorded(t)}), half)
		got, err := m.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var points []string
		for _, e := range got {
			points = append(points, e.Key.Segments()[1])
		}
		slices.Sort(points)
		if diff := cmp.Diff([]string{"/", "/run", "/tmp", "/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet"}, slices.Compact(points)); diff != "" {
			t.Errorf("mount points (-want +got):\n%s", diff)
		}
		want := map[string]string{
			"device": "overlay", "type": "overlay", "read-only": "false",
			"free-bytes": "1073740800", "used-bytes": "1073741824", "total-bytes": "2147483648", "inodes": "1000", "inodes-free": "990",
			"holds /": "root", "holds /boot": "boot", "holds /var/tmp": "tmp", "holds /var/log": "logs",
		}
		if diff := cmp.Diff(want, on(got, "/")); diff != "" {
			t.Errorf("/ (-want +got):\n%s", diff)
		}
	})
}

// TestObserveOneDisk is a machine with everything on one disk: a data folder elsewhere, a bind mount of
// it, a disk that nothing of Kubernetes' is on, a server's mount and a pod's.
func TestObserveOneDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := machine(t, append(slices.Clone(folders), "data/docker", "srv"), map[string]string{
			"proc/1/mountinfo": `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
22 21 8:17 / /data rw shared:2 - xfs /dev/sdb1 rw
23 21 8:17 /docker /srv/docker ro shared:3 - xfs /dev/sdb1 rw
24 21 8:33 / /srv rw - ext4 /dev/sdc1 rw
25 21 0:40 / /mnt rw - nfs4 10.0.0.9:/export rw,hard
26 21 8:49 / /var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pvc-1/mount rw - ext4 /dev/sdd rw
`,
			"etc/docker/daemon.json":           `{"data-root": "/data/docker"}`,
			"etc/fstab":                        "# a comment\n/dev/sda1 / ext4 errors=remount-ro 0 1\n/dev/sdc1 /srv ext4 ro 0 2\n",
			"sys/dev/block/8:1/dev":            "8:1",
			"sys/fs/ext4/8:1/errors_count":     "3\n",
			"sys/fs/ext4/8:1/last_error_time":  "946684799\n",
			"sys/fs/ext4/8:33/errors_count":    "0\n",
			"sys/fs/ext4/8:33/last_error_time": "0\n",
		})
		got, err := newWith(host, half).Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cases := map[string]map[string]string{
			"/": {
				"type": "ext4", "device": "/dev/sda1", "read-only": "false", "read-only-configured": "false", "errors": "3 since 23:59:59",
				"holds /": "root", "holds /boot": "boot", "holds /run": "run", "holds /tmp": "tmp", "holds /var/tmp": "tmp", "holds /var/log": "logs",
				"holds /var/lib/containerd": "images", "holds /var/lib/etcd": "etcd", "holds /var/lib/kubelet": "kubelet",
			},
			"/data": {"type": "xfs", "device": "/dev/sdb1", "read-only": "false", "holds /data/docker": "images"},
			"/srv":  {"type": "ext4", "device": "/dev/sdc1", "read-only": "false", "read-only-configured": "true", "errors": "0"},
			"/mnt":  {},
			"/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pvc-1/mount": {},
		}
		for point, want := range cases {
			read := on(got, point)
			for _, measured := range []string{"total-bytes", "used-bytes", "free-bytes", "inodes", "inodes-free"} {
				delete(read, measured)
			}
			if diff := cmp.Diff(want, read); diff != "" {
				t.Errorf("%s (-want +got):\n%s", point, diff)
			}
		}
	})
}

// TestObserveChanges fills one disk, makes it read-only and broken, and hangs another.
func TestObserveChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rw, ro = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "21 1 8:1 / / rw - ext4 /dev/sda1 rw,emergency_ro\n"
		const other = "22 21 8:17 / /srv rw - xfs /dev/sdb1 rw\n"
		host := machine(t, folders, map[string]string{"proc/1/mountinfo": rw + other})
		used, broken, never := uint64(gib), error(nil), make(chan struct{})
		defer close(never)
		m := newWith(host, func(path string) (mounts.Space, error) {
			if strings.HasSuffix(path, "/srv") {
				<-never
			}
			return mounts.Space{Total: 10 * gib, Used: used, Available: 10*gib - used}, broken
		})
		look := func() []snapshot.MachineEvidence {
			t.Helper()
			got, err := m.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		look()
		time.Sleep(30 * time.Minute) //nolint:forbidigo // the bubble's own clock
		used = 2 * gib
		got := look()
		if got, want := on(got, "/")["bytes-per-hour"], "2147483648 since 00:00:03"; got != want {
			t.Errorf("1 GiB in half an hour is %q, want %q", got, want)
		}
		if got, want := on(got, "/srv"), (map[string]string{"type": "xfs", "device": "/dev/sdb1", "read-only": "false", "stuck": "true since 00:00:00"}); cmp.Diff(want, got) != "" {
			t.Errorf("a mount that hangs (-want +got):\n%s", cmp.Diff(want, got))
		}
		if err := os.WriteFile(filepath.Join(host.Root, "proc/1/mountinfo"), []byte(ro), 0o644); err != nil {
			t.Fatal(err)
		}
		broken = unix.EIO
		look()
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's own clock
		got = look()
		if got, want := on(got, "/")["read-only"], "true since 00:30:03"; got != want {
			t.Errorf("read-only is %q, want %q", got, want)
		}
		if got, want := on(got, "/")["error"], "input/output error since 00:30:03"; got != want {
			t.Errorf("the error is %q, want %q", got, want)
		}
		if got := on(got, "/srv"); len(got) != 0 {
			t.Errorf("what is no longer mounted says %v", got)
		}
	})
}

func TestObserveBadInput(t *testing.T) {
	cases := map[string]struct {
		files  map[string]string
		statfs mounts.Statfs
		want   string
	}{
		"no mount table":                    {nil, half, "reading what is mounted"},
		"a mount table that is cut short":   {map[string]string{"proc/1/mountinfo": "21 1 8:1 / /"}, half, "reading what is mounted"},
		"a mount table of rubbish":          {map[string]string{"proc/1/mountinfo": "\x00\xff\x01 x y z a b c d e f\n"}, half, "reading what is mounted"},
		"a mount that is not reached there": {map[string]string{"proc/1/mountinfo": "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"}, func(string) (mounts.Space, error) { return mounts.Space{}, unix.ENOENT }, "HostToContainer"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := newWith(machine(t, nil, tc.files), tc.statfs).Observe(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestPlacesOfConfiguration(t *testing.T) {
	cases := map[string]struct {
		file, text, want string
	}{
		"containerd's root stands before its tables":        {"etc/containerd/config.toml", "# c\nversion = 3\nroot = \"/big\"\n[plugins]\nroot = \"/no\"\n", "/big"},
		"a root in one of containerd's tables is another's": {"etc/containerd/config.toml", "version = 3\n[plugins.x]\nroot = \"/big\"\n", ""},
		"CRI-O's root":                      {"etc/crio/crio.conf", "[crio]\nroot = \"/big\"\n", "/big"},
		"etcd's folder in a static pod":     {"etc/kubernetes/manifests/etcd.yaml", "    - --data-dir=/big\n", "/big"},
		"etcd's folder in its environment":  {"etc/etcd.env", "ETCD_DATA_DIR=/big\n", "/big"},
		"docker's configuration is rubbish": {"etc/docker/daemon.json", "{", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			host := machine(t, []string{"big"}, map[string]string{tc.file: tc.text})
			got := ""
			for _, p := range places(host) {
				if p.path != "/" {
					got = p.path
				}
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
