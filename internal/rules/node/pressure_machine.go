package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MachineUnderPressure",
	Title: finding.Text{EN: "work on the machine waits", KO: "머신의 작업이 자원을 기다립니다"},
	Doc: finding.Text{
		EN: "Over the last five minutes all work on the machine stood still for a good part of the time, because it waited for the disk (40 %) or for memory (10 %), as the kernel measures it (pressure stall information). Everything there is slow: " +
			"on a control-plane machine etcd, and with it the whole cluster. A machine whose processors are busy nearly all the time is only noted, for that is what they are there for. Short peaks, and some work that waits while other " +
			"work goes on, are left alone.",
		KO: "최근 5분 동안 머신의 모든 작업이 디스크(40%) 또는 메모리(10%)를 기다리며 멈춰 있던 시간이 깁니다(커널의 pressure stall information 기준). 머신의 모든 것이 느려지고, control plane 머신이면 etcd와 클러스터 전체가 느려집니다. 프로세서가 거의 항상 바쁜 " +
			"머신은 본래 용도이므로 참고로만 표시합니다. 짧은 peak와, 다른 작업이 진행되는 동안 일부만 기다리는 경우는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/instrumentation/understand-psi-metrics/",
	Severity: finding.Warning,
	Machine: []snapshot.EvidenceKey{
		"pressure/*/some/*", "pressure/*/full/*", "filesystem/*/type", "filesystem/*/holds/*",
	},
	Causes: append([]rule.Cause{
		{Code: "MachineMemoryExhausted", Via: rule.OnMachine},
		{Code: "MachineOutOfMemoryKills", Via: rule.OnMachine},
	}, storageGone()...),
	Detect: detectMachineUnderPressure,
})

// stalls are the shares of five minutes, in percent, from which waiting harms: all work stood still for
// the disk or memory, or some of it waited for a processor nearly all the time.
var stalls = []struct {
	key      snapshot.EvidenceKey
	least    float64
	severity finding.Severity
	text     finding.Text
	look     finding.Remedy
}{
	{
		"pressure/memory/full/avg300", 10, finding.Warning,
		finding.Text{EN: "memory", KO: "메모리"},
		finding.Remedy{Text: finding.Text{EN: "who uses most memory", KO: "메모리를 가장 많이 쓰는 프로세스를 확인합니다"}, Command: "ps -eo pid,rss,comm --sort -rss | head -15; vmstat 1 5"},
	},
	{
		"pressure/io/full/avg300", 40, finding.Warning,
		finding.Text{EN: "the disk", KO: "디스크"},
		finding.Remedy{Text: finding.Text{EN: "who reads and writes most", KO: "가장 많이 읽고 쓰는 프로세스를 확인합니다"}, Command: "for p in /proc/[0-9]*; do awk -v c=\"$(cat $p/comm 2>/dev/null)\" '/^write_bytes/{print $2, c}' $p/io 2>/dev/null; done | sort -n | tail -5; vmstat 1 5"},
	},
	{
		"pressure/cpu/some/avg300", 90, finding.Info,
		finding.Text{EN: "a processor", KO: "프로세서"},
		finding.Remedy{Text: finding.Text{EN: "who uses the processors", KO: "프로세서를 가장 많이 쓰는 프로세스를 확인합니다"}, Command: "ps -eo pid,pcpu,comm --sort -pcpu | head -15"},
	},
}

func detectMachineUnderPressure(p *rule.Pass) {
	for _, m := range p.Machines() {
		f := finding.Finding{Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismDegraded, Severity: finding.Info}
		var waits []finding.Text
		for _, s := range stalls {
			share, ok := m.Float(s.key)
			if !ok || share < s.least {
				continue
			}
			waits = append(waits, finding.Format("%s (%s %%)", "%s(%s%%)", s.text, finding.Textf("%.0f", "%.0f", share)))
			f.Severity = finding.Worst(f.Severity, s.severity)
			f.Evidence = append(f.Evidence, m.Evidence(s.key))
			look := s.look
			look.Machine = m.Node()
			f.Remedies.Now = append(f.Remedies.Now, look)
		}
		if len(waits) == 0 {
			continue
		}
		f.Title = finding.Format("machine %s: work waits for %s", "머신 %s: 작업이 자원을 기다립니다: %s", finding.Verbatim(m.Node()), finding.Join(", ", waits...))
		f.Why = finding.Text{EN: "That is the share of the last five minutes in which nothing went on, for the processor the share in which something waited.", KO: "최근 5분 중 아무 작업도 진행되지 않은 시간의 비율입니다(프로세서는 무언가가 기다린 시간의 비율)."}
		for _, fs := range filesystemsOf(m) {
			if fs.has(roleEtcd) && f.Severity == finding.Warning {
				f.Why = finding.Join(" ", f.Why, finding.Text{EN: "etcd is on this machine: when it waits, every change to the cluster does.", KO: "이 머신에 etcd가 있으므로 클러스터의 모든 변경이 함께 느려집니다."})
			}
		}
		f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
			EN: "give etcd a disk of its own, give containers requests that tell what they use, and spread them over more machines",
			KO: "etcd에 전용 디스크를 두고, 컨테이너의 request를 실제 사용량에 맞추고, 더 많은 머신에 나눕니다",
		}}}
		p.Report(f)
	}
}
