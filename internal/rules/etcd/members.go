package etcd

import (
	"slices"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// manifest is the file from which the kubelet starts etcd
// (k8s.io/kubernetes/cmd/kubeadm/app/constants, GetStaticPodFilepath).
const manifest = "/etc/kubernetes/manifests/etcd.yaml"

// store is etcd as a whole.
var store = finding.Subject{Kind: "Endpoint", Name: "etcd"}

// members returns the static pods of etcd; none where it runs outside of the cluster.
func members(s *snapshot.Snapshot) []*corev1.Pod { return s.ControlPlanePods("etcd") }

// quorum is how many of n members must run (https://etcd.io/docs/v3.6/faq/, "failure tolerance").
func quorum(n int) int { return n/2 + 1 }

// machines are the nodes of pods, sorted.
func machines(pods []*corev1.Pod) []string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Spec.NodeName)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// lastWrite is when any Lease was last written: every kubelet writes one every ten seconds, so that it
// is the last moment at which the store took a write; zero where no Lease tells.
func lastWrite(s *snapshot.Snapshot) time.Time {
	var last time.Time
	for _, l := range snapshot.List[*coordinationv1.Lease](s) {
		_, at := snapshot.LastManager(l)
		if at.IsZero() && l.Spec.RenewTime != nil {
			at = l.Spec.RenewTime.Time
		}
		last = finding.Later(last, at)
	}
	return last
}

// silence is for how long no Lease may be written before that means something: six renewals of a
// kubelet (k8s.io/kubernetes/pkg/kubelet/apis/config, NodeLeaseDurationSeconds: a quarter of 40 s).
const silence = time.Minute

// unwritten tells since when nothing has been written although everything can be read.
func unwritten(p *rule.Pass) (time.Time, bool) {
	c := p.Coverage(snapshot.KindOf[*coordinationv1.Lease]())
	last := lastWrite(p.Snapshot)
	return last, c.State == snapshot.Complete && !c.FromCache && !last.IsZero() && p.Now().Sub(last) > silence
}

// logOf asks for the end of the log of a static pod of the control plane.
func logOf(p *rule.Pass, pod *corev1.Pod, component string) (string, bool) {
	a, ok := p.Ask(snapshot.Question{Kind: snapshot.ContainerLog, Namespace: pod.Namespace, Name: pod.Name, Container: component})
	return a.Text, ok && a.Outcome == snapshot.Answered
}

// metrics asks for those of the API server.
func metrics(p *rule.Pass) (snapshot.Metrics, bool) {
	a, ok := p.Ask(snapshot.Question{Kind: snapshot.APIServerMetrics})
	if !ok || a.Outcome != snapshot.Answered {
		return nil, false
	}
	// What stands before a line that cannot be read is as good as ever.
	m, _ := snapshot.ParseMetrics(a.Text)
	return m, true
}

// defaultQuota is the size in bytes at which etcd takes no more writes where no flag says otherwise
// (go.etcd.io/etcd/server/storage/quota.go, DefaultQuotaBytes).
const defaultQuota = 2 << 30

// quotaOf is the size in bytes at which etcd takes no more writes, as its static pods' flags say; false
// where no pod shows them.
func quotaOf(pods []*corev1.Pod) (int64, bool) {
	if len(pods) == 0 {
		return 0, false
	}
	smallest := int64(0)
	for _, pod := range pods {
		quota := int64(defaultQuota)
		for i := range pod.Spec.Containers {
			c := &pod.Spec.Containers[i]
			for _, arg := range slices.Concat(c.Command, c.Args) {
				if v, ok := strings.CutPrefix(strings.TrimLeft(arg, "-"), "quota-backend-bytes="); ok {
					if n, err := strconv.ParseInt(v, 10, 64); err == nil && n > 0 {
						quota = n
					}
				}
			}
		}
		if smallest == 0 || quota < smallest {
			smallest = quota
		}
	}
	return smallest, true
}

// bytes writes a number of bytes as people do.
func bytes(n int64) string {
	const mib = 1 << 20
	return resource.NewQuantity(max(1, n/mib)*mib, resource.BinarySI).String()
}

// onMachines makes one remedy of each of the first few machines; where none is known the text stands alone.
func onMachines(names []string, text finding.Text, command string) []finding.Remedy {
	const readable = 3
	if len(names) == 0 {
		return []finding.Remedy{{Text: finding.Join(": ", finding.Text{EN: "on each machine that runs etcd", KO: "etcd가 있는 각 머신에서"}, finding.Verbatim("`"+command+"`"))}}
	}
	var out []finding.Remedy
	for _, name := range names[:min(len(names), readable)] {
		out = append(out, finding.Remedy{Text: text, Command: command, Machine: name})
	}
	return out
}

// etcdctl is how kubeadm's members are asked on their own machine
// (https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/).
const etcdctl = "crictl exec $(crictl ps -q --name etcd | head -n 1) etcdctl --endpoints=https://127.0.0.1:2379 " +
	"--cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key "
