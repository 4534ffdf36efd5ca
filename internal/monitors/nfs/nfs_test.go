//go:build linux

package nfs

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/mounts"
)

// machine is a host with three NFS mounts of two servers.
func machine(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	stats, err := os.ReadFile("testdata/proc/1/mountstats")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"proc/1/mountstats": string(stats),
		"proc/1/mountinfo": `21 1 8:1 / / rw - ext4 /dev/sda1 rw
25 21 0:40 / /mnt/data rw - nfs4 10.0.0.9:/export rw,vers=4.2,hard
26 21 0:41 / /var/lib/kubelet/pods/1/volumes/kubernetes.io~nfs/pv rw - nfs4 10.0.0.9:/export/pv rw,hard
27 21 0:42 / /mnt/six rw - nfs [fd00::9]:/x rw,soft
`,
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never, asked := make(chan struct{}), map[string]int{}
		var mu sync.Mutex
		defer close(never)
		m := newWith(monitor.Host{Root: machine(t), Now: time.Now}, func(path string) (mounts.Space, error) { //nolint:forbidigo // the bubble's own clock
			mu.Lock()
			asked[filepath.Base(path)]++
			mu.Unlock()
			if strings.HasSuffix(path, "/mnt/data") {
				<-never
			}
			return mounts.Space{}, unix.ESTALE
		})
		want := map[string]string{
			"mount//mnt/data server": "10.0.0.9", "mount//mnt/data export": "/export", "mount//mnt/data soft": "false",
			"mount//var/lib/kubelet/pods/1/volumes/kubernetes.io~nfs/pv server": "10.0.0.9",
			"mount//var/lib/kubelet/pods/1/volumes/kubernetes.io~nfs/pv export": "/export/pv",
			"mount//var/lib/kubelet/pods/1/volumes/kubernetes.io~nfs/pv soft":   "false",
			"mount//mnt/six server": "fd00::9", "mount//mnt/six export": "/x", "mount//mnt/six soft": "true",
			"server/10.0.0.9 stuck": "true since 00:00:00", "server/fd00::9 error": "stale file handle since 00:00:05",
			"server/10.0.0.9 requests": "1309", "server/10.0.0.9 timeouts": "4",
		}
		for range 2 {
			evidence, err := m.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, e := range evidence {
				s := e.Key.Segments()
				got[s[1]+"/"+s[2]+" "+s[3]] = e.Value
				if e.At != nil {
					got[s[1]+"/"+s[2]+" "+s[3]] += e.At.UTC().Format(" since 15:04:05")
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("evidence (-want +got):\n%s", diff)
			}
			time.Sleep(time.Minute) //nolint:forbidigo // the bubble's own clock
		}
		if diff := cmp.Diff(map[string]int{"data": 1, "six": 2}, asked); diff != "" {
			t.Errorf("how often mounts were asked (-want +got):\n%s", diff)
		}
	})
}

func TestObserveNone(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "proc/1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc/1/mountinfo"), []byte("21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	evidence, err := New(monitor.Host{Root: root, Now: time.Now}).Observe(t.Context()) //nolint:forbidigo // never asked
	if err != nil || len(evidence) != 0 {
		t.Errorf("a machine without NFS says %v, %v", evidence, err)
	}
}
