package etcd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
)

func TestDiscover(t *testing.T) {
	type summary struct {
		Source, Path, Name, ClientURL, MetricsURL, Quota string
		Servers                                          []string
		Pair                                             string
	}
	for name, tc := range map[string]struct {
		machine string
		want    summary
	}{
		"kubeadm's static pods": {machine: "kubeadm", want: summary{
			Source: fromStaticPod, Path: "/etc/kubernetes/manifests/etcd.yaml", Name: "cp1", ClientURL: "https://127.0.0.1:2379", MetricsURL: "http://127.0.0.1:2381",
			Servers: []string{"https://127.0.0.1:2379"}, Pair: "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
		}},
		"only a kube-apiserver, whose etcd is elsewhere": {machine: "external", want: summary{
			Servers: []string{"https://10.0.0.21:2379", "https://10.0.0.22:2379"}, Pair: "/etc/ssl/etcd/client.pem",
		}},
		"a unit with a file of settings": {machine: "kubespray", want: summary{
			Source: fromUnit, Path: "/etc/etcd.env", Name: "etcd1", ClientURL: "https://127.0.0.1:2379", MetricsURL: "https://127.0.0.1:2379", Quota: "8589934592", Pair: "/etc/ssl/etcd/ssl/healthcheck-client.crt",
		}},
		"k3s' embedded etcd": {machine: "k3s", want: summary{
			Source: fromFile, Path: "/var/lib/rancher/k3s/server/db/etcd/config", Name: "node-1a2b3c4d", ClientURL: "https://127.0.0.1:2379", MetricsURL: "http://127.0.0.1:2381",
			Pair: "/var/lib/rancher/k3s/server/tls/etcd/healthcheck-client.crt",
		}},
		"a shell that starts etcd": {machine: "shell", want: summary{
			Source: fromStaticPod, Path: "/etc/kubernetes/manifests/etcd.json", Name: "etcd-a", ClientURL: "http://127.0.0.1:2379", MetricsURL: "http://127.0.0.1:2379",
		}},
		"a process that no file tells of; of two flags the last wins": {machine: "process", want: summary{
			Source: fromProcess, Path: "812", Name: "second", ClientURL: "http://127.0.0.1:2379", MetricsURL: "http://127.0.0.1:2379",
		}},
		"a worker":                 {machine: "worker"},
		"rubbish is not etcd":      {machine: "rubbish"},
		"a machine without a file": {machine: "none"},
	} {
		t.Run(name, func(t *testing.T) {
			host := monitor.Host{Root: filepath.Join("testdata", "machines", tc.machine)}
			_, statErr := os.Stat(filepath.Join(host.Root, "proc"))
			f, err := discover(host, statErr == nil)
			if err != nil {
				t.Fatal(err)
			}
			var got summary
			if f.etcd != nil {
				got = summary{
					Source: f.etcd.source, Path: f.etcd.path, Name: f.etcd.flags["name"], ClientURL: f.etcd.clientURL(), MetricsURL: f.etcd.metricsURL(), Quota: f.etcd.flags["quota-backend-bytes"],
				}
			}
			if f.server != nil {
				got.Servers = f.server.flags.list("etcd-servers")
			}
			if pairs := clientPairs(host, f); len(pairs) > 0 {
				got.Pair = pairs[0].cert
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("discover (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProcessState(t *testing.T) {
	host := monitor.Host{Root: filepath.Join("testdata", "machines", "process")}
	for name, tc := range map[string]struct {
		etcd flags
		want string
	}{
		"stopped by a signal":           {etcd: flags{"name": "second"}, want: "T"},
		"another member's does not run": {etcd: flags{"name": "third"}, want: "none"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := processState(host, &program{flags: tc.etcd})
			if err != nil || got != tc.want {
				t.Errorf("processState = %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestUnreadableFiles(t *testing.T) {
	root := t.TempDir()
	manifest := filepath.Join(root, "etc/kubernetes/manifests/etcd.yaml")
	if err := os.MkdirAll(filepath.Dir(manifest), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte(strings.Repeat("#", smallFile+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := discover(monitor.Host{Root: root}, false); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("discover of a huge manifest = %v, want an error that says so", err)
	}
}

func TestP99(t *testing.T) {
	read := func(at time.Duration) *sample {
		t.Helper()
		f, err := os.Open("testdata/metrics.txt")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		s, err := parse(f, time.Unix(0, 0).Add(at))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	const fsync = "etcd_disk_wal_fsync_duration_seconds"
	first, second := read(0), read(time.Minute)
	// 3344 writes were recorded: the 3311th lies between the 3293 that took at most 4 ms and the 3314
	// that took at most 8 ms.
	if got, ok := first.p99(fsync, nil); !ok || got < 0.004 || got > 0.008 {
		t.Errorf("p99 since the start = %v, %v; want between 4 ms and 8 ms", got, ok)
	}
	if got, ok := second.p99(fsync, first); ok {
		t.Errorf("p99 of a minute without writes = %v, want none", got)
	}
	for i := range second.histograms[fsync] {
		if second.histograms[fsync][i].upTo >= 0.512 {
			second.histograms[fsync][i].count += 200
		}
	}
	if got, ok := second.p99(fsync, first); !ok || got < 0.256 || got > 0.512 {
		t.Errorf("p99 of a slow minute = %v, %v; want between 256 ms and 512 ms", got, ok)
	}
	second.values["process_start_time_seconds"]++
	if n, ok := second.grown("etcd_server_leader_changes_seen_total", first); ok {
		t.Errorf("a counter of another process grew by %v, want no answer", n)
	}
}

func TestBadMetrics(t *testing.T) {
	if _, err := parse(strings.NewReader("etcd_server_has_leader one\n"), time.Time{}); err == nil {
		t.Error("parse of a value that is no number succeeds, want an error")
	}
	s, err := parse(strings.NewReader("<html>not found</html>\n"), time.Time{})
	if err != nil || len(s.values) > 0 {
		t.Errorf("parse of a web page = %v, %v; want nothing", s, err)
	}
}
