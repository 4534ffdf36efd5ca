package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/agent/cluster"
	"github.com/maek-dev/maek/internal/agent/state"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/logs"
)

func TestLookTogether(t *testing.T) {
	watch := func(context.Context, func()) error { return nil }
	own := func(context.Context, func()) error { return os.ErrClosed }
	watched := []monitor.Monitor{{Name: "clock"}, {Name: "cri", Watch: own}, {Name: "kubelet"}, {Name: "units", Watch: watch}}
	lookTogether(watched, "units", "kubelet", "cri", "absent")
	if watched[0].Watch != nil {
		t.Error("clock looks too")
	}
	if err := watched[1].Watch(t.Context(), nil); err == nil {
		t.Error("cri lost its own watch")
	}
	if watched[2].Watch == nil {
		t.Error("kubelet does not look")
	}
	lookTogether(watched[:1], "units", "clock")
	if watched[0].Watch != nil {
		t.Error("clock looks when nobody watches")
	}
}

func TestUnwritten(t *testing.T) {
	maps := `00400000-00401000 r-xp 00000000 00:171 131284 /usr/local/bin/maek-agent
00401000-00402000 r--p 00001000 00:171 131284 /usr/local/bin/maek-agent
00402000-00403000 rw-p 00002000 00:171 131284 /usr/local/bin/maek-agent
00403000-00404000 rw-p 00000000 00:00 0
7f0000000000-7f0000001000 r--p 00000000 08:01 7 /usr/lib/locale
`
	got, err := unwritten(strings.NewReader(maps), "/usr/local/bin/maek-agent")
	if err != nil {
		t.Fatal(err)
	}
	want := []addresses{{0x400000, 0x401000}, {0x401000, 0x402000}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(addresses{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := unwritten(strings.NewReader("rubbish-x r--p 0 0 0 file\n"), "file"); err == nil {
		t.Error("rubbish was taken for addresses")
	}
}

// TestGiveBack gives the test's own program back, and goes on.
func TestGiveBack(t *testing.T) {
	before := resident(t)
	if err := giveBack(); err != nil {
		t.Fatal(err)
	}
	if after := resident(t); after >= before {
		t.Errorf("%d KiB of files were mapped before, %d after", before, after)
	}
}

// resident is how much of files is mapped, in KiB.
func resident(t *testing.T) (kib int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			for _, digit := range rest {
				if digit >= '0' && digit <= '9' {
					kib = 10*kib + int(digit-'0')
				}
			}
		}
	}
	return kib
}

func TestTheSocketOfAnEarlierProcessIsNotInTheWay(t *testing.T) {
	path := t.TempDir() + "/run/agent.sock"
	for range 2 {
		l, err := listenSocket(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v: others than root can ask", info.Mode())
		}
		// A process that is killed leaves its socket behind.
		if unix, ok := l.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(false)
		}
		_ = l.Close()
	}
}

func TestTheClustersDomain(t *testing.T) {
	for name, tc := range map[string]struct{ config, want string }{
		"no file":       {"", "cluster.local"},
		"its own":       {"kind: KubeletConfiguration\nclusterDomain: corp.example\n", "corp.example"},
		"none in there": {"kind: KubeletConfiguration\n", "cluster.local"},
		"rubbish":       {"\x00\xff: [", "cluster.local"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if tc.config != "" {
				if err := os.MkdirAll(root+"/var/lib/kubelet", 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(root+kubeletConfig, []byte(tc.config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := clusterDomain(monitor.Host{Root: root}); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// TestTheAPIServerIsReachedWithoutItsService is about a machine whose service proxy is what is broken.
func TestTheAPIServerIsReachedWithoutItsService(t *testing.T) {
	endpoint, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = endpoint.Close() }()
	folder, err := state.Open(t.TempDir(), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	known := fmt.Sprintf(`{"services":{"kubernetes":{"addresses":["127.0.0.9"],"ports":["TCP/443"]}},"endpoints":{"kubernetes":{"ready":[{"at":%q}]}}}`, endpoint.Addr())
	if err := folder.Save("cluster", []byte(known)); err != nil {
		t.Fatal(err)
	}
	view, err := cluster.New(cluster.Options{Node: "w1", Store: folder, Now: clock.RealClock{}.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{view: view}
	conn, err := a.dial(t.Context(), "tcp", "127.0.0.9:1")
	if err != nil {
		t.Fatalf("by its Service's address: %v", err)
	}
	defer func() { _ = conn.Close() }()
	if conn.RemoteAddr().String() != endpoint.Addr().String() {
		t.Errorf("reached %s, want %s", conn.RemoteAddr(), endpoint.Addr())
	}
	if _, err := a.dial(t.Context(), "tcp", "127.0.0.8:1"); err == nil {
		t.Error("another address led to the API server")
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	root := t.TempDir()
	for name, write := range map[string]func(string) error{
		"folder": func(at string) error { return os.Mkdir(at, 0o700) },
		"file":   func(at string) error { return os.WriteFile(at, nil, 0o600) },
	} {
		if err := write(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		logs logs.Options
		want string
	}{
		"nothing is asked for":               {},
		"a folder that is there":             {logs: logs.Options{ProblemDetector: "/folder", RunPlugins: true}},
		"a folder that is not there":         {logs: logs.Options{ProblemDetector: "/absent"}, want: "--node-problem-detector-config: there is no folder /absent on this machine"},
		"a file":                             {logs: logs.Options{ProblemDetector: "/file"}, want: "--node-problem-detector-config: the folder /file of this machine cannot be read"},
		"plugins of files that nobody named": {logs: logs.Options{RunPlugins: true}, want: "name their folder with --node-problem-detector-config"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := Options{Root: root, Logs: tc.logs}.Validate()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
