package cni

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

var moment = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

// written copies the recorded machine and changes files of it: one whose content is "-" goes.
func written(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/lab")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "opt/cni"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/lib/cni", filepath.Join(root, "opt/cni/bin")); err != nil {
		t.Fatal(err)
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
	// All that lies there is an hour old, by the machine's clock.
	old := moment.Add(-time.Hour)
	if err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.Mode()&os.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(path, old, old)
	}); err != nil {
		t.Fatal(err)
	}
	return root
}

func see(t *testing.T, root string) (values map[snapshot.EvidenceKey]string, problem string) {
	t.Helper()
	m := New(monitor.Host{Root: root, Now: func() time.Time { return moment }})
	evidence, err := m.Observe(t.Context())
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
	const (
		file   = "etc/cni/net.d/10-flannel.conflist"
		config = "cni/configuration/10-flannel.conflist/"
		tasks  = "run/containerd/io.containerd.runtime.v2.task/k8s.io"
		first  = tasks + "/c1ea55b366723a36ffded369cab4fe997e11730510d73588cd0fc2d77b90a786"
	)
	lab := map[snapshot.EvidenceKey]string{
		"cni/folder": "/etc/cni/net.d", "cni/configurations": "1", "cni/first": "10-flannel.conflist",
		config + "name": "cbr0", config + "plugins": "bridge portmap", config + "bridge": "cni0", config + "mtu": "1450", config + "ranges": "10.244.1.0/24",
		"cni/network/cbr0/given": "2", "cni/network/cbr0/leaked": "0", "cni/network/cbr0/size": "253",
	}
	with := func(changes map[snapshot.EvidenceKey]string) map[snapshot.EvidenceKey]string {
		out := map[snapshot.EvidenceKey]string{}
		maps.Copy(out, lab)
		for k, v := range changes {
			out[k] = v
			if v == "-" {
				delete(out, k)
			}
		}
		return out
	}
	without := func(changes map[snapshot.EvidenceKey]string) map[snapshot.EvidenceKey]string {
		out := with(map[snapshot.EvidenceKey]string{config + "name": "-", config + "plugins": "-", config + "bridge": "-", config + "mtu": "-", config + "ranges": "-", "cni/first": "-", "cni/network/cbr0/size": "-"})
		maps.Copy(out, changes)
		return out
	}
	broken := func(why string) map[snapshot.EvidenceKey]string {
		return without(map[snapshot.EvidenceKey]string{"cni/first": "10-flannel.conflist", config + "name": "", config + "plugins": "", config + "broken": why})
	}
	tests := map[string]struct {
		files   map[string]string
		want    map[snapshot.EvidenceKey]string
		wantErr string
	}{
		"the recorded machine":             {want: lab},
		"no configuration at all":          {files: map[string]string{"etc/cni/net.d": "-"}, want: without(map[snapshot.EvidenceKey]string{"cni/configurations": "0"})},
		"a copy that runtimes do not take": {files: map[string]string{file: "-", file + ".bak": "{}"}, want: without(map[snapshot.EvidenceKey]string{"cni/configurations": "0"})},
		"a configuration cut short":        {files: map[string]string{file: `{"name": "cbr0", "plug`}, want: broken("unexpected end of JSON input")},
		"binary rubbish":                   {files: map[string]string{file: "\x00\x01"}, want: broken(`invalid character '\x00' looking for beginning of value`)},
		"a huge one is a gap": {
			files: map[string]string{file: strings.Repeat(" ", fileBytes+1)}, want: without(map[snapshot.EvidenceKey]string{"cni/configurations": "0"}), wantErr: "it is longer than",
		},
		"a list without plugins": {
			files: map[string]string{file: `{"name": "cbr0", "plugins": []}`},
			want:  without(map[snapshot.EvidenceKey]string{"cni/first": "10-flannel.conflist", config + "name": "cbr0", config + "plugins": "", config + "broken": "it names no plugin"}),
		},
		"another plugin's file comes first": {
			files: map[string]string{"etc/cni/net.d/00-calico.conf": `{"name":"k8s-pod-network","type":"calico","mtu":1480,"ipam":{"type":"calico-ipam"}}`},
			want: with(map[snapshot.EvidenceKey]string{
				"cni/configurations": "2", "cni/first": "00-calico.conf", "cni/configuration/00-calico.conf/name": "k8s-pod-network", "cni/configuration/00-calico.conf/plugins": "calico",
				"cni/configuration/00-calico.conf/mtu": "1480", "cni/network/cbr0/size": "-",
				"cni/program-missing/calico": "/opt/cni/bin /usr/lib/cni /usr/libexec/cni", "cni/program-missing/calico-ipam": "/opt/cni/bin /usr/lib/cni /usr/libexec/cni",
			}),
		},
		"flannel's plugin hands on": {
			files: map[string]string{file: `{"name":"cbr0","plugins":[{"type":"flannel","delegate":{"bridge":"cbr0","mtu":1400,"isDefaultGateway":true}},{"type":"portmap"}]}`, "usr/lib/cni/flannel": ""},
			want:  with(map[snapshot.EvidenceKey]string{config + "plugins": "flannel portmap", config + "bridge": "cbr0", config + "mtu": "1400", config + "ranges": "-", "cni/network/cbr0/size": "-"}),
		},
		"a program that is nowhere": {
			files: map[string]string{"usr/lib/cni/bridge": "-"},
			want:  with(map[snapshot.EvidenceKey]string{"cni/program-missing/bridge": "/opt/cni/bin /usr/lib/cni /usr/libexec/cni"}),
		},
		"programs where containerd was told": {
			files: map[string]string{"usr/lib/cni/bridge": "-", "srv/cni/bridge": "", "etc/containerd/config.toml": "[x]\n  bin_dirs = ['/srv/cni', '/srv/more']\n  conf_dir = \"/etc/cni/net.d\"\n"},
			want:  lab,
		},
		"k3s says where": {
			files: map[string]string{"etc/cni/net.d": "-", "var/lib/rancher/k3s/agent/etc/containerd/config.toml": "  conf_dir = \"/var/lib/rancher/k3s/agent/etc/cni/net.d\"\n", "var/lib/rancher/k3s/agent/etc/cni/net.d/10-flannel.conflist": `{"name":"cbr0","plugins":[{"type":"portmap"}]}`},
			want:  with(map[snapshot.EvidenceKey]string{"cni/folder": "/var/lib/rancher/k3s/agent/etc/cni/net.d", config + "plugins": "portmap", config + "bridge": "-", config + "mtu": "-", config + "ranges": "-", "cni/network/cbr0/size": "-"}),
		},
		"microk8s keeps them elsewhere":                    {files: map[string]string{"var/snap/microk8s/current/x": ""}, want: map[snapshot.EvidenceKey]string{}},
		"an address of a sandbox that is gone":             {files: map[string]string{first: "-"}, want: with(map[snapshot.EvidenceKey]string{"cni/network/cbr0/leaked": "1"})},
		"without containerd nobody knows what is leaked":   {files: map[string]string{tasks: "-"}, want: with(map[snapshot.EvidenceKey]string{"cni/network/cbr0/leaked": "-"})},
		"an address file cut short is one without sandbox": {files: map[string]string{"var/lib/cni/networks/cbr0/10.244.1.9": ""}, want: with(map[snapshot.EvidenceKey]string{"cni/network/cbr0/given": "3", "cni/network/cbr0/leaked": "1"})},
		"addresses that other plugins keep elsewhere": {
			files: map[string]string{"var/lib/cni": "-"}, want: with(map[snapshot.EvidenceKey]string{"cni/network/cbr0/given": "-", "cni/network/cbr0/leaked": "-", "cni/network/cbr0/size": "-"}),
		},
		"a machine without pods gives nothing": {files: map[string]string{"var/lib/kubelet": "-"}, want: map[snapshot.EvidenceKey]string{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, problem := see(t, written(t, tc.files))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !strings.Contains(problem, tc.wantErr) || (tc.wantErr == "") != (problem == "") {
				t.Errorf("error %q, want one with %q", problem, tc.wantErr)
			}
		})
	}
}

func TestAnAddressJustGivenIsNotLeaked(t *testing.T) {
	root := written(t, map[string]string{"var/lib/cni/networks/cbr0/10.244.1.9": "abc\r\neth0"})
	young := moment.Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(root, "var/lib/cni/networks/cbr0/10.244.1.9"), young, young); err != nil {
		t.Fatal(err)
	}
	got, _ := see(t, root)
	if got["cni/network/cbr0/given"] != "3" || got["cni/network/cbr0/leaked"] != "0" {
		t.Errorf("got %v", got)
	}
}
