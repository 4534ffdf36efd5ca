package flannel

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

var moment = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

func hostAt(root string) monitor.Host {
	return monitor.Host{Root: root, Node: "w1", Now: func() time.Time { return moment }}
}

// written makes a host of the files of another and some more; a file whose content is "-" is left out.
func written(t *testing.T, from string, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	if from != "" {
		if err := os.CopyFS(root, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if content == "-" {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// see observes, and returns the values by key and the error's text.
func see(ctx context.Context, t *testing.T, m monitor.Monitor) (values map[snapshot.EvidenceKey]string, problem string) {
	t.Helper()
	evidence, err := m.Observe(ctx)
	values = map[snapshot.EvidenceKey]string{}
	for _, e := range evidence {
		known := false
		for _, k := range m.Keys {
			known = known || e.Key.Fits(k.Pattern)
		}
		if !known {
			t.Errorf("evidence %s is not among the monitor's keys", e.Key)
		}
		if _, twice := values[e.Key]; twice {
			t.Errorf("evidence %s is there twice", e.Key)
		}
		values[e.Key] = e.Value
	}
	if err != nil {
		problem = err.Error()
	}
	return values, problem
}

func TestObserve(t *testing.T) {
	inKubernetes := map[snapshot.EvidenceKey]string{
		"flannel/running": "true", "flannel/unit-file": "/etc/systemd/system/flanneld.service", "flannel/store": "kubernetes",
		"flannel/settings-source": "command line of process 206",
		"flannel/setting/iface":   "eth0", "flannel/setting/ip-masq": "true", "flannel/setting/kube-subnet-mgr": "true",
		"flannel/setting/kubeconfig-file": "/etc/kubernetes/flannel.conf", "flannel/setting/net-config-path": "/etc/flannel/net-conf.json",
		"flannel/subnet-file/path": "/run/flannel/subnet.env", "flannel/subnet-file/network": "10.244.0.0/16", "flannel/subnet-file/subnet": "10.244.1.1/24",
		"flannel/subnet-file/mtu": "1450", "flannel/subnet-file/ip-masq": "true",
		"flannel/config/source": "/etc/flannel/net-conf.json", "flannel/config/network": "10.244.0.0/16", "flannel/config/backend": "vxlan", "flannel/config/direct-routing": "false",
	}
	with := func(base map[snapshot.EvidenceKey]string, changes map[snapshot.EvidenceKey]string) map[snapshot.EvidenceKey]string {
		out := map[snapshot.EvidenceKey]string{}
		for _, m := range []map[snapshot.EvidenceKey]string{base, changes} {
			for k, v := range m {
				out[k] = v
				if v == "-" {
					delete(out, k)
				}
			}
		}
		return out
	}
	tests := map[string]struct {
		from  string
		files map[string]string
		want  map[snapshot.EvidenceKey]string
		// wantErr is a part of the error's text.
		wantErr string
	}{
		"subnets in the API server": {from: "testdata/kubernetes", want: inKubernetes},
		"a flanneld that does not run has the settings of its unit": {
			from: "testdata/kubernetes", files: map[string]string{"proc/206": "-", "run/flannel/subnet.env": "-"},
			want: with(inKubernetes, map[snapshot.EvidenceKey]string{
				"flannel/running": "false", "flannel/settings-source": "/etc/systemd/system/flanneld.service",
				"flannel/subnet-file/path": "-", "flannel/subnet-file/network": "-", "flannel/subnet-file/subnet": "-", "flannel/subnet-file/mtu": "-", "flannel/subnet-file/ip-masq": "-",
			}),
		},
		"a configuration that is rubbish gives none": {
			from: "testdata/kubernetes", files: map[string]string{"etc/flannel/net-conf.json": "\x00\x01{"},
			want: with(inKubernetes, map[snapshot.EvidenceKey]string{"flannel/config/source": "-", "flannel/config/network": "-", "flannel/config/backend": "-", "flannel/config/direct-routing": "-"}),
		},
		"a subnet file cut short gives what is in it": {
			from: "testdata/kubernetes", files: map[string]string{"run/flannel/subnet.env": "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUB"},
			want: with(inKubernetes, map[snapshot.EvidenceKey]string{"flannel/subnet-file/subnet": "-", "flannel/subnet-file/mtu": "-", "flannel/subnet-file/ip-masq": "-"}),
		},
		"a huge subnet file is a gap": {
			from: "testdata/kubernetes", files: map[string]string{"run/flannel/subnet.env": strings.Repeat("x", fileBytes+1)},
			want: with(inKubernetes, map[snapshot.EvidenceKey]string{
				"flannel/subnet-file/path": "-", "flannel/subnet-file/network": "-", "flannel/subnet-file/subnet": "-", "flannel/subnet-file/mtu": "-", "flannel/subnet-file/ip-masq": "-",
			}),
			wantErr: "reading flannel's subnet file: reading ",
		},
		"a machine without flannel gives nothing": {files: map[string]string{"proc/1/comm": "systemd\n", "proc/1/cmdline": "/sbin/init\x00", "proc/self/comm": "x"}, want: map[snapshot.EvidenceKey]string{}},
		"a host without processes is a gap": {
			files: map[string]string{"etc/hostname": "w1"}, want: map[snapshot.EvidenceKey]string{}, wantErr: "looking for flanneld among the host's processes",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, problem := see(t.Context(), t, New(hostAt(written(t, tc.from, tc.files))))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !strings.Contains(problem, tc.wantErr) || (tc.wantErr == "") != (problem == "") {
				t.Errorf("error %q, want one with %q", problem, tc.wantErr)
			}
		})
	}
}

// etcdV2 answers as etcd 3.4 with --enable-v2 did.
func etcdV2(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file := "testdata/v2/absent.json"
		switch {
		case !strings.HasPrefix(r.URL.Path, "/v2/keys/"):
			http.NotFound(w, r)
			return
		case r.URL.Path == "/v2/keys/atomic.io/network" && r.URL.Query().Get("recursive") == "true":
			file = "testdata/v2/network.json"
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestSubnetsInEtcdV2(t *testing.T) {
	t.Parallel()
	server := etcdV2(t)
	root := written(t, "testdata/atomic", nil)
	file := filepath.Join(root, "etc/sysconfig/flanneld")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "http://192.0.2.11:2379,192.0.2.12:2379/", server.URL, 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, problem := see(t.Context(), t, New(hostAt(root)))
	want := map[snapshot.EvidenceKey]string{
		"flannel/running": "false", "flannel/unit-file": "/usr/lib/systemd/system/flanneld.service", "flannel/settings-source": "/usr/lib/systemd/system/flanneld.service",
		"flannel/store": "etcd", "flannel/setting/etcd-endpoints": server.URL, "flannel/setting/etcd-prefix": "/atomic.io/network", "flannel/setting-overridden/etcd-prefix": "/coreos.com/network",
		"flannel/setting/ip-masq": "true", "flannel/setting/iface": "ens3",
		"flannel/subnet-file/path": "/run/flannel/subnet.env", "flannel/subnet-file/network": "10.10.0.0/16", "flannel/subnet-file/subnet": "10.10.31.1/24",
		"flannel/subnet-file/mtu": "1450", "flannel/subnet-file/ip-masq": "false", "flannel/docker/bip": "10.10.31.1/24", "flannel/docker/mtu": "1450",
		"flannel/etcd/answers": "true", "flannel/etcd/api": "v2", "flannel/etcd/read-at": "2026-03-02T02:20:00Z", "flannel/etcd/config": "true", "flannel/etcd/leases": "4", "flannel/etcd/all-leases": "true",
		"flannel/config/source": "etcd /atomic.io/network/config", "flannel/config/network": "10.10.0.0/16", "flannel/config/subnet-length": "24", "flannel/config/backend": "vxlan", "flannel/config/direct-routing": "false",
		"flannel/lease/10.10.31.0%2F24/public-ip": "192.0.2.31", "flannel/lease/10.10.31.0%2F24/backend": "vxlan", "flannel/lease/10.10.31.0%2F24/mac": "aa:bb:cc:00:00:31",
		"flannel/lease/10.10.31.0%2F24/ttl": "86400", "flannel/lease/10.10.31.0%2F24/reserved": "false",
		"flannel/lease/10.10.83.0%2F24/public-ip": "192.0.2.32", "flannel/lease/10.10.83.0%2F24/backend": "vxlan", "flannel/lease/10.10.83.0%2F24/mac": "aa:bb:cc:00:00:32",
		"flannel/lease/10.10.83.0%2F24/ttl": "1200", "flannel/lease/10.10.83.0%2F24/reserved": "false",
		"flannel/lease/10.10.90.0%2F24/public-ip": "192.0.2.33", "flannel/lease/10.10.90.0%2F24/backend": "vxlan", "flannel/lease/10.10.90.0%2F24/mac": "aa:bb:cc:00:00:33",
		"flannel/lease/10.10.90.0%2F24/reserved":  "true",
		"flannel/lease/10.10.91.0%2F24/public-ip": "192.0.2.34", "flannel/lease/10.10.91.0%2F24/backend": "host-gw", "flannel/lease/10.10.91.0%2F24/ttl": "86400", "flannel/lease/10.10.91.0%2F24/reserved": "false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := `the key "note" is not a flannel lease's`; problem != want {
		t.Errorf("error %q, want %q", problem, want)
	}
}

func TestStoreThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	for name, endpoint := range map[string]string{"nobody listens": dead.URL, "something else listens": server.URL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := written(t, "testdata/kubernetes", map[string]string{"proc/206/cmdline": "flanneld\x00-etcd-endpoints\x00" + endpoint + "\x00"})
			got, problem := see(t.Context(), t, New(hostAt(root)))
			if got["flannel/store"] != "etcd" || got["flannel/etcd/answers"] != "false" || !strings.HasPrefix(got["flannel/etcd/failure"], "reading /coreos.com/network/config from etcd at http://127.0.0.1") {
				t.Errorf("got %v", got)
			}
			if !strings.HasPrefix(problem, "reading flannel's subnets: ") {
				t.Errorf("error %q", problem)
			}
		})
	}
}

func TestStoreFilesThatCannotBeRead(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		args  string
		want  string
	}{
		"no such certificate authority":      {args: "--etcd-cafile=/etc/ca.pem", want: "reading flanneld's --etcd-cafile"},
		"an authority without a certificate": {args: "--etcd-cafile=/etc/ca.pem", files: map[string]string{"etc/ca.pem": "rubbish"}, want: "it holds no certificate"},
		"no such certificate":                {args: "--etcd-certfile=/etc/c.pem\x00--etcd-keyfile=/etc/k.pem", want: "reading flanneld's --etcd-certfile"},
		"no such key":                        {args: "--etcd-certfile=/etc/c.pem\x00--etcd-keyfile=/etc/k.pem", files: map[string]string{"etc/c.pem": "x"}, want: "reading flanneld's --etcd-keyfile"},
		"a pair that is none":                {args: "--etcd-certfile=/etc/c.pem\x00--etcd-keyfile=/etc/k.pem", files: map[string]string{"etc/c.pem": "x", "etc/k.pem": "y"}, want: "failed to find any PEM data"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"proc/206/cmdline": "flanneld\x00" + tc.args + "\x00"}
			maps.Copy(files, tc.files)
			_, problem := see(t.Context(), t, New(hostAt(written(t, "testdata/kubernetes", files))))
			if !strings.Contains(problem, tc.want) {
				t.Errorf("error %q, want one with %q", problem, tc.want)
			}
		})
	}
}

func TestEtcdIsNotAskedAtEveryLook(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	v2 := etcdV2(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/") {
			asked.Add(1)
		}
		v2.Config.Handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	now := moment
	host := hostAt(written(t, "testdata/kubernetes", map[string]string{"proc/206/cmdline": "flanneld\x00-etcd-prefix=/atomic.io/network\x00-etcd-endpoints=" + server.URL + "\x00"}))
	host.Now = func() time.Time { return now }
	m := New(host)
	for range 3 {
		if got, _ := see(t.Context(), t, m); got["flannel/etcd/leases"] != "4" {
			t.Errorf("got %v", got)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times at three looks in one moment, want once", asked.Load())
	}
	now = now.Add(storeInterval)
	see(t.Context(), t, m)
	if asked.Load() != 2 {
		t.Errorf("asked %d times after %s, want twice", asked.Load(), storeInterval)
	}
}

func TestParseLease(t *testing.T) {
	for name, tc := range map[string]struct {
		key, value string
		want       string
		wantErr    bool
	}{
		"two families":                  {"10.5.1.0-24&fd00::-64", `{"PublicIP":"192.0.2.1","PublicIPv6":"2001:db8::1","BackendType":"vxlan","BackendData":{"VNI":7,"VtepMAC":"aa:bb:cc:00:00:01"}}`, `10.5.1.0/24 fd00::/64 192.0.2.1 2001:db8::1 vxlan 7 aa:bb:cc:00:00:01`, false},
		"no backend data":               {"10.5.1.0-24", `{"PublicIP":"192.0.2.1","BackendType":"ipip","BackendData":null}`, `10.5.1.0/24 invalid Prefix 192.0.2.1  ipip null `, false},
		"data of another backend":       {"10.5.1.0-24", `{"PublicIP":"192.0.2.1","BackendType":"udp","BackendData":"x"}`, `10.5.1.0/24 invalid Prefix 192.0.2.1  udp null `, false},
		"a value cut short takes still": {"10.5.1.0-24", `{"PublicIP":"192`, `10.5.1.0/24 invalid Prefix    null  unexpected end of JSON input`, false},
		"a key of something else":       {"config", `{}`, ``, true},
		"an address that is none":       {"10.5.1.999-24", `{}`, ``, true},
		"a length that is none":         {"10.5.1.0-99", `{}`, ``, true},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := parseLease(tc.key, []byte(tc.value))
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			vni, _ := json.Marshal(l.vni)
			got := strings.Join([]string{l.subnet.String(), l.ipv6Subnet.String(), l.publicIP, l.publicIPv6, l.backend, string(vni), l.mac}, " ")
			if l.broken != "" {
				got += " " + l.broken
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAllMachinesTogetherAskForAllLeases(t *testing.T) {
	leases := make([]lease, 3*maxLifetimes+1)
	for i := range leases {
		leases[i].subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 5, byte(i), 0}), 24)
	}
	asked := map[int]bool{}
	for _, l := range leases {
		own := toAsk(leases, l.subnet)
		if len(own) != maxLifetimes {
			t.Fatalf("%s asks for %d leases, want %d", l.subnet, len(own), maxLifetimes)
		}
		for _, i := range own {
			asked[i] = true
		}
	}
	if len(asked) != len(leases) {
		t.Errorf("%d of %d leases are asked for", len(asked), len(leases))
	}
	if got := toAsk(leases[:2], netip.Prefix{}); len(got) != 2 {
		t.Errorf("a machine without a subnet asks for %v of two leases", got)
	}
}
