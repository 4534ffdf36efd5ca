package machines

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// logged makes the logs tell something since the fault began.
func (m *machine) logged(pattern, subject, line string) {
	key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("log", pattern, word) }
	m.state(key("count"), "5")
	m.state(key("first"), began.Format(time.RFC3339))
	m.state(key("last"), readAt.Format(time.RFC3339))
	m.state(key("line"), line)
	m.state(key("subject"), subject)
}

// notBefore and since shift a file's certificate.
func (m *machine) expire(files ...string) {
	for _, file := range files {
		m.state(snapshot.KeyOf("certificate", file, "not-after"), began.Format(time.RFC3339))
	}
}

// seen is a fault, what else is known, and the roots of the incidents that it is.
type seen struct {
	fault func(c cluster)
	more  func(*snapshot.Builder)
	want  []string
}

// inManyWays are faults of which logs, state and others' measurements tell.
var inManyWays = map[string]seen{
	"a disk gives errors": {
		fault: func(c cluster) {
			m, point := c["w2"], "/var/lib/containerd"
			m.logged("disk-error", "sdb", "blk_update_request: I/O error, dev sdb, sector 2048")
			m.logged("filesystem-error", "sdb", "EXT4-fs error (device sdb): ext4_find_entry:1455: inode #2")
			m.logged("filesystem-read-only", "sdb", "EXT4-fs (sdb): Remounting filesystem read-only")
			m.logged("task-hung", "containerd:60", "INFO: task containerd:60 blocked for more than 120 seconds.")
			m.logged("container-create-failed", "", "RunPodSandbox failed: read-only file system")
			m.logged("image-layer-broken", "", "failed to extract layer: input/output error")
			m.set(snapshot.KeyOf("filesystem", point, "read-only"), "true")
			m.state(snapshot.KeyOf("filesystem", point, "device"), "/dev/sdb")
			m.state("pressure/io/full/avg300", "71")
			m.set("cri/answer", "hung")
		},
		want: []string{"DiskErrors"},
	},
	"memory is used up": {
		fault: func(c cluster) {
			m := c["w2"]
			m.state("limit/memory/available-bytes", "80000000")
			m.set("pressure/memory/full/avg300", "45")
			m.set("pressure/io/full/avg300", "60")
			m.set("oom/cgroup/%2Fsystem.slice%2Fx.service/recent", "2")
			m.set("oom/cgroup/%2Fsystem.slice%2Fx.service/kills", "2")
			m.logged("oom-kill", "", "Out of memory: Killed process 4711 (java)")
		},
		want: []string{"MachineMemoryExhausted"},
	},
	"an NFS server does not answer": {
		fault: func(c cluster) {
			m := c["w2"]
			m.state("nfs/mount/%2Fdata/server", "10.99.0.9")
			m.set("nfs/server/10.99.0.9/stuck", "true")
			m.logged("task-hung", "kubelet:550", "INFO: task kubelet:550 blocked for more than 120 seconds.")
			m.logged("nfs-server-silent", "10.99.0.9", "nfs: server 10.99.0.9 not responding, still trying")
			m.state("kubelet/process/state", "D")
			m.state("unit/kubelet.service/started", "2026-11-21T19:17:23Z")
			m.drop("kubelet/healthz/status")
			m.set("kubelet/healthz/outcome", "timed-out")
			m.state("pressure/io/full/avg300", "71")
		},
		want: []string{"NfsServerNotResponding"},
	},
	"both ways to an iSCSI disk are lost": {
		fault: func(c cluster) {
			m, target, point := c["w2"], "iqn.2026-01.lab:disk", "/var/lib/data"
			for i, disk := range []string{"sdb", "sdc"} {
				key := func(word ...string) snapshot.EvidenceKey {
					return snapshot.KeyOf(append([]string{"iscsi", "session", "session" + strconv.Itoa(i)}, word...)...)
				}
				m.state(key("target"), target)
				m.state(key("portal"), "10.99.0.9:326"+strconv.Itoa(i))
				m.set(key("state"), "FAILED")
				m.set(key("connection"), "down")
				m.state(key("device", disk), "transport-offline")
				m.state(snapshot.KeyOf("multipath", "map", "mpatha", "path", disk), "faulty")
			}
			m.set("multipath/map/mpatha/usable", "0")
			m.state("multipath/map/mpatha/paths-seen", "2")
			m.logged("disk-error", "sdb,sdc,dm-0", "blk_update_request: I/O error, dev sdb, sector 2048")
			m.logged("filesystem-error", "dm-0", "EXT4-fs error (device dm-0): ext4_find_entry:1455: inode #2")
			m.state(snapshot.KeyOf("filesystem", point, "type"), "ext4")
			m.state(snapshot.KeyOf("filesystem", point, "device"), "/dev/mapper/mpatha")
			m.set(snapshot.KeyOf("filesystem", point, "read-only"), "true")
			m.logged("task-hung", "jbd2/dm-0:99", "INFO: task jbd2/dm-0:99 blocked for more than 120 seconds.")
		},
		want: []string{"IscsiSessionFailed", "IscsiSessionFailed"},
	},
	"no more processes can be started": {
		fault: func(c cluster) {
			m := c["w2"]
			m.state("limit/processes/used", "192000")
			m.logged("fork-failed", "", "fork/exec /usr/bin/runc: resource temporarily unavailable")
			m.logged("container-create-failed", "", "fork/exec /usr/bin/runc: resource temporarily unavailable")
		},
		want: []string{"ProcessLimitReached"},
	},
	"the table of connections is full": {
		fault: func(c cluster) {
			m := c["w2"]
			m.state("limit/conntrack/used", "262000")
			m.set("limit/conntrack/dropped", "900")
			m.logged("conntrack-full", "", "nf_conntrack: nf_conntrack: table full, dropping packet")
		},
		want: []string{"ConntrackFull"},
	},
	"an interface loses its link": {
		fault: func(c cluster) {
			c["w2"].logged("link-down", "eth0", "e1000e 0000:00:1f.6 eth0: NIC Link is Down")
			for _, other := range []string{"cp1", "w1"} {
				c["w2"].silent(other, "host", "pod")
				c[other].silent("w2", "host", "pod")
				c[other].set("dns/10.244.2.2:53/answer", "timeout")
				c[other].set("dns/10.244.2.2:53/tcp-answer", "timeout")
			}
			c["w2"].set("service/kubernetes/10.96.0.1:443/answer", "timeout")
			c["w2"].set("service/kubernetes/10.99.0.11:6443/answer", "timeout")
			c["w2"].drop("kubelet/api-server/status")
			c["w2"].set("kubelet/api-server/outcome", "timed-out")
		},
		more: nodes("w2"),
		want: []string{"LinkFlapping"},
	},
	"the certificates of etcd's members have expired": {
		fault: func(c cluster) {
			threeMembers(c)
			for _, node := range []string{"cp1", "cp2", "cp3"} {
				m := c[node]
				m.expire("/etc/kubernetes/pki/etcd/server.crt", "/etc/kubernetes/pki/etcd/peer.crt")
				for _, id := range []string{"2f79956f264cfa13", "second", "third"} {
					key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("etcd", "member", id, word) }
					m.set(key("quorum-read"), "hung")
					m.state(key("leader"), "0")
				}
				m.drop("component/kube-apiserver/ready-status", "component/kube-apiserver/status")
				m.set("component/kube-apiserver/outcome", "refused")
				m.state("component/kube-apiserver/processes", "0")
			}
		},
		want: []string{"MachineCertificateExpired", "MachineCertificateExpired", "MachineCertificateExpired"},
	},
	"containerd hangs, and the kubelet says so": {
		fault: func(c cluster) {
			m := c["w2"]
			m.set("cri/answer", "hung")
			m.drop("cri/condition/*/*", "cri/sandboxes/*", "sandbox/*/*")
			m.logged("task-hung", "containerd:60", "INFO: task containerd:60 blocked for more than 120 seconds.")
		},
		more: func(b *snapshot.Builder) {
			nodes()(b)
			notReady(b, "[container runtime is down, PLEG is not healthy: pleg was last seen active 3m1s ago; threshold is 3m0s]")
		},
		want: []string{"KernelTaskHung"},
	},
	"nobody gets through to the API server's port": {
		fault: func(c cluster) {
			for _, node := range []string{"w1", "w2"} {
				m := c[node]
				m.set("cluster/api", "silent")
				m.drop("kubelet/api-server/status")
				m.set("kubelet/api-server/outcome", "timed-out")
				m.set("service/kubernetes/10.96.0.1:443/answer", "timeout")
				m.set("service/kubernetes/10.99.0.11:6443/answer", "timeout")
			}
		},
		more: nodes("w1", "w2"), want: []string{"ApiServerUnreachableFromMachine"},
	},
	"an interface is switched off": {
		fault: func(c cluster) {
			m := c["w2"]
			m.set("interface/eth0/enabled", "false")
			m.set("interface/eth0/carrier", "false")
			m.set("interface/eth0/state", "down")
			m.set("route/default/10.99.0.1/neighbour", "failed")
			m.set("resolver/server/10.99.0.1/outcome", "timed-out")
			for _, other := range []string{"cp1", "w1"} {
				m.silent(other, "host", "pod")
				c[other].silent("w2", "host", "pod")
				c[other].set("dns/10.244.2.2:53/answer", "timeout")
				c[other].set("dns/10.244.2.2:53/tcp-answer", "timeout")
			}
			m.set("service/kubernetes/10.96.0.1:443/answer", "timeout")
			m.set("service/kubernetes/10.99.0.11:6443/answer", "timeout")
			m.drop("kubelet/api-server/status")
			m.set("kubelet/api-server/outcome", "timed-out")
		},
		want: []string{"InterfaceDown"},
	},
	"the default route was deleted": {
		fault: func(c cluster) {
			m := c["w2"]
			m.drop("route/default/*/*")
			m.set("resolver/server/10.99.0.1/outcome", "no-route")
			m.set("service/kubernetes/10.96.0.1:443/answer", "unreachable")
			m.set("dns/10.96.0.10:53/answer", "unreachable")
			m.set("dns/10.96.0.10:53/tcp-answer", "unreachable")
		},
		want: []string{"DefaultRouteMissing"},
	},
	"a packet filter drops the overlay": {
		fault: func(c cluster) {
			m := c["w2"]
			rule := func(word string) snapshot.EvidenceKey {
				return snapshot.KeyOf("filter", "rule", "inet filter", "input", "7", word)
			}
			m.state(rule("text"), "udp dport 8472 drop")
			m.state(rule("hooks"), "input")
			m.state(rule("protocol"), "udp")
			m.state(rule("ports"), "8472")
			for _, other := range []string{"cp1", "w1"} {
				m.silent(other, "pod")
				c[other].silent("w2", "pod")
				c[other].set("dns/10.244.2.2:53/answer", "timeout")
				c[other].set("dns/10.244.2.2:53/tcp-answer", "timeout")
			}
		},
		want: []string{"PacketFilterBlocksCluster"},
	},
	"a machine does not forward": {
		fault: func(c cluster) {
			c["w2"].set("sysctl/net.ipv4.ip_forward", "0")
			for _, other := range []string{"cp1", "w1"} {
				c[other].set("dns/10.244.2.2:53/answer", "timeout")
				c[other].set("dns/10.244.2.2:53/tcp-answer", "timeout")
			}
		},
		want: []string{"ForwardingDisabled"},
	},
	"chronyd has failed": {
		fault: func(c cluster) {
			m := c["w2"]
			for word, value := range map[string]string{"load-state": "loaded", "file-state": "enabled", "result": "exit-code", "active-state": "failed", "sub-state": "failed"} {
				m.set(snapshot.KeyOf("unit", "chronyd.service", word), value)
			}
			m.state("clock/container", "false")
			for _, other := range []string{"cp1", "w1"} {
				c[other].state("mesh/peer/w2/clock-offset", "7.2")
				m.state(snapshot.KeyOf("mesh", "peer", other, "clock-offset"), "-7.2")
			}
		},
		want: []string{"UnitFailed"},
	},
	"the API server was killed": {
		fault: func(c cluster) {
			m := c["cp1"]
			m.drop("component/kube-apiserver/status", "component/kube-apiserver/ready-status")
			m.set("component/kube-apiserver/outcome", "refused")
			m.state("component/kube-apiserver/processes", "0")
			m.state("component/kube-apiserver/last-error", `"command failed" err="unknown flag: --no-such-flag"`)
			for _, name := range []string{"kube-scheduler", "kube-controller-manager"} {
				m.drop(snapshot.KeyOf("component", name, "status"))
				m.set(snapshot.KeyOf("component", name, "outcome"), "refused")
				m.state(snapshot.KeyOf("component", name, "processes"), "0")
			}
			for _, m := range c {
				m.set("cluster/api", "silent")
				m.drop("kubelet/api-server/status")
				m.set("kubelet/api-server/outcome", "refused")
				m.set("service/kubernetes/10.96.0.1:443/answer", "refused")
				m.set("service/kubernetes/10.99.0.11:6443/answer", "refused")
			}
		},
		more: func(b *snapshot.Builder) {
			b.SetAPI(snapshot.API{Asked: true, Server: "10.99.0.11:6443", Failure: &snapshot.APIFailure{Layer: snapshot.LayerConnect, Message: "dial tcp 10.99.0.11:6443: connect: connection refused"}})
		},
		want: []string{"ComponentNotAnswering"},
	},
	"no network plugin is configured": {
		fault: func(c cluster) {
			m := c["w2"]
			m.set("cni/configurations", "0")
			m.drop("cni/first", "cni/configuration/*/*")
			m.set("cri/condition/NetworkReady/status", "false")
			m.state("cri/condition/NetworkReady/message", "Network plugin returns error: cni plugin not initialized")
			for _, m := range c {
				m.set("cluster/node/w2/ready", "False")
			}
		},
		want: []string{"CniConfigMissing"},
	},
	"certificates of a control plane have expired": {
		fault: func(c cluster) {
			m, pki := c["cp1"], "/etc/kubernetes/pki/"
			m.expire(pki+"apiserver.crt", pki+"apiserver-etcd-client.crt", pki+"apiserver-kubelet-client.crt", pki+"front-proxy-client.crt", pki+"etcd/server.crt", pki+"etcd/peer.crt",
				"/etc/kubernetes/controller-manager.conf", "/etc/kubernetes/scheduler.conf", "/etc/kubernetes/admin.conf")
			m.set("etcd/local/answer", "certificate")
			m.set("etcd/member/2f79956f264cfa13/answer", "certificate")
			m.drop("etcd/member/*/quorum-read")
			m.drop("component/kube-apiserver/status", "component/kube-apiserver/ready-status")
			m.set("component/kube-apiserver/outcome", "refused")
			m.state("component/kube-apiserver/processes", "0")
			for _, m := range c {
				m.drop("kubelet/api-server/status")
				m.set("kubelet/api-server/outcome", "refused")
				m.set("service/kubernetes/10.96.0.1:443/answer", "refused")
				m.set("service/kubernetes/10.99.0.11:6443/answer", "refused")
			}
		},
		want: []string{"MachineCertificateExpired"},
	},
	"a machine of the control plane is off": {
		fault: func(c cluster) {
			threeMembers(c)
			delete(c, "cp3")
			for node, m := range c {
				m.dropMember("third")
				if node == "cp2" {
					continue
				}
				for _, network := range []string{"host", "pod"} {
					for _, word := range []string{"in-age", "in-loss", "out-loss"} {
						m.state(snapshot.KeyOf("mesh", "peer", "cp3", network+"-"+word), "0")
					}
				}
				m.set("mesh/peer/cp3/expected", "true")
				m.state("mesh/peer/cp3/address", "10.99.0.13")
				m.silent("cp3", "host", "pod")
				m.state("cluster/node/cp3/internal-ip", "10.99.0.13")
				m.set("service/kubernetes/10.99.0.13:6443/answer", "timeout")
				m.state("service/kubernetes/10.99.0.13:6443/role", "server")
				m.state("service/kubernetes/10.99.0.13:6443/node", "cp3")
			}
		},
		want: []string{"MachineUnreachable"},
	},
}

// TestOneFaultSeenInManyWays holds that what the logs, the state and others' measurements tell of one fault
// is one incident.
func TestOneFaultSeenInManyWays(t *testing.T) {
	for name, tc := range inManyWays {
		t.Run(name, func(t *testing.T) {
			c := recorded(t)
			tc.fault(c)
			d := diagnose(t, snapshotOf(c, tc.more))
			if diff := cmp.Diff(tc.want, roots(d)); diff != "" {
				t.Errorf("incidents (-want +got):\n%s", diff)
				for _, f := range d.Findings {
					t.Logf("%s %s %s settling=%v since=%s: %s %v", f.Incident, f.Severity, f.Code, f.Settling, f.Since.Format(time.TimeOnly), f.Title.EN, f.Subject)
				}
			}
		})
	}
}

// notReady is w2 as a kubelet has it that is not well.
func notReady(b *snapshot.Builder, message string) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w2", UID: "1", CreationTimestamp: metav1.NewTime(readAt.Add(-24 * time.Hour))}}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.99.0.22"}}
	n.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady", Message: message,
		LastHeartbeatTime: metav1.NewTime(readAt), LastTransitionTime: metav1.NewTime(began),
	}}
	b.Add(n)
}
