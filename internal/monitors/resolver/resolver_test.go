package resolver

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

func TestFilesAreReadAsTheLibraryDoes(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       config
	}{
		{
			"a usual one", "# by DHCP\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch a.example b.example\noptions ndots:2 edns0\n",
			config{[]string{"10.0.0.1", "fe80::1%eth0"}, []string{"a.example", "b.example"}, []string{"ndots:2", "edns0"}},
		},
		{"of search lines the last counts", "domain a.example\nsearch b.example\n", config{search: []string{"b.example"}}},
		{"what is no address is passed over", "nameserver dns.example\nnameserver\n; nameserver 10.0.0.9\n", config{}},
		{"cut short", "nameserver 10.0.0.1\nnamese", config{servers: []string{"10.0.0.1"}}},
		{"rubbish", "\x00\xff\x01 \x02\n", config{}},
		{"empty", "", config{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parse(tc.text), cmp.AllowUnexported(config{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// server answers all questions with a code, at 127.0.0.1, and returns its port.
func server(t *testing.T, code int) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(r, code))
	})}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown() })
	_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	return port
}

func observe(t *testing.T, w *watch) map[snapshot.EvidenceKey]string {
	t.Helper()
	all, err := w.observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[snapshot.EvidenceKey]string{}
	for _, e := range all {
		if !e.Key.Fits("resolver/server/*/milliseconds") && !e.Key.Fits("resolver/server/*/error") {
			got[e.Key] = e.Value
		}
	}
	return got
}

func TestServersAreAskedFromHere(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o750); err != nil {
		t.Fatal(err)
	}
	// 127.0.0.1 answers, that it refuses; nothing listens at 127.0.0.2.
	if err := os.WriteFile(filepath.Join(root, "etc/resolv.conf"), []byte("nameserver 127.0.0.1\nnameserver 127.0.0.2\nsearch lab\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)
	w := &watch{
		host: monitor.Host{Root: root, Now: func() time.Time { return now }}, forPods: func() string { return "/run/systemd/resolve/resolv.conf" },
		port: server(t, dns.RcodeRefused), first: map[snapshot.EvidenceKey]first{},
	}
	want := map[snapshot.EvidenceKey]string{
		"resolver/file/%2Fetc%2Fresolv.conf/servers": "127.0.0.1 127.0.0.2", "resolver/file/%2Fetc%2Fresolv.conf/search": "lab",
		"resolver/file/%2Fetc%2Fresolv.conf/options": "", "resolver/file/%2Fetc%2Fresolv.conf/used-by": "machine",
		"resolver/file/%2Frun%2Fsystemd%2Fresolve%2Fresolv.conf/error":   "it is not there",
		"resolver/file/%2Frun%2Fsystemd%2Fresolve%2Fresolv.conf/used-by": "pods",
		"resolver/server/127.0.0.1/outcome":                              "answered", "resolver/server/127.0.0.1/code": "REFUSED",
		"resolver/server/127.0.0.2/outcome": "refused",
	}
	if diff := cmp.Diff(want, observe(t, w)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheKubeletsFileIsTheMachinesUnlessItSaysOtherwise(t *testing.T) {
	for name, tc := range map[string]struct{ config, want string }{
		"a kubelet that is told nothing":                     {config: "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n", want: "machine pods"},
		"no kubelet of its own, as k3s has it within itself": {want: "machine"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			files := map[string]string{"etc/resolv.conf": "search lab\n"}
			if tc.config != "" {
				files["var/lib/kubelet/config.yaml"] = tc.config
			}
			for file, text := range files {
				if err := os.MkdirAll(filepath.Join(root, filepath.Dir(file)), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			all, err := New(monitor.Host{Root: root, Now: noon}).Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, e := range all {
				if e.Key == "resolver/file/%2Fetc%2Fresolv.conf/used-by" {
					got = e.Value
				}
			}
			if got != tc.want {
				t.Errorf("used by %q, want %q", got, tc.want)
			}
		})
	}
}

// noon is a clock that stands.
func noon() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }
