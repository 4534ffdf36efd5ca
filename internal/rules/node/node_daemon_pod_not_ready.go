package node

import (
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeDaemonPodNotReady",
	Title: finding.Text{
		EN: "network daemon is not ready on one node",
		KO: "한 노드에서 네트워크 데몬이 준비되지 않았습니다",
	},
	Doc: finding.Text{
		EN: "The pod that brings the network to a ready node is not ready there, or is missing, while the same DaemonSet is ready on other nodes: the network plugin (it mounts the host's plugin configuration), so " +
			"that no pod can be started there and routes go stale, or kube-proxy, so that Services changed since are not reached from that node. What keeps that pod from running is its cause. A " +
			"DaemonSet that is ready nowhere, one being rolled out, a node that the DaemonSet does not want, a node that is not ready and one in its first two minutes are left alone.",
		KO: "Ready인 노드에서 네트워크를 제공하는 Pod가 준비되지 않았거나 없는데 같은 DaemonSet이 다른 노드에서는 준비 상태입니다. 네트워크 플러그인(호스트의 플러그인 설정을 mount하는 DaemonSet)이면 그 노드에서 Pod를 시작할 수 없고 경로가 갱신되지 않으며, " +
			"kube-proxy이면 그 뒤 바뀐 Service에 그 노드에서 연결되지 않습니다. 그 Pod가 실행되지 못하는 이유가 원인이 됩니다. 어느 노드에서도 준비되지 않은 DaemonSet, rollout 중인 DaemonSet, DaemonSet의 대상이 아닌 노드, Ready가 아닌 노드, 참여한 지 2분이 안 된 노드는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/",
	Severity: finding.Warning,
	Needs: append([]rule.Need{
		rule.Any[*corev1.Node](), rule.Whole[*corev1.Pod](), rule.Any[*appsv1.DaemonSet](), rule.Optional[*coordinationv1.Lease](),
	}, rule.Owners()...),
	For: 2 * time.Minute,
	Causes: []rule.Cause{
		{Code: "ContainerCrashLoop", Via: rule.Cluster, Holds: isDaemonOfNode},
		{Code: "ContainerStartFailing", Via: rule.Cluster, Holds: isDaemonOfNode},
		{Code: "LivenessProbeFailing", Via: rule.Cluster, Holds: isDaemonOfNode},
		{Code: "ContainerOOMKilled", Via: rule.Cluster, Holds: isDaemonOfNode},
		{Code: "ImageNotFound", Via: rule.Cluster, Holds: isDaemonOfNode},
		{Code: "ImagePullDenied", Via: rule.Cluster, Holds: isDaemonOfNode},
		{Code: "PodStuckCreating", Via: rule.Cluster, Holds: isDaemonOfNode},
	},
	Detect: detectNodeDaemonPodNotReady,
})

// isDaemonOfNode tells whether the cause is about a DaemonSet whose pod on the effect's node is not
// ready.
func isDaemonOfNode(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	return slices.ContainsFunc(s.PodsOn(effect.Subject.Name), func(p *corev1.Pod) bool {
		return !snapshot.PodReady(p) && s.Workload(p) == cause.Subject && slices.Contains(effect.Explains, snapshot.SubjectOf(p))
	})
}

// role is what a DaemonSet does for a node.
type role int

const (
	otherDaemon role = iota
	pluginDaemon
	proxyDaemon
)

// roleOf tells what a DaemonSet does for a node: its network plugin's installer mounts the host's
// plugin configuration or programs; kube-proxy bears the label that every installer gives it
// (k8s.io/kubernetes/cmd/kubeadm/app/phases/addons/proxy/manifests.go).
func roleOf(d *appsv1.DaemonSet) role {
	spec := &d.Spec.Template.Spec
	if slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool {
		return v.HostPath != nil && (strings.HasPrefix(v.HostPath.Path, "/etc/cni") || strings.HasPrefix(v.HostPath.Path, "/opt/cni"))
	}) {
		return pluginDaemon
	}
	if d.Spec.Template.Labels["k8s-app"] == "kube-proxy" {
		return proxyDaemon
	}
	return otherDaemon
}

func detectNodeDaemonPodNotReady(p *rule.Pass) {
	found := map[string]*finding.Finding{}
	for _, d := range snapshot.List[*appsv1.DaemonSet](p.Snapshot) {
		role := roleOf(d)
		if role == otherDaemon || d.DeletionTimestamp != nil || d.Status.UpdatedNumberScheduled < d.Status.DesiredNumberScheduled {
			continue
		}
		of := map[string]*corev1.Pod{}
		ready := 0
		for _, pod := range p.PodsOf(snapshot.SubjectOf(d)) {
			if pod.DeletionTimestamp == nil && pod.Spec.NodeName != "" {
				of[pod.Spec.NodeName] = pod
			}
			if snapshot.PodReady(pod) {
				ready++
			}
		}
		if ready == 0 {
			continue
		}
		for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
			pod := of[n.Name]
			if pod != nil && (snapshot.PodReady(pod) || p.PodStarting(pod) || p.Now().Sub(pod.CreationTimestamp.Time) < settled) || !shouldCarry(p, d, n) {
				continue
			}
			if pod == nil && len(of) >= int(d.Status.DesiredNumberScheduled) {
				continue // Its controller wants none there.
			}
			if found[n.Name] == nil {
				f := daemonNotReady(p, d, n, pod, role, ready)
				found[n.Name] = &f
				continue
			}
			f := found[n.Name]
			more := daemonNotReady(p, d, n, pod, role, ready)
			f.Why = finding.Join(" ", f.Why, more.Why)
			f.Evidence, f.Explains = append(f.Evidence, more.Evidence...), append(f.Explains, more.Explains...)
		}
	}
	for _, name := range sortedKeys(found) {
		p.Report(*found[name])
	}
}

// shouldCarry tells whether a DaemonSet's pod belongs on a node that is well.
func shouldCarry(p *rule.Pass, d *appsv1.DaemonSet, n *corev1.Node) bool {
	ready := snapshot.NodeCondition(n, corev1.NodeReady)
	if ready == nil || ready.Status != corev1.ConditionTrue || young(p.Snapshot, n) || leaving(n) || snapshot.VirtualNode(n) || p.Writer(snapshot.KubeletOn(n.Name)).State == snapshot.Dead {
		return false
	}
	like := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name}, Spec: d.Spec.Template.Spec}
	h, wants := board{s: p.Snapshot, free: map[string]corev1.ResourceList{n.Name: n.Status.Allocatable}}.between(newSeeker(like), n)
	// A daemon's pods tolerate a cordon and a node's own troubles
	// (k8s.io/kubernetes/pkg/controller/daemon/util/daemonset_util.go).
	return wants && !slices.ContainsFunc(h.taints, func(t corev1.Taint) bool { return !snapshot.FaultTaint(&t) })
}

func daemonNotReady(p *rule.Pass, d *appsv1.DaemonSet, n *corev1.Node, pod *corev1.Pod, role role, ready int) finding.Finding {
	subject := snapshot.SubjectOf(d)
	f := finding.Finding{
		Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismFailing,
		Title: finding.Textf("node %s: the pod of %s is not ready there, and is elsewhere (%d of its pods)", "노드 %s: %s의 Pod가 준비되지 않았습니다(다른 노드 %d개에서는 준비됨)", n.Name, finding.Qualified(subject), ready),
	}
	state := finding.Textf("DaemonSet %s has no pod on it.", "DaemonSet %s의 Pod가 이 노드에 없습니다.", finding.Qualified(subject))
	if pod == nil {
		f.Mechanism = v1alpha1.MechanismMissing
		f.Evidence = []finding.Evidence{{Source: finding.Named(subject), Path: "pods on node " + n.Name, Value: "none"}}
		f.Remedies.Now = []finding.Remedy{{Text: finding.Text{EN: "see why it is not made", KO: "생성되지 않는 이유를 확인합니다"}, Command: "kubectl -n " + d.Namespace + " describe daemonset " + d.Name}}
	} else {
		f.Since = snapshot.NotReadySince(pod)
		state = finding.Textf("Its pod %s/%s of DaemonSet %s is not ready since %s.", "DaemonSet %[3]s의 Pod %[1]s/%[2]s가 %[4]s부터 준비되지 않았습니다.", pod.Namespace, pod.Name, d.Name, finding.Clock(p.Now(), f.Since))
		f.Explains = append(f.Explains, snapshot.SubjectOf(pod))
		f.Evidence = []finding.Evidence{{Source: finding.Named(snapshot.SubjectOf(pod)), Path: ".status.conditions[Ready]", Value: "False", At: finding.Timestamp(f.Since)}}
		f.Remedies.Now = []finding.Remedy{{
			Text: finding.Text{EN: "see what keeps it from running", KO: "실행되지 못하는 이유를 확인합니다"}, Command: "kubectl -n " + pod.Namespace + " describe pod " + pod.Name + "; kubectl -n " + pod.Namespace + " logs " + pod.Name + " --all-containers --tail=50",
		}}
	}
	harm := finding.Text{
		EN: "Services that changed since are not reached from this node as they should be; what was set up before goes on.",
		KO: "그 뒤 바뀐 Service에는 이 노드에서 제대로 연결되지 않습니다. 이전에 설정된 것은 계속 동작합니다.",
	}
	if role == pluginDaemon {
		harm = finding.Text{
			EN: "It brings the network: no pod can be started here while it is down, and routes to pods elsewhere are not kept.",
			KO: "네트워크를 제공하는 Pod이므로 복구될 때까지 이 노드에서 Pod를 시작할 수 없고 다른 노드의 Pod로 가는 경로도 갱신되지 않습니다.",
		}
		f.Explains = append(f.Explains, withoutNetwork(p, n.Name)...)
	}
	f.Why = finding.Join(" ", state, finding.Textf("It is ready elsewhere (%d of its pods), so its image and configuration work.", "다른 노드 %d개에서는 준비 상태이므로 이미지와 설정은 정상입니다.", ready), harm)
	f.RuledOut = kubeletLives(p.Snapshot, n)
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "give network daemons the priority system-node-critical and memory requests, and watch their readiness per node",
		KO: "네트워크 데몬에 system-node-critical priority와 메모리 request를 지정하고 노드별 준비 상태를 감시합니다",
	}}}
	return f
}

// withoutNetwork are the pods that are bound to a node and have got no address, long after they should.
func withoutNetwork(p *rule.Pass, node string) []finding.Subject {
	var out []finding.Subject
	for _, pod := range p.PodsOn(node) {
		c := snapshot.PodCondition(pod, corev1.PodScheduled)
		if pod.Status.PodIP == "" && !pod.Spec.HostNetwork && pod.Status.Phase == corev1.PodPending && c != nil && p.Now().Sub(c.LastTransitionTime.Time) > settled {
			out = append(out, snapshot.SubjectOf(pod))
		}
	}
	return out
}
