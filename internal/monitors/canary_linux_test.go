package monitors_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors"
	"github.com/maek-dev/maek/internal/snapshot"
)

// canary is a secret that must come out nowhere.
const canary = "C4naryBird7Sings0verTheSea"

// secretive is a machine on which a secret stands wherever one can: in files as they should be, and in
// some of those that are broken, of which the line at fault is quoted.
var secretive = map[string]string{
	"/proc/stat":                      "cpu 0\nbtime 1795000000\n",
	"/proc/sys/kernel/random/boot_id": "0f0d5a3e-3f3d-4e5c-9a55-0d3c7c0d7a10\n",
	"/proc/sys/kernel/hostname":       "w1\n",
	"/etc/machine-id":                 "0123456789abcdef0123456789abcdef\n",
	"/etc/os-release":                 "ID=debian\n",

	"/etc/kubernetes/kubelet.conf": "apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: 'https://admin:" + canary + "@127.0.0.1:1'}}]\n" +
		"users: [{name: a, user: {token: " + canary + ", password: " + canary + ", client-key-data: " + canary + "}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n",
	"/etc/kubernetes/admin.conf":              "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    token: " + canary + ": oops\n",
	"/etc/kubernetes/controller-manager.conf": "users: [{name: a, user: {client-key-data: " + canary + "}}]\n\tx",
	"/etc/kubernetes/pki/apiserver.crt":       "-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----\n",
	"/var/lib/kubelet/config.yaml": "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nstaticPodPath: /etc/kubernetes/manifests\n" +
		"staticPodURLHeader:\n  Authorization: [\"Bearer " + canary + "\"]: oops\n",
	"/var/lib/kubelet/kubeadm-flags.env": "KUBELET_KUBEADM_ARGS=\"--token=" + canary + " --registry-password " + canary + "\"\n",
	"/etc/kubernetes/manifests/shop.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: default}\nspec:\n  containers:\n  - name: shop\n    image: shop\n    env:\n" +
		"    - name: DB_PASSWORD\n      value: " + canary + ": oops\n",
	"/etc/kubernetes/manifests/kube-apiserver.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, namespace: kube-system}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: kube-apiserver\n" +
		"    command: [kube-apiserver, '--etcd-servers=https://root:" + canary + "@127.0.0.1:2379', '--oidc-client-secret=" + canary + "', '--token=" + canary + "']\n" +
		"    env: [{name: HTTPS_PROXY, value: 'http://proxy:" + canary + "@proxy:3128'}]\n",
	"/etc/kubernetes/manifests/etcd.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd, namespace: kube-system}\nspec:\n  containers:\n  - name: etcd\n    image: etcd\n" +
		"    command: [etcd, '--initial-cluster-token=" + canary + "', '--initial-cluster=w1=https://root:" + canary + "@127.0.0.1:2380', '--listen-client-urls=http://root:" + canary + "@127.0.0.1:1', '--auth-token=" + canary + "']\n" +
		"    env: [{name: ETCD_PASSWORD, value: " + canary + "}]\n",
	"/etc/kubernetes/manifests/kube-scheduler.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-scheduler, namespace: kube-system}\nspec: {containers: [{name: a, image: a, command: [kube-scheduler, '--password', " + canary + "]}]}\n",

	"/etc/etcd/etcd.conf": "ETCD_NAME=w1\nETCD_PASSWORD=" + canary + "\nETCD_LISTEN_CLIENT_URLS=http://root:" + canary + "@127.0.0.1:1\nETCD_DATA_DIR=/var/lib/etcd\n",
	"/etc/default/etcd":   "ETCD_USER=root:" + canary + "\n",
	"/etc/systemd/system/etcd.service": "[Service]\nEnvironment=ETCD_PASSWORD=" + canary + "\nEnvironmentFile=/etc/etcd/etcd.conf\n" +
		"ExecStart=/usr/bin/etcd --initial-cluster-token " + canary + " --listen-client-urls http://root:" + canary + "@127.0.0.1:1\n",
	"/etc/systemd/system/flanneld.service": "[Service]\nEnvironmentFile=/etc/sysconfig/flanneld\nEnvironment=FLANNELD_ETCD_PASSWORD=" + canary + "\n" +
		"ExecStart=/usr/bin/flanneld -etcd-username root -etcd-password " + canary + " -etcd-endpoints http://root:" + canary + "@127.0.0.1:1\n",
	"/etc/sysconfig/flanneld":                             "FLANNELD_ETCD_PASSWORD=" + canary + "\nFLANNEL_OPTIONS=\"--etcd-password=" + canary + "\"\n",
	"/etc/systemd/system/kubelet.service.d/10-proxy.conf": "[Service]\nEnvironment=HTTPS_PROXY=http://proxy:" + canary + "@proxy:3128\n",
	"/etc/docker/daemon.json":                             `{"bip":"10.244.1.1/24","proxies":{"https-proxy":"http://proxy:` + canary + `@proxy:3128"},"password":"` + canary + `"}`,
	"/root/.docker/config.json":                           `{"auths":{"registry":{"auth":"` + canary + `"}}}`,
	"/etc/cni/net.d/10-calico.conflist":                   `{"cniVersion":"1.0.0","name":"k8s","plugins":[{"type":"calico","etcd_key":"` + canary + `","policy":{"type":"k8s","k8s_auth_token":"` + canary + `"}}]}`,
	"/etc/cni/net.d/20-broken.conflist":                   `{"name":"k8s","token":"` + canary + `",}`,
	"/etc/kube-flannel/net-conf.json":                     `{"Network":"10.244.0.0/16","Backend":{"Type":"ipsec","PSK":"` + canary + `","password":"` + canary + `"}}`,
	"/run/flannel/subnet.env":                             "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNELD_ETCD_PASSWORD=" + canary + "\n",
	"/etc/iscsi/iscsid.conf":                              "node.session.auth.password = " + canary + "\n",
	"/var/lib/iscsi/nodes/iqn.2026-01.com.example:disks/10.0.0.1,3260,1/default": "node.name = iqn.2026-01.com.example:disks\nnode.startup = automatic\nnode.session.auth.username = maek\n" +
		"node.session.auth.password = " + canary + "\nnode.conn[0].startup = automatic\n",
	"/etc/multipath.conf": "defaults {\n  password " + canary + "\n}\n",
	"/etc/fstab":          "//server/share /mnt cifs username=a,password=" + canary + " 0 0\n",

	"/proc/100/comm":    "flanneld\n",
	"/proc/100/cmdline": "/usr/bin/flanneld\x00-etcd-username=root\x00-etcd-password\x00" + canary + "\x00-etcd-endpoints=http://root:" + canary + "@127.0.0.1:1\x00",
	"/proc/100/environ": "FLANNELD_ETCD_PASSWORD=" + canary + "\x00",
	"/proc/100/stat":    "100 (flanneld) S 1 100 100 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0 0\n",
	"/proc/101/comm":    "kubelet\n",
	"/proc/101/cmdline": "/usr/bin/kubelet\x00--config=/var/lib/kubelet/config.yaml\x00--kubeconfig=/etc/kubernetes/kubelet.conf\x00--token=" + canary + "\x00--registry-password\x00" + canary + "\x00",
	"/proc/101/stat":    "101 (kubelet) S 1 101 101 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0 0\n",
	"/proc/102/comm":    "etcd\n",
	"/proc/102/cmdline": "etcd\x00--initial-cluster-token=" + canary + "\x00--listen-client-urls=http://root:" + canary + "@127.0.0.1:1\x00--data-dir=/var/lib/etcd\x00",
	"/proc/102/environ": "ETCD_PASSWORD=" + canary + "\x00ETCD_ROOT_PASSWORD=" + canary + "\x00",
	"/proc/102/stat":    "102 (etcd) S 1 102 102 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0 0\n",
	"/proc/103/comm":    "dockerd\n",
	"/proc/103/cmdline": "/usr/bin/dockerd\x00--bip=10.244.1.1/24\x00--registry-password=" + canary + "\x00",
	"/proc/103/stat":    "103 (dockerd) S 1 103 103 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0 0\n",
	"/proc/1/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:40 / /mnt rw - cifs //admin:" + canary + "@server/share rw,username=a,password=" + canary + "\n" +
		"24 22 0:41 / /srv rw - nfs4 server:/srv rw,addr=10.0.0.1\n",

	"/var/log/messages": "Nov 21 09:59:57 w1 kubelet: E1121 09:59:57.000000 101 server.go:1] Authorization: Bearer " + canary + "\n" +
		"Nov 21 09:59:58 w1 flanneld: E1121 09:59:58.000000 100 main.go:1] cannot reach http://root:" + canary + "@127.0.0.1:2379 with password=" + canary + "\n" +
		"Nov 21 09:59:59 w1 kernel: INFO: task curl -u admin:" + canary + ":77 blocked for more than 120 seconds.\n",
	"/var/log/kube-apiserver.log": "E1121 09:59:59.000000 1 run.go:74] \"command failed\" err=\"dial https://root:" + canary + "@127.0.0.1:2379: Authorization: Bearer " + canary + "\"\n",
	"/var/log/kubelet.log":        "E1121 09:59:59.000000 1 run.go:74] \"command failed\" err=\"failed to run Kubelet: password=" + canary + "\"\n",
	"/var/log/pods/kube-system_kube-apiserver-w1_0123456789abcdef0123456789abcdef/kube-apiserver/0.log": "2026-11-21T09:59:59.000000000Z stderr F E1121 09:59:59.000000 1 run.go:74] \"command failed\" err=\"token=" + canary + "\"\n",
	"/var/log/pods/kube-system_etcd-w1_0123456789abcdef0123456789abcdef/etcd/0.log": "2026-11-21T09:59:59.000000000Z stderr F {\"level\":\"fatal\",\"ts\":\"2026-11-21T09:59:59.000Z\",\"msg\":\"discovery failed\",\"error\":\"password=" +
		canary + "\",\"token\":\"" + canary + "\"}\n",
}

// TestNoSecretLeavesTheMachine holds that no report holds what stands on a machine and is a secret. What
// agents serve, and write to the cluster, is made of reports alone.
func TestNoSecretLeavesTheMachine(t *testing.T) {
	root := t.TempDir()
	for name, text := range secretive {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	report := discreet(t, root)
	read := map[string]int{}
	for _, e := range report.Evidence {
		first, _, _ := strings.Cut(string(e.Key), "/")
		read[first]++
	}
	// Nothing is proven of what was not read.
	for _, first := range []string{"kubelet", "static-pod", "flannel", "etcd", "component", "log", "cni", "certificate"} {
		if read[first] == 0 {
			t.Errorf("nothing was read below %s/; gaps: %v", first, report.Gaps)
		}
	}
}

// TestNoLineOfAnyFileIsASecret writes lines with a secret into every file that monitors know, where a
// program may quote what it does not understand.
func TestNoLineOfAnyFileIsASecret(t *testing.T) {
	lines := strings.Join([]string{
		"token: " + canary + ": oops", "password=" + canary, "Authorization: Bearer " + canary, "    value: " + canary + ": oops",
		`{"password":"` + canary + `",}`, "https://root:" + canary + "@127.0.0.1:1", "--token=" + canary, "client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo" + canary,
		"Nov 21 09:59:59 w1 kubelet[1]: E1121 09:59:59.000000 1 a.go:1] dial https://root:" + canary + "@127.0.0.1:1: token=" + canary,
		"-----BEGIN PRIVATE KEY-----", canary, "-----END PRIVATE KEY-----",
	}, "\n") + "\n"
	// The kernel tells of itself there: single words, and no secrets.
	paths := slices.DeleteFunc(pathsRead(t), func(path string) bool {
		return strings.HasPrefix(path, "/proc/net/") || strings.HasPrefix(path, "/sys/")
	})
	for name, root := range map[string]string{
		"files":   grow(t, paths, true, file([]byte(lines))),
		"folders": grow(t, paths, true, folder(file([]byte(lines)))),
	} {
		t.Run(name, func(t *testing.T) { discreet(t, root) })
	}
}

// discreet lets all monitors look at a machine, and holds that their report does not hold the secret.
func discreet(t *testing.T, root string) snapshot.MachineReport {
	t.Helper()
	host := monitor.Host{Root: root, Node: "w1", Store: &nothing{}, Now: func() time.Time { return moment }}
	report := monitor.NewRunner(monitor.Identity{Machine: "w1", Node: "w1"}, monitors.All(host), host.Now, nil).Once(t.Context())
	for _, e := range report.Evidence {
		if strings.Contains(string(e.Key)+e.Value, canary) {
			t.Errorf("%s is %q", e.Key, e.Value)
		}
	}
	for _, g := range report.Gaps {
		if strings.Contains(g.Reason, canary) {
			t.Errorf("%s says %q", g.Monitor, g.Reason)
		}
	}
	if data, err := json.Marshal(report); err != nil || strings.Contains(string(data), canary) {
		t.Errorf("the report holds the secret, or is none: %v", err)
	}
	return report
}

// nothing keeps nothing.
type nothing struct{}

func (nothing) Load(string) ([]byte, error) { return nil, os.ErrNotExist }
func (nothing) Save(string, []byte) error   { return nil }
