package node

import (
	corev1 "k8s.io/api/core/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodePIDPressure",
	Title: finding.Text{
		EN: "node runs out of process ids",
		KO: "노드의 프로세스 ID가 부족합니다",
	},
	Doc: finding.Text{
		EN: "The kubelet says PIDPressure: the machine has too few process ids left. No program on it can start a process or a thread then; the kubelet evicts pods and takes no new ones. Mostly one pod " +
			"forks without end or leaves zombies. What was evicted and why, and what the kubelet measures now, are shown. Evicted pods that are still listed after the pressure has passed, " +
			"and the condition of a node whose kubelet is dead, are left alone.",
		KO: "kubelet이 PIDPressure를 알립니다. 머신에 남은 프로세스 ID가 부족하여 어떤 프로그램도 프로세스나 스레드를 만들 수 없게 되며, kubelet은 Pod를 eviction하고 새 Pod를 받지 않습니다. 대개 한 Pod가 끝없이 fork하거나 zombie를 남깁니다. " +
			"무엇을 왜 eviction했는지와 현재 측정값을 보여 줍니다. 압박이 끝난 뒤에도 목록에 남아 있는 Evicted Pod와 kubelet이 죽은 노드의 condition은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/policy/pid-limiting/",
	Severity: finding.Warning,
	Needs:    pressureNeeds(),
	Causes:   []rule.Cause{{Code: "ProcessLimitReached", Via: rule.OnMachine}},
	Detect: pressure{
		condition: corev1.NodePIDPressure,
		of:        finding.Text{EN: "process ids", KO: "프로세스 ID가"},
		starved:   []string{"resource: pids", string(corev1.NodePIDPressure)},
		events:    []string{"EvictionThresholdMet"},
		measured: func(s stats.Summary) finding.Text {
			r := s.Node.Rlimit
			if r == nil || r.MaxPID == nil || r.NumOfRunningProcesses == nil {
				return finding.Text{}
			}
			return finding.Textf("%d processes of at most %d", "프로세스 %d개(최대 %d개)", *r.NumOfRunningProcesses, *r.MaxPID)
		},
		now: []finding.Remedy{{
			Text:    finding.Text{EN: "which control groups hold the most processes", KO: "프로세스가 가장 많은 cgroup을 확인합니다"},
			Command: "find /sys/fs/cgroup -name pids.current -exec grep -H . {} + | sort -t: -k2 -n | tail -5; ps -eo stat,ppid | awk '$1~/Z/{print $2}' | sort | uniq -c | sort -n | tail -5",
		}},
		later: []finding.Remedy{{Text: finding.Text{
			EN: "set podPidsLimit in the kubelet's configuration, so that no pod can take them all",
			KO: "kubelet 설정에 podPidsLimit을 지정하여 한 Pod가 모두 쓰지 못하게 합니다",
		}}},
	}.detect,
})
