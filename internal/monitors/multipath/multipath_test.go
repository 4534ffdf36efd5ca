package multipath

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	wwid   = "360000000000000000e00000000010001"
	prefix = "multipath/map/mpatha/"
)

var now = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)

// machine is a host with the multipath device of the recorded answers.
func machine(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"sys/block/dm-0/dm/name": "mpatha\n", "sys/block/dm-0/dm/uuid": "mpath-" + wwid + "\n",
		"sys/block/dm-0/slaves/sdb/x": "", "sys/block/dm-0/slaves/sdc/x": "",
		"sys/block/sdb/device/state": "running\n", "sys/block/sdc/device/state": "running\n",
		"sys/block/dm-1/dm/name": "vg-root\n", "sys/block/dm-1/dm/uuid": "LVM-abc\n",
	} {
		write(t, root, name, text)
	}
	return root
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// daemon answers as multipathd does, with what respond gives for a command.
func daemon(t *testing.T, root string, respond func(command string) []byte) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(root, "mp"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			var head [8]byte
			if _, err := io.ReadFull(conn, head[:]); err == nil {
				command := make([]byte, binary.NativeEndian.Uint64(head[:]))
				if _, err := io.ReadFull(conn, command); err == nil {
					_, _ = conn.Write(respond(string(command)))
				}
			}
			_ = conn.Close()
		}
	}()
}

// framed is a text as multipathd sends it.
func framed(text []byte) []byte {
	return append(append(binary.NativeEndian.AppendUint64(nil, uint64(len(text)+1)), text...), 0)
}

func values(evidence []snapshot.MachineEvidence) map[string]string {
	out := map[string]string{}
	for _, e := range evidence {
		value := e.Value
		if e.At != nil {
			value += e.At.UTC().Format(" since 15:04")
		}
		out[strings.TrimPrefix(string(e.Key), prefix)] = value
	}
	return out
}

func TestObserveRecorded(t *testing.T) {
	root := machine(t)
	recorded := "two-paths.json"
	daemon(t, root, func(command string) []byte {
		if command != "show maps json\x00" {
			t.Errorf("multipathd is asked %q", command)
		}
		data, err := os.ReadFile(filepath.Join("testdata", recorded))
		if err != nil {
			t.Error(err)
		}
		return framed(data)
	})
	m := newWith(monitor.Host{Root: root, Now: func() time.Time { return now }}, "@maek-test-no-such", "/mp")
	steps := []struct {
		recorded string
		want     map[string]string
	}{
		{"two-paths.json", map[string]string{
			"multipath/daemon": "answers", "uuid": wwid, "device": "dm-0", "paths": "2", "paths-seen": "2", "usable": "2", "queues": "false",
			"path/sdb": "ready", "path/sdc": "ready", "host/sdb": "10.99.0.1", "host/sdc": "10.99.1.1",
		}},
		{"one-path-lost.json", map[string]string{
			"multipath/daemon": "answers", "uuid": wwid, "device": "dm-0", "paths": "2", "paths-seen": "2", "usable": "1 since 20:00", "queues": "false",
			"path/sdb": "ready", "path/sdc": "faulty", "host/sdb": "10.99.0.1",
		}},
	}
	for _, s := range steps {
		recorded = s.recorded
		evidence, err := m.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.want, values(evidence)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.recorded, diff)
		}
	}
}

func TestObserveSilentDaemon(t *testing.T) {
	cases := map[string]struct {
		respond func(string) []byte
		want    string
	}{
		"nobody listens":                 {nil, "host's network namespace"},
		"an answer that is cut short":    {func(string) []byte { return framed([]byte("{}"))[:9] }, "reading the answer"},
		"an answer that is no JSON":      {func(string) []byte { return framed([]byte("timeout")) }, "reading multipathd's answer"},
		"a length that is beyond reason": {func(string) []byte { return []byte(strings.Repeat("\xff", 8)) }, "none of multipathd's"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			root := machine(t)
			write(t, root, "sys/block/sdc/device/state", "transport-offline\n")
			if tc.respond != nil {
				daemon(t, root, tc.respond)
			}
			evidence, err := newWith(monitor.Host{Root: root, Now: func() time.Time { return now }}, "@maek-test-no-such", "/mp").Observe(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
			want := map[string]string{
				"multipath/daemon": "silent", "uuid": wwid, "device": "dm-0", "paths": "2", "paths-seen": "2", "usable": "1",
				"path/sdb": "running", "path/sdc": "transport-offline",
			}
			if diff := cmp.Diff(want, values(evidence)); diff != "" {
				t.Errorf("what the kernel tells (-want +got):\n%s", diff)
			}
		})
	}
}

func TestObserveNone(t *testing.T) {
	evidence, err := New(monitor.Host{Root: t.TempDir()}).Observe(t.Context())
	if err != nil || len(evidence) != 0 {
		t.Errorf("a machine without multipath says %v, %v", evidence, err)
	}
}
