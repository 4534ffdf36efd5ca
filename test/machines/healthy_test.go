package machines

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// ofTheNetwork is what there is of flannel and its overlay.
var ofTheNetwork = []snapshot.EvidenceKey{"flannel/*", "flannel/*/*", "flannel/*/*/*", "overlay/*/*", "overlay/*/*/*", "cluster/node/*/flannel-backend-data", "cluster/node/*/flannel-backend-type", "cluster/node/*/flannel-public-ip", "cluster/node/*/flannel-kube-subnet-manager", "unit/flanneld.service/*"}

// ownKubelet takes away what the packages of Kubernetes install: distributions bring programs of their own.
func (m *machine) ownKubelet() {
	m.drop("unit/kubelet.service/*", "unit/containerd.service/*", "unit/kube-proxy.service/*", "component/*/*", "static-pod/*/*", "static-pod/*/argument/*", "static-pod-folder/path", "certificate/*/*", "certificate/served/*/*",
		"kubelet/*", "kubelet/*/*")
	m.state("cri/endpoint", "/run/k3s/containerd/containerd.sock")
}

// cilium makes the network one of Cilium without kube-proxy.
func (m *machine) cilium() {
	m.drop(ofTheNetwork...)
	m.drop("component/kube-proxy/*", "unit/kube-proxy.service/*", "cni/configuration/10-flannel.conflist/*")
	m.state("cni/first", "05-cilium.conflist")
	m.state("cni/configuration/05-cilium.conflist/name", "cilium")
	m.state("cni/configuration/05-cilium.conflist/plugins", "cilium-cni")
}

// TestHealthyMachines holds that nobody is woken for machines on which nothing is wrong.
func TestHealthyMachines(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(c cluster)
		more func(*snapshot.Builder)
	}{
		"recorded":                             {make: func(cluster) {}},
		"recorded, with the API server's view": {make: func(cluster) {}, more: nodes()},
		"k3s, which is all in one program": {make: func(c cluster) {
			for _, m := range c {
				m.ownKubelet()
				m.drop("etcd/*/*", "etcd/*/*/*")
			}
		}},
		"RKE2, whose kubelet no unit starts": {make: func(c cluster) {
			for _, m := range c {
				m.ownKubelet()
				m.state("kubelet/process/running", "true")
				m.state("kubelet/process/pid", "812")
				m.state("kubelet/healthz/outcome", "answered")
				m.state("kubelet/healthz/status", "200")
				m.state("kubelet/api-server/url", "https://127.0.0.1:6443")
				m.state("kubelet/api-server/outcome", "answered")
			}
		}},
		"Cilium without kube-proxy": {make: func(c cluster) {
			for _, m := range c {
				m.cilium()
			}
		}},
		"Cilium in place of flannel, whose annotations are left": {
			make: func(c cluster) {
				for _, m := range c {
					m.cilium()
				}
			},
			more: func(b *snapshot.Builder) {
				nodes()(b)
				for name, subnet := range map[string]string{"cp1": "10.244.0.0/24", "w1": "10.244.1.0/24", "w2": "10.244.2.0/24"} {
					n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "1", CreationTimestamp: metav1.NewTime(readAt.Add(-24 * time.Hour)), Annotations: map[string]string{
						"flannel.alpha.coreos.com/backend-data": `{"VNI":1,"VtepMAC":"02:aa:bb:cc:dd:01"}`, "flannel.alpha.coreos.com/backend-type": "vxlan",
						"flannel.alpha.coreos.com/kube-subnet-manager": "true", "flannel.alpha.coreos.com/public-ip": c3[name],
					}}}
					if name != "w1" {
						n.Annotations["flannel.alpha.coreos.com/backend-data"] = `{"VNI":1,"VtepMAC":"02:aa:bb:cc:0` + name[len(name)-1:] + `:0` + name[len(name)-1:] + `"}`
					}
					n.Spec.PodCIDR, n.Spec.PodCIDRs = subnet, []string{subnet}
					n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: c3[name]}}
					n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(readAt.Add(-time.Hour)), LastHeartbeatTime: metav1.NewTime(readAt)}}
					b.Add(n)
				}
			},
		},
		"managed nodes, whose control plane is elsewhere": {make: func(c cluster) {
			delete(c, "cp1")
			for _, m := range c {
				m.drop("mesh/peer/cp1/*", "cluster/node/cp1/*", "certificate/*/*", "kubelet/client-certificate/*", "kubelet/config/*", "unit/flanneld.service/*", "unit/kube-proxy.service/*")
				m.drop(ofTheNetwork...)
				m.state("component/kube-proxy/from", "its pod")
			}
		}},
		"machines without systemd": {make: func(c cluster) {
			for _, m := range c {
				m.drop("unit/*/*", "boot/journal", "component/kube-proxy/*")
			}
		}},
		"a report of one machine alone": {make: func(c cluster) { delete(c, "cp1"); delete(c, "w1") }},
		"no agents on the control plane": {make: func(c cluster) {
			delete(c, "cp1")
			for _, m := range c {
				m.drop("mesh/peer/cp1/*")
				m.state("cluster/node/cp1/agent", "false")
			}
		}},
		"a cluster of one machine": {make: func(c cluster) {
			delete(c, "w1")
			delete(c, "w2")
			c["cp1"].drop("mesh/peer/*/*", "cluster/node/w1/*", "cluster/node/w2/*", "overlay/forwarding/*/*", "overlay/neighbour/*/*", "overlay/route/*")
		}},
		"a machine that has just started": {make: func(c cluster) {
			m := c["w2"]
			m.set("boot/started", readAt.Add(-40*time.Second).Format(time.RFC3339))
			m.state("boot/previous/how", "ordered")
			m.state("clock/container", "false")
			m.state("unit/systemd-timesyncd.service/active-state", "active")
			m.state("unit/systemd-timesyncd.service/file-state", "enabled")
			m.state("unit/kubelet.service/started", readAt.Add(-30*time.Second).Format(time.RFC3339))
			m.state("unit/kubelet.service/restarts", "1")
		}},
		"a machine that is drained and started again": {make: func(c cluster) {
			delete(c, "w2")
			for _, m := range c {
				m.silent("w2", "host", "pod")
				m.state("cluster/node/w2/unschedulable", "true")
				m.set("cluster/node/w2/ready", "False")
			}
		}},
		"swap on purpose, on a hypervisor's clock": {make: func(c cluster) {
			for _, m := range c {
				m.state("kubelet/host/swap", "true")
				m.state("limit/memory/swap-total-bytes", "4294967296")
				m.state("clock/container", "false")
				m.state("unit/chronyd.service/active-state", "inactive")
				m.state("unit/chronyd.service/file-state", "disabled")
			}
		}},
		"clocks a second apart": {make: func(c cluster) {
			c["cp1"].state("mesh/peer/w1/clock-offset", "1.02")
			c["w2"].state("mesh/peer/w1/clock-offset", "1.01")
			c["w1"].state("mesh/peer/cp1/clock-offset", "-1.02")
			c["w1"].state("mesh/peer/w2/clock-offset", "-1.01")
		}},
		"disks of other systems, full by design": {make: func(c cluster) {
			for _, disk := range []struct{ point, kind, readOnly string }{{"/boot/efi", "vfat", "false"}, {"/usr", "ext4", "true"}, {"/media/cdrom", "udf", "true"}} {
				key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("filesystem", disk.point, word) }
				for _, m := range c {
					m.state(key("type"), disk.kind)
					m.state(key("device"), "/dev/sda1")
					m.state(key("read-only"), disk.readOnly)
					m.state(key("used-bytes"), "104857600")
					m.state(key("free-bytes"), "0")
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := recorded(t)
			tc.make(c)
			d := diagnose(t, snapshotOf(c, tc.more))
			if diff := cmp.Diff([]string(nil), roots(d)); diff != "" {
				t.Errorf("incidents (-want +got):\n%s", diff)
				for _, f := range found(d) {
					t.Log(f)
				}
			}
		})
	}
}

// c3 are the addresses of the machines.
var c3 = map[string]string{"cp1": "10.99.0.11", "w1": "10.99.0.21", "w2": "10.99.0.22"}
