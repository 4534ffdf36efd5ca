package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NetworkPluginNotReady",
	Title: finding.Text{
		EN: "network plugin not ready",
		KO: "네트워크 플러그인이 준비되지 않았습니다",
	},
	Doc: finding.Text{
		EN: "The container runtime on a node has no working network plugin (Ready=False with NetworkPluginNotReady: no configuration in /etc/cni/net.d, or a broken one), or the plugin itself " +
			"says so (NetworkUnavailable=True). Pods that run keep their network; no pod can be started but those on the host's network. Where the plugin comes as a DaemonSet its pod on " +
			"the node is looked at, and what keeps that from running is the cause. A node in its first two minutes is left alone, for it waits for that DaemonSet.",
		KO: "노드의 컨테이너 런타임에 쓸 수 있는 네트워크 플러그인이 없거나(Ready=False, NetworkPluginNotReady: /etc/cni/net.d에 설정이 없거나 잘못됨), 플러그인이 직접 이상을 알립니다(NetworkUnavailable=True). 실행 중인 Pod의 네트워크는 유지되지만 " +
			"hostNetwork를 쓰지 않는 Pod는 시작할 수 없습니다. 플러그인이 DaemonSet이면 그 노드의 Pod를 확인하며, 그 Pod가 실행되지 못하는 이유가 원인이 됩니다. 참여한 지 2분이 안 된 노드는 DaemonSet을 기다리는 중이므로 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/",
	Severity: finding.Warning,
	Needs:    slices.Concat(readyFalseNeeds(), rule.Owners()),
	For:      time.Minute,
	Causes: []rule.Cause{
		{Code: "CniConfigMissing", Via: rule.OnMachine},
		{Code: "CniConfigInvalid", Via: rule.OnMachine},
		{Code: "ContainerRuntimeNotReady", Via: rule.OnMachine},
		{Code: "ContainerCrashLoop", Via: rule.Cluster, Holds: isPluginOfNode},
		{Code: "ContainerStartFailing", Via: rule.Cluster, Holds: isPluginOfNode},
		{Code: "LivenessProbeFailing", Via: rule.Cluster, Holds: isPluginOfNode},
		{Code: "ContainerOOMKilled", Via: rule.Cluster, Holds: isPluginOfNode},
		{Code: "ImageNotFound", Via: rule.Cluster, Holds: isPluginOfNode},
		{Code: "ImagePullDenied", Via: rule.Cluster, Holds: isPluginOfNode},
		{Code: "PodStuckCreating", Via: rule.Cluster, Holds: isPluginOfNode},
	},
	Detect: detectNetworkPluginNotReady,
})

func detectNetworkPluginNotReady(p *rule.Pass) {
	reported := map[string]bool{}
	for _, n := range readyFalseNodes(p) {
		if troubleOf(n.ready.Message) == noNetwork {
			reported[n.node.Name] = true
			p.Report(pluginNotReady(p, n.node, n.ready))
		}
	}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		c := snapshot.NodeCondition(n, corev1.NodeNetworkUnavailable)
		if c == nil || c.Status != corev1.ConditionTrue || reported[n.Name] || young(p.Snapshot, n) || leaving(n) ||
			p.Writer(snapshot.KubeletOn(n.Name)).State == snapshot.Dead {
			continue
		}
		p.Report(pluginNotReady(p, n, c))
	}
}

func pluginNotReady(p *rule.Pass, n *corev1.Node, c *corev1.NodeCondition) finding.Finding {
	message := finding.Quote(c.Message)
	f := finding.Finding{
		Subject:    snapshot.SubjectOf(n),
		Mechanism:  v1alpha1.MechanismFailing,
		Confidence: v1alpha1.ConfidenceMedium,
		Since:      c.LastTransitionTime.Time,
		Title:      finding.Textf("node %s: the network plugin is not ready", "노드 %s: 네트워크 플러그인이 준비되지 않았습니다", n.Name),
		Why: finding.Textf("Its %s is %s: %s. Pods that run keep their network; no new pod gets one.",
			"%s condition이 %s입니다: %s. 실행 중인 Pod의 네트워크는 유지되지만 새 Pod에는 네트워크가 생기지 않습니다.", c.Type, c.Status, message),
		Evidence: []finding.Evidence{{
			Source: "Node " + n.Name, Path: fmt.Sprintf(".status.conditions[%s]", c.Type),
			Value: finding.Quote(fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)), At: finding.Timestamp(c.LastTransitionTime.Time),
		}},
		RuledOut: kubeletLives(p.Snapshot, n),
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Text{EN: "is a configuration there, and the programs that it names", KO: "설정 파일과, 그 안에 적힌 프로그램이 있는지 확인합니다"},
			Command: "ls -l /etc/cni/net.d /opt/cni/bin; crictl info | grep -A5 lastCNILoadStatus", Machine: n.Name,
		}}},
	}
	if strings.Contains(c.Message, "cni plugin not initialized") || strings.Contains(c.Message, "cni config uninitialized") {
		f.Mechanism = v1alpha1.MechanismMissing
		f.Field = "/etc/cni/net.d"
		f.Title = finding.Textf("node %s: there is no network plugin configuration", "노드 %s: 네트워크 플러그인 설정이 없습니다", n.Name)
		f.Why = finding.Join(" ", f.Why, finding.Text{
			EN: "The runtime finds no valid configuration in /etc/cni/net.d.",
			KO: "런타임이 /etc/cni/net.d에서 올바른 설정을 찾지 못했습니다.",
		})
	}
	for _, pod := range pluginPods(p.Snapshot, n.Name) {
		if snapshot.PodReady(pod) {
			f.RuledOut = append(f.RuledOut, finding.Statement{Text: finding.Textf("the plugin's own pod %s/%s: it is ready",
				"플러그인 Pod %s/%s: 준비 상태입니다", pod.Namespace, pod.Name)})
			continue
		}
		f.Why = finding.Join(" ", f.Why, finding.Textf("The plugin's own pod there, %s/%s, is not ready.",
			"이 노드의 플러그인 Pod(%s/%s)가 준비되지 않았습니다.", pod.Namespace, pod.Name))
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "Pod " + pod.Namespace + "/" + pod.Name, Path: ".status.conditions[Ready]", Value: "False",
		})
		f.Remedies.Now = append([]finding.Remedy{{
			Text:    finding.Text{EN: "see what keeps the plugin's pod from running", KO: "플러그인 Pod가 실행되지 못하는 이유를 확인합니다"},
			Command: "kubectl -n " + pod.Namespace + " describe pod " + pod.Name,
		}}, f.Remedies.Now...)
	}
	f.Why = finding.Join(" ", f.Why, carries(p.Snapshot, n))
	return f
}

// pluginPods returns the pods on a node that bring its network plugin: those of a DaemonSet that
// mount the host's plugin configuration or programs, as every plugin's installer does.
func pluginPods(s *snapshot.Snapshot, node string) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range s.PodsOn(node) {
		if slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
			return v.HostPath != nil && (strings.HasPrefix(v.HostPath.Path, "/etc/cni") || strings.HasPrefix(v.HostPath.Path, "/opt/cni"))
		}) {
			out = append(out, pod)
		}
	}
	return out
}

// isPluginOfNode tells whether the cause is about the workload that brings the network plugin to
// the effect's node.
func isPluginOfNode(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	return slices.ContainsFunc(pluginPods(s, effect.Subject.Name), func(p *corev1.Pod) bool {
		return !snapshot.PodReady(p) && s.Workload(p) == cause.Subject
	})
}
