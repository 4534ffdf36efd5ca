package components

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/staticpods"
)

// now is the clock of the machines in these tests.
func now() time.Time { return time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC) }

func write(t *testing.T, root, name, content string) {
	t.Helper()
	at := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// scheduler is a control-plane machine whose scheduler's manifest names the port of a test.
func scheduler(t *testing.T, address string) monitor.Host {
	t.Helper()
	root := t.TempDir()
	manifest, err := os.ReadFile("../staticpods/testdata/manifests/kube-scheduler.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	write(t, root, "etc/kubernetes/manifests/kube-scheduler.yaml", strings.Replace(string(manifest), "containerPort: 10259", "containerPort: "+port, 1))
	return monitor.Host{Root: root, Now: now}
}

func look(t *testing.T, host monitor.Host) map[string]string {
	t.Helper()
	m := New(host)
	evidence, err := m.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range evidence {
		documented := false
		for _, k := range m.Keys {
			documented = documented || e.Key.Fits(k.Pattern)
		}
		if !documented {
			t.Errorf("key %s is not documented", e.Key)
		}
		if strings.HasSuffix(string(e.Key), "latency-seconds") {
			continue
		}
		value := e.Value
		if e.At != nil {
			value += " at " + e.At.UTC().Format(time.RFC3339)
		}
		out[strings.TrimPrefix(string(e.Key), "component/")] = value
	}
	return out
}

func TestASchedulerThatAnswers(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	host := scheduler(t, server.Listener.Addr().String())
	write(t, host.Root, "proc/429/comm", "kube-scheduler\n")
	want := map[string]string{
		"kube-scheduler/from": "/etc/kubernetes/manifests/kube-scheduler.yaml", "kube-scheduler/endpoint": server.URL + "/healthz",
		"kube-scheduler/outcome": "answered", "kube-scheduler/status": "200", "kube-scheduler/processes": "1",
	}
	if diff := cmp.Diff(want, look(t, host)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestASchedulerThatEndsSaysWhy(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.Listener.Addr().String()
	server.Close()
	const folder = "var/log/pods/kube-system_kube-scheduler-cp1_ae2587bf8758db04d19468406b672174/kube-scheduler/"
	tests := map[string]struct{ log, want string }{
		"as the CRI writes it": {
			"2026-11-21T20:06:05.1Z stdout F Flags:\n2026-11-21T20:06:06.2Z stderr F Error: unknown flag: --no-such-flag\n",
			"Error: unknown flag: --no-such-flag at 2026-11-21T20:06:06Z",
		},
		"as Docker writes it": {
			`{"log":"Error: unknown flag: --no-such-flag\n","stream":"stderr","time":"2026-11-21T20:06:06.2Z"}` + "\n",
			"Error: unknown flag: --no-such-flag at 2026-11-21T20:06:06Z",
		},
		"the end of a long log": {
			strings.Repeat("2026-11-21T20:06:05.1Z stdout F I1121 20:06:05.100000       1 server.go:1] \"going on\"\n", 1000) +
				"2026-11-21T20:06:06.2Z stderr F E1121 20:06:06.200000       1 run.go:72] \"command failed\" err=\"no such file\"\n",
			"command failed: no such file at 2026-11-21T20:06:06Z",
		},
		"binary rubbish": {"\x00\x01\xff\n", "\x00\x01\xff"},
		"an empty log":   {"", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			host := scheduler(t, address)
			write(t, host.Root, folder+"3.log", tc.log)
			got := look(t, host)
			if got["kube-scheduler/outcome"] != "refused" || got["kube-scheduler/last-error"] != tc.want {
				t.Errorf("outcome %q, last error %q, want %q", got["kube-scheduler/outcome"], got["kube-scheduler/last-error"], tc.want)
			}
		})
	}
}

func TestAnAPIServerThatIsNotReadyNamesTheChecks(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte("[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\nreadyz check failed"))
		}
	}))
	defer server.Close()
	host := scheduler(t, server.Listener.Addr().String())
	manifest, err := os.ReadFile(filepath.Join(host.Root, "etc/kubernetes/manifests/kube-scheduler.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, host.Root, "etc/kubernetes/manifests/kube-apiserver.yaml", strings.ReplaceAll(string(manifest), "kube-scheduler", "kube-apiserver"))
	got := look(t, host)
	if got["kube-apiserver/status"] != "200" || got["kube-apiserver/ready-status"] != "500" || got["kube-apiserver/ready-body"] != "[-]etcd failed: reason withheld" {
		t.Errorf("%v", got)
	}
}

func TestWhatShouldRun(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  map[string]string
	}{
		"a worker with kube-proxy as a unit": {
			map[string]string{"etc/systemd/system/kube-proxy.service": "[Service]\n"}, map[string]string{"kube-proxy": "kube-proxy.service"},
		},
		"a worker with a pod of kube-proxy": {
			map[string]string{"proc/7/comm": "kube-proxy\n"}, map[string]string{"kube-proxy": "its pod"},
		},
		"a manifest that cannot be read still says that it should run": {
			map[string]string{"etc/kubernetes/manifests/kube-scheduler.yaml": "bad"}, map[string]string{"kube-scheduler": "/etc/kubernetes/manifests/kube-scheduler.yaml"},
		},
		"an etcd of a unit is found elsewhere": {map[string]string{"usr/lib/systemd/system/etcd.service": "[Service]\n"}, map[string]string{}},
		"a machine with nothing":               {nil, map[string]string{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			host := monitor.Host{Root: t.TempDir(), Now: now}
			for file, content := range tc.files {
				write(t, host.Root, file, content)
			}
			w := &watcher{host: host, manifests: staticpods.NewReader(host), folder: func() string { return "/etc/kubernetes/manifests" }}
			parts, err := w.expected()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, p := range parts {
				got[p.name] = p.from
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
