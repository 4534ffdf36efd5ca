package node_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/lab/internal/node"
)

func config() node.Config {
	return node.Config{
		Machine:       "w1",
		Machines:      map[string]netip.Addr{"w1": netip.MustParseAddr("10.99.0.21"), "cp1": netip.MustParseAddr("10.99.0.11")},
		PauseImage:    "registry.k8s.io/pause:3.10",
		Registries:    []string{"registry.lab:5000"},
		FlannelStore:  node.StoreKubernetes,
		EtcdEndpoints: "https://10.99.0.11:2379",
	}
}

func TestFilesFollowTheHostAndTheOptions(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change       func(*node.Config)
		path         string
		want, wantNo []string
	}{
		"machines know each other by name": {
			path: "/etc/hosts", want: []string{"10.99.0.11 cp1\n10.99.0.21 w1\n"},
		},
		"names are asked of the switch": {
			path: "/etc/resolv.conf", want: []string{"nameserver 10.99.0.1\n"},
		},
		"with cgroup v1 its hierarchies are made writable": {
			path: "/etc/systemd/system/machine-prepare.service", want: []string{"remount,bind,rw"},
		},
		"with cgroup v2 there is nothing to make writable": {
			change: func(c *node.Config) { c.UnifiedCgroups = true },
			path:   "/etc/systemd/system/machine-prepare.service", want: []string{"make-rshared"}, wantNo: []string{"remount"},
		},
		"with cgroup v1 containerd makes control groups itself": {
			path: "/etc/containerd/config.toml", want: []string{"SystemdCgroup = false", "sandbox = 'registry.k8s.io/pause:3.10'"},
		},
		"with cgroup v2 systemd makes containerd's control groups": {
			change: func(c *node.Config) { c.UnifiedCgroups = true },
			path:   "/etc/containerd/config.toml", want: []string{"SystemdCgroup = true"},
		},
		"with cgroup v1 the kubelet gets groups to be measured in": {
			path: "/etc/systemd/system/kubelet.service.d/20-cgroup.conf", want: []string{"$MAINPID > $$group/cgroup.procs"},
		},
		"Docker leaves the packet filter to kube-proxy": {
			change: func(c *node.Config) { c.Docker = true },
			path:   "/etc/docker/daemon.json", want: []string{`"iptables": false`},
		},
		"where nobody may lower a score containerd does not try": {
			path: "/etc/containerd/config.toml", want: []string{"restrict_oom_score_adj = true"},
		},
		"where root may lower a score containerd does": {
			change: func(c *node.Config) { c.CanLowerOOMScore = true },
			path:   "/etc/containerd/config.toml", want: []string{"restrict_oom_score_adj = false"},
		},
		"flannel keeps subnets in Node objects": {
			path: "/etc/systemd/system/flanneld.service",
			want: []string{"--kube-subnet-mgr", "ConditionPathExists=/etc/kubernetes/flannel.conf", "NODE_NAME=w1"}, wantNo: []string{"--etcd-endpoints"},
		},
		"flannel keeps subnets in etcd": {
			change: func(c *node.Config) { c.FlannelStore = node.StoreEtcd },
			path:   "/etc/systemd/system/flanneld.service",
			want:   []string{"--etcd-endpoints=https://10.99.0.11:2379", "ConditionPathExists=/etc/flannel/etcd/client.key"}, wantNo: []string{"--kube-subnet-mgr"},
		},
		"a registry of the lab speaks HTTP": {
			path: "/etc/containerd/certs.d/registry.lab:5000/hosts.toml", want: []string{`server = "http://registry.lab:5000"`},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config()
			if tc.change != nil {
				tc.change(&c)
			}
			content := contentOf(t, c, tc.path)
			for _, want := range tc.want {
				if !strings.Contains(content, want) {
					t.Errorf("%s lacks %q:\n%s", tc.path, want, content)
				}
			}
			for _, wantNo := range tc.wantNo {
				if strings.Contains(content, wantNo) {
					t.Errorf("%s has %q:\n%s", tc.path, wantNo, content)
				}
			}
		})
	}
}

func TestEveryEnabledUnitHasAFile(t *testing.T) {
	t.Parallel()
	files, err := node.Files(config())
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	for _, file := range files {
		there[file.Path] = true
	}
	links, err := node.Links(func(name string) (string, error) { return "/opt/lab/" + name, nil })
	if err != nil {
		t.Fatal(err)
	}
	enabled := 0
	for path, target := range links {
		if strings.Contains(path, ".wants/") {
			enabled++
			if !there[target] {
				t.Errorf("%s is enabled and has no file", target)
			}
		}
	}
	if enabled == 0 {
		t.Error("no unit is enabled")
	}
	if diff := cmp.Diff("/opt/lab/kubelet", links["/usr/bin/kubelet"]); diff != "" {
		t.Errorf("link of the kubelet (-want +got):\n%s", diff)
	}
}

func TestAProgramThatIsNotBuiltIsAnError(t *testing.T) {
	t.Parallel()
	notBuilt := errors.New("not built yet")
	_, err := node.Links(func(name string) (string, error) { return "", fmt.Errorf("%s: %w", name, notBuilt) })
	if !errors.Is(err, notBuilt) {
		t.Errorf("error = %v, want %v", err, notBuilt)
	}
}

func contentOf(t *testing.T, c node.Config, path string) string {
	t.Helper()
	files, err := node.Files(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if file.Path == path {
			return string(file.Content)
		}
	}
	t.Fatalf("a node has no file %s", path)
	return ""
}
