package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// hardwareFaults are the patterns of hardware that errs beyond correction, or errs much.
var hardwareFaults = []string{"hardware-error", "memory-uncorrected", "memory-corrected", "gpu-error", "cpu-throttled"}

var _ = Catalog.Add(rule.Rule{
	Code:  "HardwareErrors",
	Title: finding.Text{EN: "hardware reports errors", KO: "하드웨어가 오류를 보고합니다"},
	Doc: finding.Text{
		EN: "The machine's memory, CPUs, bus or GPUs reported errors that were not corrected, or so many corrected ones (10 within an hour) that a module is about to fail, or CPUs are slowed down by heat again and again. Programs crash or compute " +
			"wrongly, and the machine may stop. Single corrected errors are left alone.",
		KO: "머신의 메모리, CPU, 버스, GPU가 정정되지 않은 오류를 보고했거나, 정정된 오류가 많아(한 시간에 10건) 모듈이 곧 고장 날 상태이거나, CPU가 열 때문에 거듭 느려졌습니다. 프로그램이 비정상 종료하거나 잘못 계산하고 머신이 멈출 수 있습니다. " +
			"정정된 오류 한두 건은 대상이 아닙니다.",
	},
	Link:     "https://docs.kernel.org/admin-guide/ras.html",
	Severity: finding.Warning,
	Machine:  logKeys(hardwareFaults...),
	Detect: detectLogged(hardwareFaults, func(m snapshot.Machine, all []logged) finding.Finding {
		f := logFinding(m, all, v1alpha1.MechanismFailing,
			finding.Textf("machine %s: its hardware reports errors", "머신 %s: 하드웨어가 오류를 보고합니다", m.Node()),
			finding.Text{EN: "Programs may crash or compute wrongly, and the machine may stop at any time.", KO: "프로그램이 비정상 종료하거나 잘못 계산할 수 있고 머신이 언제든 멈출 수 있습니다."})
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "which part it is", KO: "어느 부품인지 확인합니다"}, Command: "dmesg -T | grep -iE 'hardware error|edac|mce|aer:|xid|throttl' | tail -30; grep . /sys/devices/system/edac/mc/mc*/[cu]e_count", Machine: m.Node()},
				{Text: finding.Text{EN: "move the pods away before it stops", KO: "멈추기 전에 Pod를 옮깁니다"}, Command: "kubectl drain " + m.Node() + " --ignore-daemonsets --delete-emptydir-data"},
			},
			Later: []finding.Remedy{{Text: finding.Text{EN: "have the part replaced, or give the cloud machine back for another", KO: "부품을 교체하거나 클라우드 머신을 다른 것으로 바꿉니다"}}},
		}
		return f
	}),
})
