package probes

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbeAnsweredByOther",
	Title: finding.Textf("probe is answered by another pod of the node's network", "노드 네트워크를 쓰는 다른 Pod가 probe에 응답합니다"),
	Doc: finding.Textf(
		"A pod in its node's network is probed on a port that it does not declare, and another such pod of the same node, of another workload, declares that port. There is one such port on a node, so that the other program answers the probe: it says "+
			"nothing about this one, which is ready without serving, or is killed for another's illness. Declared ports are kept apart by the scheduler; this one it does not know of. Left alone: ports that the pod itself declares, probes of another host, pods of "+
			"one workload, and pods that are not in their node's network.",
		"노드 네트워크를 쓰는 Pod의 probe가 선언하지 않은 port를 확인하고, 같은 노드에서 노드 네트워크를 쓰는 다른 워크로드의 Pod가 그 port를 선언하고 있습니다. 노드에서 그 port는 하나뿐이므로 다른 프로그램이 probe에 응답합니다. 이 Pod의 상태는 알 수 없어 서비스하지 않으면서 Ready이거나, "+
			"다른 프로그램의 문제로 종료될 수 있습니다. 선언한 port는 스케줄러가 겹치지 않게 배치하지만 이 port는 알지 못합니다. Pod가 스스로 선언한 port, 다른 host를 확인하는 probe, 같은 워크로드의 Pod, 노드 네트워크를 쓰지 않는 Pod는 제외합니다."),
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes",
	Severity: finding.Info,
	Needs:    baseNeeds(),
	Detect: func(p *rule.Pass) {
		declared := hostPorts(p.Snapshot)
		for f := range familiesOf(p.Snapshot).serving() {
			if one, other, ok := f.answeredByOther(p.Snapshot, declared); ok {
				p.Report(answeredByOtherFinding(one, other))
			}
		}
	},
})

// nodePort is a port of a node.
type nodePort struct {
	node string
	port int
}

// hostPorts are the pods of their nodes' networks by the ports that they declare.
func hostPorts(s *snapshot.Snapshot) map[nodePort]*corev1.Pod {
	out := map[nodePort]*corev1.Pod{}
	for _, pod := range snapshot.List[*corev1.Pod](s) {
		if !pod.Spec.HostNetwork || pod.Spec.NodeName == "" || pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
			continue
		}
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			for _, port := range c.Ports {
				if cmp.Or(port.Protocol, corev1.ProtocolTCP) == corev1.ProtocolTCP {
					out[nodePort{pod.Spec.NodeName, int(port.ContainerPort)}] = pod
				}
			}
		}
	}
	return out
}

// answeredByOther finds a probe of a family which another pod of a node answers.
func (f *family) answeredByOther(s *snapshot.Snapshot, declared map[nodePort]*corev1.Pod) (probe, *corev1.Pod, bool) {
	for _, pod := range f.pods {
		if !pod.Spec.HostNetwork || pod.Spec.NodeName == "" || pod.Status.Phase != corev1.PodRunning {
			continue
		}
		for at := range f.places(pod) {
			for _, one := range at.probes() {
				host, _ := one.host()
				other := declared[nodePort{pod.Spec.NodeName, one.number()}]
				if one.number() != 0 && other != nil && other != pod && (host == "" || slices.Contains(itself, host)) && s.Workload(other) != f.workload {
					return one, other, true
				}
			}
		}
	}
	return probe{}, nil, false
}

func answeredByOtherFinding(one probe, other *corev1.Pod) finding.Finding {
	name, who := finding.Named(one.of.workload), finding.Named(snapshot.SubjectOf(other))
	_, action, _ := one.port()
	return finding.Finding{
		Subject: one.of.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: one.field("." + action + ".port"), Confidence: v1alpha1.ConfidenceMedium,
		Title: finding.Textf("%s: the %s probe of container %s asks port %d of node %s, which is %s's", "%s: %[3]s 컨테이너의 %[2]s probe가 확인하는 노드 %[5]s의 port %[4]d은 %[6]s의 것입니다",
			name, one.kind, one.container.Name, one.number(), one.pod.Spec.NodeName, who),
		Why: finding.Format("both are in the node's network; this container declares %s, and %s declares the port that is asked: what it answers decides about this one",
			"둘 다 노드 네트워크를 사용합니다; 이 컨테이너가 선언한 port는 %s이고 확인하는 port는 %s가 선언한 것이므로 그 응답이 이 컨테이너의 상태를 정합니다", portsText(one.container), finding.Verbatim(who)),
		Evidence: []finding.Evidence{{Source: finding.Named(snapshot.SubjectOf(one.pod)), Path: ".spec.hostNetwork", Value: "true"}, {Source: name, Path: one.field(""), Value: one.asks()}},
		Remedies: finding.Remedies{Now: []finding.Remedy{one.edit("."+action+".port", finding.Textf("ask the port on which this program itself listens, and declare it", "이 프로그램이 직접 수신하는 port를 확인하게 하고 그 port를 선언합니다"))}},
	}
}

// portsText names the ports that a container declares.
func portsText(c *corev1.Container) finding.Text {
	if names := portNames(c); len(names) > 0 {
		return finding.List(names)
	}
	return finding.Textf("no port", "없음")
}
