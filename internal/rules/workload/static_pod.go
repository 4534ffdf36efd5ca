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

// manifestOf is the file from which a node runs a static pod, where kubeadm put it: the pod's name
// without that of the node, which the kubelet appends
// (k8s.io/kubernetes/pkg/kubelet/config/common.go, generatePodName).
func manifestOf(p *corev1.Pod) string {
	return manifestFolder + "/" + strings.TrimSuffix(p.Name, "-"+strings.ToLower(p.Spec.NodeName)) + ".yaml"
}

// nameOf names the subject of a finding about pods, and says where it is a static pod.
func nameOf(subject finding.Subject, pods []*corev1.Pod) finding.Text {
	if isStatic(pods) {
		return finding.Verbatim("static pod " + finding.Qualified(subject))
	}
	return finding.Verbatim(finding.Qualified(subject))
}

// staticNote says from which file a static pod runs; nothing for other pods.
func staticNote(pods []*corev1.Pod) finding.Text {
	if !isStatic(pods) {
		return finding.Text{}
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
