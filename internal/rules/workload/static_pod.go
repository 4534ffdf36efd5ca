package workload

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// manifestFolder is where kubeadm puts the manifests of static pods
// (https://kubernetes.io/docs/reference/setup-tools/kubeadm/implementation-details/#constants-and-well-known-values-and-paths).
const manifestFolder = "/etc/kubernetes/manifests"

// isStatic tells whether any of the pods mirrors a manifest file on its node.
func isStatic(pods []*corev1.Pod) bool { return slices.ContainsFunc(pods, snapshot.StaticPod) }

// programOf is the name of a static pod without that of its node, which the kubelet appends
// (k8s.io/kubernetes/pkg/kubelet/config/common.go, generatePodName).
func programOf(p *corev1.Pod) string {
	return strings.TrimSuffix(p.Name, "-"+strings.ToLower(p.Spec.NodeName))
}

// manifestOf is the file from which a node runs a static pod, where kubeadm put it.
func manifestOf(p *corev1.Pod) string { return manifestFolder + "/" + programOf(p) + ".yaml" }

// leaders are the programs of which each control-plane machine runs one and one works at a time: those
// of several machines are configured alike, and what is wrong with one is wrong with all.
var leaders = []string{"kube-controller-manager", "kube-scheduler"}

// together joins the groups of a leader's static pods on several machines that end with one exit code.
func together(groups []group[container]) []group[container] {
	type ending struct {
		program string
		code    int32
	}
	at := map[ending]int{}
	var out []group[container]
	for _, g := range groups {
		c := g.Items[0]
		if end := c.ended(); end != nil && snapshot.StaticPod(c.pod) && slices.Contains(leaders, programOf(c.pod)) {
			k := ending{programOf(c.pod), end.ExitCode}
			if i, ok := at[k]; ok {
				out[i].Items = append(out[i].Items, g.Items...)
				continue
			}
			at[k] = len(out)
		}
		out = append(out, g)
	}
	return out
}

// nameOf names the subject of a finding about pods, and says where it is a static pod.
func nameOf(subject finding.Subject, pods []*corev1.Pod) finding.Text {
	switch {
	case isStatic(pods) && len(pods) > 1:
		return finding.Format("static pods %s of %s", "static Pod %s(노드 %s)", finding.Verbatim(programOf(pods[0])), finding.List(nodesOf(pods)))
	case isStatic(pods):
		return finding.Verbatim("static pod " + finding.Qualified(subject))
	}
	return finding.Verbatim(finding.Qualified(subject))
}

// staticNote says from which file a static pod runs; nothing for other pods.
func staticNote(pods []*corev1.Pod) finding.Text {
	if !isStatic(pods) {
		return finding.Text{}
	}
	if len(pods) > 1 {
		return finding.Textf("each node runs it from its own file %s, or wherever its kubelet's staticPodPath points", "각 노드가 자신의 %s 파일(또는 kubelet staticPodPath의 파일)로 직접 실행하는 Pod입니다", manifestOf(pods[0]))
	}
	return finding.Textf("node %s runs it from the file %s, or wherever its kubelet's staticPodPath points", "노드 %s가 %s 파일(또는 kubelet staticPodPath의 파일)로 직접 실행하는 Pod입니다",
		pods[0].Spec.NodeName, manifestOf(pods[0]))
}

// editManifest says how a field of a static pod is corrected: what the API server shows of it is a
// mirror, and to delete or restart that with kubectl changes nothing.
func editManifest(p *corev1.Pod, field string) finding.Remedy {
	return finding.Remedy{
		Text: finding.Textf("correct %s in the pod's manifest file; the kubelet restarts the pod by itself",
			"Pod의 manifest 파일에서 %s 값을 바로잡습니다. kubelet이 Pod를 스스로 다시 시작합니다", field),
		Command: "vi " + manifestOf(p), Machine: p.Spec.NodeName,
	}
}
