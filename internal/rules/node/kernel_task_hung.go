package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "KernelTaskHung",
	Title: finding.Text{EN: "processes hang in the kernel", KO: "프로세스가 커널 안에서 멈춰 있습니다"},
	Doc: finding.Text{
		EN: "Within the last ten minutes the kernel reported processes that waited two minutes and longer without being able to be ended (INFO: task … blocked for more than 120 seconds). They mostly wait for a disk, a path to it, or a network file " +
			"system. Where the kubelet or the container runtime is among them, Pods are neither started nor ended. Once the kernel says so no more, the finding is gone.",
		KO: "최근 10분 안에 커널이 2분 넘게 기다리며 종료할 수도 없는 프로세스를 보고했습니다(INFO: task … blocked for more than 120 seconds). 대부분 디스크나 그 경로, 네트워크 파일시스템을 기다립니다. kubelet이나 컨테이너 런타임이 그중에 있으면 " +
			"Pod를 시작하지도 종료하지도 못합니다. 커널이 더 이상 보고하지 않으면 사라집니다.",
	},
	Link:     "https://docs.kernel.org/admin-guide/sysctl/kernel.html#hung-task-timeout-secs",
	Severity: finding.Warning,
	Machine:  logKeys("task-hung"),
	Causes:   append([]rule.Cause{{Code: "MachineUnderPressure", Via: rule.OnMachine}}, storageGone()...),
	Detect: detectLogged([]string{"task-hung"}, func(m snapshot.Machine, all []logged) finding.Finding {
		tasks := named(all, finding.Text{EN: "processes", KO: "일부"})
		f := logFinding(m, all, v1alpha1.MechanismHung,
			finding.Format("machine %s: processes hang in the kernel: %s", "머신 %s: 프로세스가 커널 안에서 멈춰 있습니다: %s", finding.Verbatim(m.Node()), tasks),
			finding.Text{
				EN: "They wait for something that does not come, mostly a disk or a network file system, and no signal ends that.",
				KO: "오지 않는 응답(대부분 디스크나 네트워크 파일시스템)을 기다리며 signal로도 끝낼 수 없습니다.",
			})
		f.Field = "" // who hangs changes from line to line
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "who waits, and where in the kernel", KO: "기다리는 프로세스와 커널 안의 위치를 확인합니다"}, Command: "ps -eo pid,stat,wchan:30,args | awk '$2~/D/'; dmesg -T | grep -A20 'blocked for more than' | tail -40", Machine: m.Node()},
				{Text: finding.Text{EN: "which disk or mount does not answer", KO: "응답하지 않는 디스크나 mount를 확인합니다"}, Command: "grep . /sys/block/*/device/state; cat /proc/pressure/io; dmesg -T | grep -iE 'i/o error|nfs: server|timeout' | tail", Machine: m.Node()},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "restart the machine once its disks answer again: what hung in the kernel may never come back",
				KO: "디스크가 다시 응답하면 머신을 다시 시작합니다. 커널 안에서 멈춘 것은 돌아오지 않을 수 있습니다",
			}}},
		}
		return f
	}),
})
