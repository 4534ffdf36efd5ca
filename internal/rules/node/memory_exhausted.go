package node

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MachineMemoryExhausted",
	Title: finding.Text{EN: "machine has no memory left", KO: "머신에 남은 메모리가 없습니다"},
	Doc: finding.Text{
		EN: "The machine has less than a twentieth and less than 1 GiB of its memory left for programs, counting what the kernel can have back at once, or the control group in which the whole machine runs is at its limit. The kernel then " +
			"kills processes, often the wrong ones, and everything slows down before. The pods and services that use most are named, with those of them that have no limit. Memory that holds files is not counted as used: a machine " +
			"that has read much is left alone.",
		KO: "프로그램이 쓸 수 있는 메모리가, 커널이 바로 회수할 수 있는 것을 포함해도, 전체의 1/20과 1 GiB보다 적거나, 머신 전체가 속한 cgroup이 limit에 이르렀습니다. 전체가 느려지다가 커널이 프로세스를 강제 종료하며, 원인이 아닌 프로세스가 종료되기도 합니다. " +
			"메모리를 가장 많이 쓰는 Pod와 서비스, 그중 limit이 없는 것을 알려 줍니다. 파일을 담고 있는 메모리(page cache)는 사용량으로 보지 않습니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#node-out-of-memory-behavior",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Optional[*corev1.Pod]()},
	Machine: []snapshot.EvidenceKey{
		"limit/memory/*", "limit/cgroup/*/memory-bytes", "limit/cgroup/*/memory-max-bytes", "limit/cgroup/*/pod",
	},
	Detect: detectMachineMemoryExhausted,
})

const (
	// littleMemory and fewBytes bound what is left of memory that is called used up: the kubelet evicts
	// below 100Mi by default (memory.available), and by then the machine is slow.
	littleMemory = 0.05
	fewBytes     = 1 << 30
)

func detectMachineMemoryExhausted(p *rule.Pass) {
	for _, m := range p.Machines() {
		total, ok1 := m.Int("limit/memory/total-bytes")
		left, ok2 := m.Int("limit/memory/available-bytes")
		evidence := []finding.Evidence{m.Evidence("limit/memory/available-bytes"), m.Evidence("limit/memory/total-bytes")}
		whole := finding.Text{EN: "the machine", KO: "머신"}
		// A machine that is a container has its limit in the control group that it sees as its own.
		own, limit := groupKey("/", "memory-bytes"), groupKey("/", "memory-max-bytes")
		if used, ok := m.Int(own); ok {
			if most, ok := m.Int(limit); ok && ok2 && most-used < left {
				total, left = most, max(0, most-used)
				evidence = []finding.Evidence{m.Evidence(own), m.Evidence(limit)}
				whole = finding.Text{EN: "the control group of the whole machine", KO: "머신 전체의 cgroup"}
			}
		}
		if !ok1 || !ok2 || total <= 0 || float64(left) >= littleMemory*float64(total) || left >= fewBytes {
			continue
		}
		users, limitless, shown := memoryUsers(p, m)
		f := finding.Finding{
			Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismExhausted,
			Title: finding.Textf("machine %s has no memory left, %s of %s", "머신 %s: 남은 메모리가 거의 없습니다(%[3]s 중 %[2]s)", m.Node(), bytesText(uint64(left)), bytesText(uint64(total))),
			Why: finding.Join(" ", finding.Format("That is what %s has left, with what the kernel can have back at once; it slows down, and then the kernel kills processes.",
				"%s에 남은 메모리이며 커널이 바로 회수할 수 있는 것을 포함합니다. 느려지다가 커널이 프로세스를 강제 종료합니다.", whole), users, limitless),
			Evidence: append(evidence, shown...),
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{Text: finding.Text{EN: "who uses it, containers and other processes", KO: "메모리를 쓰는 컨테이너와 프로세스를 확인합니다"}, Command: "ps -eo pid,rss,comm --sort -rss | head -15; free -m", Machine: m.Node()},
				},
				Later: limitMemory,
			},
		}
		p.Report(f)
	}
}

var limitMemory = []finding.Remedy{{Text: finding.Text{
	EN: "give every container a memory request and limit, and reserve memory for the system (systemReserved, kubeReserved)",
	KO: "모든 컨테이너에 메모리 request와 limit을 지정하고 시스템용 메모리를 예약합니다(systemReserved, kubeReserved)",
}}}

func groupKey(group, word string) snapshot.EvidenceKey {
	return snapshot.KeyOf("limit", "cgroup", group, word)
}
