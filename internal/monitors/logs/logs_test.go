package logs

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

type store map[string][]byte

func (s store) Load(name string) ([]byte, error) {
	if data, ok := s[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (s store) Save(name string, data []byte) error {
	s[name] = data
	return nil
}

// machine is a host without a journal whose clock is at hand.
type machine struct {
	monitor.Host

	now time.Time
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{now: noon}
	m.Host = monitor.Host{Root: t.TempDir(), Node: "w1", Now: func() time.Time { return m.now }, Store: store{}}
	return m
}

func (m *machine) add(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(m.Root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// look is what a monitor says, without what it says of the logs themselves.
func look(t *testing.T, m monitor.Monitor) map[snapshot.EvidenceKey]string {
	t.Helper()
	evidence, err := m.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[snapshot.EvidenceKey]string{}
	for _, e := range evidence {
		if !e.Key.Fits("log/source/*/*") {
			out[e.Key] = e.Value
		}
	}
	return out
}

const kernLog = "var/log/kern.log"

func kernel(at time.Time, text string) string {
	return at.Format(time.Stamp) + " w1 kernel: [ 1234.567890] " + text + "\n"
}

func TestWhatTheKernelSaidStandsUntilItIsOver(t *testing.T) {
	m := newMachine(t)
	m.add(t, kernLog, kernel(noon.Add(-2*time.Hour), "INFO: task old:1 blocked for more than 120 seconds.")+
		kernel(noon.Add(-time.Minute), "INFO: task dockerd:77 blocked for more than 120 seconds.")+
		kernel(noon.Add(-time.Minute), "something else"))
	logs := New(m.Host)
	want := map[snapshot.EvidenceKey]string{
		"log/task-hung/count": "1", "log/task-hung/subject": "dockerd", "log/task-hung/source": "/var/log/kern.log",
		"log/task-hung/line":  "INFO: task dockerd:77 blocked for more than 120 seconds.",
		"log/task-hung/first": "2026-11-21T11:59:00Z", "log/task-hung/last": "2026-11-21T11:59:00Z",
	}
	if diff := cmp.Diff(want, look(t, logs)); diff != "" {
		t.Fatalf("at first (-want +got):\n%s", diff)
	}
	m.now = noon.Add(2 * time.Minute)
	m.add(t, kernLog, kernel(m.now, "INFO: task sh:78 blocked for more than 241 seconds."))
	got := look(t, logs)
	if got["log/task-hung/count"] != "2" || got["log/task-hung/subject"] != "sh,dockerd" {
		t.Errorf("a second line: %v", got)
	}
	m.now = noon.Add(13 * time.Minute)
	if got := look(t, logs); len(got) != 0 {
		t.Errorf("long after: %v, want nothing", got)
	}
}

func TestAnAnswerEndsWhatStood(t *testing.T) {
	m := newMachine(t)
	m.add(t, kernLog, kernel(noon, "nfs: server nas not responding, still trying")+kernel(noon, "nfs: server other not responding, still trying"))
	logs := New(m.Host)
	if got := look(t, logs)["log/nfs-server-silent/subject"]; got != "other,nas" {
		t.Fatalf("subject %q", got)
	}
	m.add(t, kernLog, kernel(noon, "nfs: server nas OK"))
	if got := look(t, logs)["log/nfs-server-silent/subject"]; got != "other" {
		t.Fatalf("after one answered: %q", got)
	}
	m.add(t, kernLog, kernel(noon, "nfs: server other OK"))
	if got := look(t, logs); len(got) != 0 {
		t.Errorf("after both answered: %v", got)
	}
}

func TestAFileSystemIsReadOnlyAsLongAsItIs(t *testing.T) {
	m := newMachine(t)
	const mounts = "36 35 8:17 / /data rw,relatime shared:1 - ext4 /dev/sdb1 %s\n37 35 253:3 / /var rw,relatime shared:2 - ext4 /dev/mapper/vg-var %s\n"
	table := filepath.Join(m.Root, "proc/1/mountinfo")
	m.add(t, "proc/1/mountinfo", fmt.Sprintf(mounts, "ro", "ro"))
	m.add(t, "sys/class/block/dm-3/dm/name", "vg-var\n")
	m.add(t, kernLog, kernel(noon, "EXT4-fs (sdb1): Remounting filesystem read-only")+kernel(noon, "EXT4-fs (dm-3): Remounting filesystem read-only"))
	logs := New(m.Host)
	if got := look(t, logs)["log/filesystem-read-only/subject"]; got != "dm-3,sdb1" {
		t.Fatalf("subject %q", got)
	}
	if err := os.WriteFile(table, fmt.Appendf(nil, mounts, "rw", "ro"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := look(t, logs)["log/filesystem-read-only/subject"]; got != "dm-3" {
		t.Errorf("one mounted to write again: %q", got)
	}
	if err := os.WriteFile(table, fmt.Appendf(nil, mounts, "rw", "rw"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := look(t, logs); len(got) != 0 {
		t.Errorf("both mounted to write again: %v", got)
	}
}

func TestStartsThatWereOrderedAreNotCounted(t *testing.T) {
	for name, tc := range map[string]struct {
		ordered bool
		want    string
	}{"by itself": {false, "6"}, "by order": {true, ""}} {
		m := newMachine(t)
		for i := range 6 {
			at := noon.Add(time.Duration(i-6) * time.Minute).Format(time.RFC3339)
			if tc.ordered {
				m.add(t, "var/log/syslog", at+" w1 systemd[1]: Stopping kubelet.service - kubelet: The Kubernetes Node Agent...\n")
			}
			m.add(t, "var/log/syslog", at+" w1 systemd[1]: Started kubelet.service - kubelet: The Kubernetes Node Agent.\n")
		}
		if got := look(t, New(m.Host))["log/kubelet-restarts/count"]; got != tc.want {
			t.Errorf("%s: %q starts, want %q", name, got, tc.want)
		}
	}
}

func TestTheNextProcessGoesOnWhereThisOneEnded(t *testing.T) {
	m := newMachine(t)
	m.add(t, kernLog, kernel(noon, "I/O error, dev sdb, sector 2048 op 0x0:(READ)"))
	look(t, New(m.Host))
	m.now = noon.Add(2 * time.Minute)
	m.add(t, kernLog, kernel(m.now, "I/O error, dev sdc, sector 2048 op 0x0:(READ)"))
	got := look(t, New(m.Host))
	if got["log/disk-error/count"] != "2" || got["log/disk-error/first"] != "2026-11-21T12:00:00Z" || got["log/disk-error/subject"] != "sdc,sdb" {
		t.Errorf("after a restart: %v", got)
	}
	m.Store.(store)[stored] = []byte("rubbish")
	if _, err := New(m.Host).Observe(t.Context()); err == nil {
		t.Error("a store of rubbish was not told")
	}
}

func TestPodsOfTheControlPlaneAreRead(t *testing.T) {
	m := newMachine(t)
	m.add(t, kernLog, kernel(noon, "x"))
	at := noon.Add(-time.Minute).Format(time.RFC3339Nano)
	const refused = `grpc: addrConn.createTransport failed to connect to {Addr: "127.0.0.1:2379", ServerName: "x", }. Err: refused`
	api := "var/log/pods/kube-system_kube-apiserver-cp1_abc/kube-apiserver/"
	m.add(t, api+"0.log", at+" stderr F an older run\n")
	for range 5 {
		m.add(t, api+"1.log", at+" stderr P W1121 11:59:00.000000       1 logging.go:55] "+refused[:40]+"\n"+at+" stderr F "+refused[40:]+"\n")
		m.add(t, "var/log/pods/shop_mine_def/kube-apiserver/0.log", at+" stderr F W1121 11:59:00.000000       1 logging.go:55] "+refused+"\n")
	}
	m.add(t, "var/log/pods/kube-system_kube-scheduler-cp1_abc/kube-scheduler/0.log",
		at+` stderr F {"ts":1763726340000,"caller":"leader/leader.go:441","msg":"Failed to renew lease","err":"context deadline exceeded","lock":"kube-system/kube-scheduler"}`+"\n"+
			at+` stderr F {"ts":1763726340000,"caller":"leader/leader.go:441","msg":"Failed to renew lease","err":"context deadline exceeded","lock":"kube-system/kube-scheduler"}`+"\n")
	got := look(t, New(m.Host))
	for key, want := range map[snapshot.EvidenceKey]string{
		"log/apiserver-etcd-unreachable/count":                                           "5",
		"log/apiserver-etcd-unreachable/subject":                                         "127.0.0.1:2379",
		"log/apiserver-etcd-unreachable/source":                                          "kube-system/kube-apiserver-cp1/kube-apiserver 1.log",
		"log/leader-lease-lost/count":                                                    "2",
		snapshot.KeyOf("log", "klog", "kube-scheduler", "leader/leader.go:441", "count"): "2",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}

func TestAFloodCostsOneEvidence(t *testing.T) {
	m := newMachine(t)
	line := kernel(noon, "nf_conntrack: nf_conntrack: table full, dropping packet")
	m.add(t, kernLog, strings.Repeat(line, firstRead/len(line)))
	logs := New(m.Host)
	look(t, logs)
	m.add(t, kernLog, strings.Repeat(line, 200_000))
	got := look(t, logs)
	if n := len(got["log/conntrack-full/count"]); n < 6 || len(got) > 6 {
		t.Errorf("%d values: %v", len(got), got)
	}
}

func TestAMachineThatShowsNoLogSaysSo(t *testing.T) {
	m := newMachine(t)
	evidence, err := New(m.Host).Observe(t.Context())
	if err == nil || !strings.Contains(err.Error(), "CAP_SYSLOG") || len(evidence) != 0 {
		t.Errorf("%v, %v", evidence, err)
	}
}

// TestAHealthyWorkerTellsOfNothing reads what a worker of the lab logged while it was started: what is
// said by a healthy one must not stand.
func TestAHealthyWorkerTellsOfNothing(t *testing.T) {
	f, err := os.Open("journal/testdata/compact.journal.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	m.now = time.Date(2026, 11, 21, 19, 40, 10, 0, time.UTC)
	m.add(t, kernLog, "")
	m.add(t, "etc/machine-id", "e997dce732bb44d5975f51dd72c44276\n")
	m.add(t, "var/log/journal/e997dce732bb44d5975f51dd72c44276/system.journal", string(data))
	logs := New(m.Host)
	for key, value := range look(t, logs) {
		if !key.Fits("log/klog/*/*/*") {
			t.Errorf("%s = %s", key, value)
		}
	}
}

func TestFollowGivesAllLogsInOrder(t *testing.T) {
	m := newMachine(t)
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	m.add(t, kernLog, kernel(at(-9), "too old")+kernel(at(2), "second")+kernel(at(4), "fourth"))
	m.add(t, "var/log/pods/kube-system_etcd-cp1_abc/etcd/0.log", at(1).Format(time.RFC3339Nano)+" stderr F first\n"+at(3).Format(time.RFC3339Nano)+" stderr F third\n")
	m.now = at(5)
	var got []string
	err := Follow(t.Context(), m.Host, noon, func(err error) { t.Log(err) }, func(l Line) bool {
		got = append(got, l.Text)
		if len(got) == 4 {
			m.add(t, kernLog, kernel(at(6), "live"))
		}
		return len(got) < 5
	})
	if diff := cmp.Diff([]string{"first", "second", "third", "fourth", "live"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Follow(ended, m.Host, noon, func(error) {}, func(Line) bool { return true }); err != nil {
		t.Errorf("with a context that ended: %v", err)
	}
	if err := Follow(t.Context(), monitor.Host{Root: t.TempDir(), Now: m.Now}, noon, func(error) {}, func(Line) bool { return true }); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("without any log: %v", err)
	}
}
