package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// kernelFaults are the patterns of a kernel that errs or makes no progress.
var kernelFaults = []string{"kernel-oops", "kernel-panic", "hard-lockup", "soft-lockup", "rcu-stall"}

var _ = Catalog.Add(rule.Rule{
	Code:  "KernelFault",
	Title: finding.Text{EN: "kernel hit an error of its own", KO: "커널 내부 오류가 발생했습니다"},
	Doc: finding.Text{
		EN: "The kernel of the running boot reported an error of its own: an oops or BUG, after which it goes on with part of it broken until it is started again; or a CPU that was stuck in it (soft or hard lockup, RCU stall) within the last minutes. " +
			"Crashes of programs (segfault, traps) and errors of earlier boots are left alone.",
		KO: "지금 boot의 커널이 자체 오류를 보고했습니다. oops나 BUG가 나면 다시 시작할 때까지 일부가 망가진 채로 돕니다. 또는 최근 몇 분 안에 CPU가 커널 안에서 멈췄습니다(soft lockup, hard lockup, RCU stall). " +
			"프로그램의 비정상 종료(segfault, traps)와 이전 boot의 오류는 대상이 아닙니다.",
	},
	Link:     "https://docs.kernel.org/admin-guide/bug-hunting.html",
	Severity: finding.Warning,
	Machine:  logKeys(kernelFaults...),
	Causes:   []rule.Cause{{Code: "HardwareErrors", Via: rule.OnMachine}},
	Detect: detectLogged(kernelFaults, func(m snapshot.Machine, all []logged) finding.Finding {
		title := finding.Textf("machine %s: its kernel hit an error of its own", "머신 %s: 커널 내부 오류가 발생했습니다", m.Node())
		why := finding.Text{
			EN: "It goes on, but what it was doing is broken until the machine is started again.",
			KO: "커널은 계속 돌지만 하던 일은 머신을 다시 시작할 때까지 망가진 채로 남습니다.",
		}
		mechanism := v1alpha1.MechanismFailing
		if all[0].pattern != "kernel-oops" && all[0].pattern != "kernel-panic" {
			title = finding.Textf("machine %s: CPUs were stuck in the kernel", "머신 %s: CPU가 커널 안에서 멈췄습니다", m.Node())
			why = finding.Text{
				EN: "Nothing else ran on them meanwhile: probes and heartbeats are late. A virtual machine whose host is overloaded shows the same.",
				KO: "그동안 그 CPU에서는 다른 것이 실행되지 못하므로 probe와 heartbeat가 늦어집니다. 가상 머신의 호스트가 과부하여도 똑같이 보입니다.",
			}
			mechanism = v1alpha1.MechanismHung
		}
		f := logFinding(m, all, mechanism, title, why)
		f.Field = ""
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "what the kernel said", KO: "커널 메시지를 확인합니다"}, Command: "dmesg -T | grep -iE -A25 'BUG:|Oops|kernel BUG|lockup|stall' | tail -60; cat /proc/sys/kernel/tainted", Machine: m.Node()},
				{Text: finding.Text{EN: "move the pods away, then start the machine again", KO: "Pod를 옮기고 머신을 다시 시작합니다"}, Command: "kubectl drain " + m.Node() + " --ignore-daemonsets --delete-emptydir-data"},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "update the kernel, and look for the first line of the error in its distributor's reports",
				KO: "커널을 업데이트하고 오류의 첫 줄을 배포판의 버그 보고에서 찾습니다",
			}}},
		}
		return f
	}),
})
