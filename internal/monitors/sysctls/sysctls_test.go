package sysctls

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

func TestSettings(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  map[snapshot.EvidenceKey]string
		fails bool
	}{
		{"settings and overlays are told by their names", map[string]string{
			"net/ipv4/ip_forward": "1\n", "net/ipv4/ip_local_port_range": "32768\t60999\n", "net/bridge/bridge-nf-call-iptables": "0\n",
			"net/ipv4/conf/flannel.1/rp_filter": "2\n", "net/ipv4/conf/eth0/rp_filter": "1\n",
		}, map[snapshot.EvidenceKey]string{
			"sysctl/net.ipv4.ip_forward": "1", "sysctl/net.ipv4.ip_local_port_range": "32768 60999", "sysctl/net.bridge.bridge-nf-call-iptables": "0",
			"sysctl/net.ipv4.conf%2Fflannel.1%2Frp_filter": "2",
		}, false},
		{"a kernel without them gives none", nil, map[snapshot.EvidenceKey]string{}, false},
		{"a file that is no setting is a gap", map[string]string{"net/ipv4/ip_forward": string(make([]byte, fileLimit+1))}, map[snapshot.EvidenceKey]string{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range tc.files {
				path := filepath.Join(root, "proc/sys", name)
				if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			all, err := New(monitor.Host{Root: root}).Observe(t.Context())
			if (err != nil) != tc.fails {
				t.Errorf("error %v, want one: %t", err, tc.fails)
			}
			got := map[snapshot.EvidenceKey]string{}
			for _, e := range all {
				got[e.Key] = e.Value
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
