package node

import (
	corev1 "k8s.io/api/core/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeMemoryPressure",
	Title: finding.Text{
		EN: "node runs out of memory",
		KO: "노드의 메모리가 부족합니다",
	},
	Doc: finding.Text{
		EN: "The kubelet says MemoryPressure: the machine has too little memory left. It evicts pods that use more than they asked for, and takes no new ones without requests. Often a few pods without memory " +
			"limits, or a process outside Kubernetes, use it up. What was evicted and why, the kernel's own kills (SystemOOM), what the kubelet measures now, the pod that uses the most and the pods " +
			"without a memory limit are shown. Evicted pods that are still listed after the pressure has passed, and a container that meets its own limit (ContainerOOMKilled), are left alone.",
		KO: "kubelet이 MemoryPressure를 알립니다. 머신에 남은 메모리가 부족하여 요청보다 많이 쓰는 Pod를 eviction하고, request가 없는 새 Pod를 받지 않습니다. 메모리 limit이 없는 Pod 몇 개나 Kubernetes 밖의 프로세스가 원인인 경우가 많습니다. " +
			"무엇을 왜 eviction했는지, 커널의 강제 종료(SystemOOM), 현재 측정값, 가장 많이 쓰는 Pod, 메모리 limit이 없는 Pod를 보여 줍니다. 압박이 끝난 뒤에도 목록에 남아 있는 Evicted Pod와, 자신의 limit에 걸린 컨테이너(ContainerOOMKilled)는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/",
	Severity: finding.Warning,
	Needs:    pressureNeeds(),
	Causes:   []rule.Cause{{Code: "MachineMemoryExhausted", Via: rule.OnMachine}},
	Detect: pressure{
		condition: corev1.NodeMemoryPressure,
		of:        finding.Text{EN: "memory", KO: "메모리가"},
		starved:   []string{"resource: memory", string(corev1.NodeMemoryPressure)},
		events:    []string{"EvictionThresholdMet", "SystemOOM"},
		measured:  memoryLeft,
		hog: func(s stats.Summary) (stats.PodReference, uint64) {
			return topPod(s, func(p stats.PodStats) *uint64 {
				if p.Memory == nil {
					return nil
				}
				return p.Memory.WorkingSetBytes
			})
		},
		limit: corev1.ResourceMemory,
		now: []finding.Remedy{
			{Text: finding.Text{EN: "who uses it, containers and other processes", KO: "메모리를 쓰는 컨테이너와 프로세스를 확인합니다"}, Command: "ps -eo pid,rss,comm --sort -rss | head -15; free -m"},
			{Text: finding.Text{EN: "what the kernel killed", KO: "커널이 강제 종료한 프로세스를 확인합니다"}, Command: "journalctl -k --no-pager | grep -i 'out of memory' | tail"},
		},
		later: []finding.Remedy{{Text: finding.Text{
			EN: "give every container a memory request and limit, and reserve memory for the system (systemReserved, kubeReserved)",
			KO: "모든 컨테이너에 메모리 request와 limit을 지정하고 시스템용 메모리를 예약합니다(systemReserved, kubeReserved)",
		}}},
	}.detect,
})

// memoryLeft tells how much memory the machine has left.
func memoryLeft(s stats.Summary) finding.Text {
	m := s.Node.Memory
	if m == nil || m.AvailableBytes == nil {
		return finding.Text{}
	}
	text := finding.Textf("%s of memory free", "메모리 %s 남음", bytesText(*m.AvailableBytes))
	if m.WorkingSetBytes == nil {
		return text
	}
	return finding.Join(", ", text, finding.Textf("%s in use", "%s 사용 중", bytesText(*m.WorkingSetBytes)))
}
