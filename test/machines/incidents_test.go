package machines

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// nodes are the Nodes of a cluster and the Leases of their kubelets, as the API server has them while the kubelets of
// some do not report.
func nodes(lost ...string) func(*snapshot.Builder) {
	return func(b *snapshot.Builder) {
		b.SetAPI(snapshot.API{Asked: true, Server: "10.99.0.11:6443", Checks: []snapshot.HealthCheck{{Name: "ping", OK: true}}})
		for _, kind := range []snapshot.Kind{snapshot.KindOf[*corev1.Node](), snapshot.KindOf[*coordinationv1.Lease](), snapshot.KindOf[*corev1.Pod]()} {
			b.SetCoverage(kind, snapshot.Coverage{State: snapshot.Complete})
		}
		for name, address := range map[string]string{"cp1": "10.99.0.11", "w1": "10.99.0.21", "w2": "10.99.0.22"} {
			status, at, renewed := corev1.ConditionTrue, readAt.Add(-time.Hour), readAt.Add(-5*time.Second)
			for _, l := range lost {
				if l == name {
					status, at, renewed = corev1.ConditionUnknown, began.Add(50*time.Second), began
				}
			}
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "1", CreationTimestamp: metav1.NewTime(readAt.Add(-24 * time.Hour))}}
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, Reason: "x", LastTransitionTime: metav1.NewTime(at), LastHeartbeatTime: metav1.NewTime(renewed)}}
			if status == corev1.ConditionUnknown {
				n.Status.Conditions[0].Reason = "NodeStatusUnknown"
				n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute}}
			}
			renew := metav1.NewMicroTime(renewed)
			seconds := int32(40)
			b.Add(n)
			b.Add(&coordinationv1.Lease{
				ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: name, CreationTimestamp: n.CreationTimestamp},
				Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, RenewTime: &renew, LeaseDurationSeconds: &seconds},
			})
		}
	}
}

// stop makes a unit one that was stopped when the fault began.
func (m *machine) stop(unit string) {
	key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("unit", unit, word) }
	m.set(key("active-state"), "inactive")
	m.set(key("sub-state"), "dead")
	m.drop(key("main-pid"))
}

// loop makes a unit one that ends after each start.
func (m *machine) loop(unit, said string) {
	key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("unit", unit, word) }
	m.set(key("active-state"), "activating")
	m.set(key("sub-state"), "auto-restart")
	m.state(key("result"), "exit-code")
	m.state(key("exit-code"), "exited")
	m.state(key("exit-status"), "1")
	m.state(key("restarts"), "11")
	m.state(key("restarts-10m"), "11")
	m.state(key("failing-since"), began.Format(time.RFC3339))
	m.state(key("last-error"), said)
	m.drop(key("main-pid"))
}

func (m *machine) withoutKubelet() {
	m.set("kubelet/process/running", "false")
	m.drop("kubelet/process/pid", "kubelet/process/state", "kubelet/healthz/status")
	m.set("kubelet/healthz/outcome", "refused")
	m.state("kubelet/healthz/error", "dial tcp 127.0.0.1:10248: connect: connection refused")
	m.set("kubelet/server/outcome", "refused")
}

func TestOneFaultIsOneIncident(t *testing.T) {
	for name, tc := range map[string]struct {
		fault func(c cluster)
		more  func(*snapshot.Builder)
		want  []string
	}{
		"nothing is wrong": {fault: func(cluster) {}},
		"nothing is wrong, and the API server says so": {fault: func(cluster) {}, more: nodes()},
		"the kubelet was stopped": {
			fault: func(c cluster) { c["w2"].stop("kubelet.service"); c["w2"].withoutKubelet() }, more: nodes("w2"), want: []string{"KubeletUnitStopped"},
		},
		"the kubelet cannot start": {
			fault: func(c cluster) {
				m := c["w2"]
				m.loop("kubelet.service", `failed to load kubelet config file, path: /var/lib/kubelet/config.yaml, error: yaml: line 12: did not find expected key`)
				m.withoutKubelet()
				m.state("kubelet/config/error", "did not find expected key")
				m.state("kubelet/config/error-line", "12")
				m.state("kubelet/config/error-text", "clusterDNS [10.96.0.10]")
				m.drop("kubelet/setting/*")
			},
			more: nodes("w2"), want: []string{"KubeletCannotStart"},
		},
		"containerd hangs": {
			fault: func(c cluster) {
				m := c["w2"]
				m.set("cri/answer", "hung")
				m.state("cri/error", "context deadline exceeded")
				m.drop("cri/condition/*/*", "cri/sandboxes/*", "sandbox/*/*", "cri/version", "cri/runtime")
			},
			want: []string{"ContainerRuntimeHung"},
		},
		"containerd was stopped": {
			fault: func(c cluster) {
				m := c["w2"]
				m.stop("containerd.service")
				m.set("cri/answer", "refused")
				m.drop("cri/condition/*/*", "cri/sandboxes/*", "sandbox/*/*", "cri/version", "cri/runtime")
			},
			want: []string{"ContainerRuntimeStopped"},
		},
		"the kubelet's certificate has expired": {
			fault: func(c cluster) {
				m := c["w2"]
				m.state("kubelet/client-certificate/not-after", began.Format(time.RFC3339))
				for _, file := range []string{"/var/lib/kubelet/pki/kubelet-client-current.pem"} {
					m.state(snapshot.KeyOf("certificate", file, "not-after"), began.Format(time.RFC3339))
				}
				m.state("kubelet/api-server/status", "401")
				m.loop("kubelet.service", "part of the existing bootstrap client certificate in /etc/kubernetes/kubelet.conf is expired")
				m.withoutKubelet()
			},
			more: nodes("w2"), want: []string{"KubeletCertificateExpired"},
		},
		"the API server's manifest is not valid": {
			fault: func(c cluster) {
				m, file := c["cp1"], "/etc/kubernetes/manifests/kube-apiserver.yaml"
				m.drop(snapshot.KeyOf("static-pod", file, "argument")+"/*", snapshot.KeyOf("static-pod", file)+"/*")
				m.state(snapshot.KeyOf("static-pod", file, "modified"), began.Format(time.RFC3339))
				m.state(snapshot.KeyOf("static-pod", file, "error"), "did not find expected key")
				m.state(snapshot.KeyOf("static-pod", file, "error-line"), "14")
				m.state(snapshot.KeyOf("static-pod", file, "error-text"), "- --allow-privileged=true")
				m.drop("component/kube-apiserver/status", "component/kube-apiserver/ready-status")
				m.set("component/kube-apiserver/outcome", "refused")
				m.state("component/kube-apiserver/processes", "0")
				for _, name := range []string{"kube-scheduler", "kube-controller-manager"} {
					m.drop(snapshot.KeyOf("component", name, "status"))
					m.set(snapshot.KeyOf("component", name, "outcome"), "refused")
					m.state(snapshot.KeyOf("component", name, "processes"), "0")
					m.state(snapshot.KeyOf("component", name, "last-error"), `"Leaderelection lost"`)
				}
				for _, m := range c {
					m.set("cluster/api", "silent")
					m.drop("kubelet/api-server/status")
					m.set("kubelet/api-server/outcome", "refused")
					m.state("kubelet/api-server/error", "dial tcp 10.99.0.11:6443: connect: connection refused")
					m.set("service/kubernetes/10.96.0.1:443/answer", "refused")
					m.set("service/kubernetes/10.99.0.11:6443/answer", "refused")
				}
			},
			want: []string{"StaticPodManifestInvalid"},
		},
		"flanneld was stopped, and its device taken away": {
			fault: func(c cluster) {
				m := c["w2"]
				m.stop("flanneld.service")
				m.state("flannel/running", "false")
				m.drop("overlay/device/flannel.1/*", "overlay/forwarding/*/*", "overlay/neighbour/*/*", "overlay/route/*")
				m.silent("cp1", "pod")
				m.silent("w1", "pod")
				c["cp1"].silent("w2", "pod")
				c["w1"].silent("w2", "pod")
			},
			want: []string{"UnitFailed"},
		},
		"kube-proxy was stopped": {
			fault: func(c cluster) {
				m := c["w2"]
				m.stop("kube-proxy.service")
				m.drop("component/kube-proxy/status")
				m.set("component/kube-proxy/outcome", "refused")
				m.state("component/kube-proxy/error", "connection refused")
				m.state("component/kube-proxy/processes", "0")
			},
			want: []string{"UnitFailed"},
		},
		"a machine is silent": {
			fault: func(c cluster) {
				delete(c, "w2")
				c["cp1"].silent("w2", "host", "pod")
				c["w1"].silent("w2", "host", "pod")
				for _, m := range c {
					m.set("dns/10.244.2.2:53/answer", "timeout")
					m.set("dns/10.244.2.2:53/tcp-answer", "timeout")
				}
			},
			more: nodes("w2"), want: []string{"MachineUnreachable"},
		},
		"the port of the overlay is dropped": {
			fault: func(c cluster) {
				for _, other := range []string{"cp1", "w1"} {
					m := c["w2"]
					m.silent(other, "pod")
					c[other].silent("w2", "pod")
					c[other].set("dns/10.244.2.2:53/answer", "timeout")
					c[other].set("dns/10.244.2.2:53/tcp-answer", "timeout")
				}
				c["w2"].set("dns/10.244.1.2:53/answer", "timeout")
				c["w2"].set("dns/10.244.1.2:53/tcp-answer", "timeout")
			},
			want: []string{"PodNetworkBroken"},
		},
		"the network falls into two parts": {
			fault: func(c cluster) {
				for _, other := range []string{"w1", "w2"} {
					c["cp1"].silent(other, "host", "pod")
					m := c[other]
					m.silent("cp1", "host", "pod")
					m.set("cluster/api", "silent")
					m.drop("kubelet/api-server/status")
					m.set("kubelet/api-server/outcome", "timed-out")
					m.state("kubelet/api-server/error", "i/o timeout")
					m.set("service/kubernetes/10.96.0.1:443/answer", "timeout")
					m.set("service/kubernetes/10.99.0.11:6443/answer", "timeout")
				}
				c["cp1"].set("dns/10.244.1.2:53/answer", "timeout")
				c["cp1"].set("dns/10.244.1.2:53/tcp-answer", "timeout")
				c["cp1"].set("dns/10.244.2.2:53/answer", "timeout")
				c["cp1"].set("dns/10.244.2.2:53/tcp-answer", "timeout")
				c["cp1"].set("dns/10.96.0.10:53/answer", "timeout")
				c["cp1"].set("dns/10.96.0.10:53/tcp-answer", "timeout")
			},
			more: nodes("w1", "w2"), want: []string{"NetworkPartitioned"},
		},
		"the disk of the kubelet's folder is full": {
			fault: func(c cluster) {
				m, point := c["w2"], "/var/lib/kubelet"
				m.state(snapshot.KeyOf("filesystem", point, "free-bytes"), "20971520")
				m.state(snapshot.KeyOf("filesystem", point, "used-bytes"), "2086510592")
				m.set("log/container-create-failed/count", "3")
				m.set("log/container-create-failed/line", "failed to create shim task: write /var/lib/containerd: no space left on device")
				m.set("log/container-create-failed/last", readAt.Format(time.RFC3339))
				m.set("log/container-create-failed/first", began.Format(time.RFC3339))
			},
			more: func(b *snapshot.Builder) {
				nodes()(b)
				pressed(b)
			},
			want: []string{"FilesystemFull"},
		},
		"the disk of etcd on one machine of three is full": {
			fault: func(c cluster) {
				threeMembers(c)
				m := c["cp3"]
				m.state(snapshot.KeyOf("filesystem", "/var/lib/etcd", "free-bytes"), "4096")
				m.state(snapshot.KeyOf("filesystem", "/var/lib/etcd", "used-bytes"), "1037475840")
				m.set("etcd/local/answer", "refused")
				m.set("etcd/local/process-state", "none")
				m.drop("etcd/metrics/*", "component/etcd/status", "component/etcd/ready-status", "component/kube-apiserver/ready-status")
				m.set("component/etcd/outcome", "refused")
				m.state("component/etcd/processes", "0")
				m.state("component/etcd/last-error", "failed to create WAL: no space left on device")
				m.set("component/kube-apiserver/outcome", "answered")
				m.state("component/kube-apiserver/status", "200")
				m.state("component/kube-apiserver/ready-status", "500")
				m.state("component/kube-apiserver/ready-body", "[-]etcd failed: reason withheld")
				for _, from := range c {
					from.dropMember("third")
				}
			},
			want: []string{"FilesystemFull"},
		},
	} {
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

// pressed is w2 with DiskPressure, and a pod that its kubelet evicted.
func pressed(b *snapshot.Builder) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w2", UID: "1", CreationTimestamp: metav1.NewTime(readAt.Add(-24 * time.Hour))}}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.99.0.22"}}
	now := metav1.NewTime(readAt.Add(-5 * time.Second))
	n.Status.Conditions = []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: now, LastTransitionTime: metav1.NewTime(readAt.Add(-time.Hour))},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue, Reason: "KubeletHasDiskPressure", Message: "kubelet has disk pressure", LastHeartbeatTime: now, LastTransitionTime: metav1.NewTime(began)},
	}
	n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeDiskPressure, Effect: corev1.TaintEffectNoSchedule}}
	b.Add(n)
	b.Add(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "p", CreationTimestamp: metav1.NewTime(readAt.Add(-time.Hour))},
		Spec:       corev1.PodSpec{NodeName: "w2", Containers: []corev1.Container{{Name: "web", Image: "web"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on resource: ephemeral-storage. Threshold quantity: 210748211, available: 20480Ki.", StartTime: &metav1.Time{Time: readAt.Add(-time.Hour)},
			Conditions: []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "TerminationByKubelet", LastTransitionTime: metav1.NewTime(began)}},
		},
	})
}

// threeMembers makes a control plane of three machines out of the one that was recorded.
func threeMembers(c cluster) {
	first := c["cp1"]
	own := snapshot.EvidenceKey("etcd/member/2f79956f264cfa13")
	for id, node := range map[string]string{"second": "cp2", "third": "cp3"} {
		m := &machine{node: node, values: maps.Clone(first.values), original: first.original}
		m.drop("mesh/*/*/*", "flannel/*/*", "overlay/*/*/*", "overlay/*/*", "kubelet/*/*", "cluster/*/*/*", "cluster/*/*", "flannel/*", "interface/*/*", "route/neighbour/*/*")
		m.state("etcd/local/member", id)
		m.state("etcd/local/name", node)
		c[node] = m
	}
	for _, m := range []*machine{first, c["cp2"], c["cp3"]} {
		for id, node := range map[string]string{"second": "cp2", "third": "cp3"} {
			for k, e := range m.values {
				if s := k.Segments(); k.Fits(own + "/*") {
					m.state(snapshot.KeyOf("etcd", "member", id, s[3]), e.Value)
				}
			}
			address := map[string]string{"cp2": "10.99.0.12", "cp3": "10.99.0.13"}[node]
			m.state(snapshot.KeyOf("etcd", "member", id, "name"), node)
			m.state(snapshot.KeyOf("etcd", "member", id, "peer-urls"), "https://"+address+":2380")
			m.state(snapshot.KeyOf("etcd", "member", id, "client-urls"), "https://"+address+":2379")
		}
	}
}

// dropMember makes a member one that refuses connections.
func (m *machine) dropMember(id string) {
	for k := range m.values {
		s := k.Segments()
		if len(s) == 4 && k.Fits(snapshot.KeyOf("etcd", "member", id)+"/*") && s[3] != "name" && s[3] != "peer-urls" && s[3] != "client-urls" && s[3] != "learner" {
			delete(m.values, k)
		}
	}
	if _, ok := m.values["etcd/cluster/id"]; ok {
		m.set(snapshot.KeyOf("etcd", "member", id, "answer"), "refused")
		m.state(snapshot.KeyOf("etcd", "member", id, "error"), "dial tcp 10.99.0.13:2379: connect: connection refused")
	}
}
