package node

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// rebootTold is for how long an unexpected start is told: what it did is mended or has findings of its
// own by then.
const rebootTold = 6 * time.Hour

// uncleanOften is how many starts without an order within 24 hours are no accident any more.
const uncleanOften = 2

func rebootKeys() []snapshot.EvidenceKey {
	return []snapshot.EvidenceKey{"boot/started", "boot/unclean-24h", "boot/reboots-24h", "boot/previous/how", "boot/previous/started", "boot/previous/last-line", "boot/crash/*"}
}

var _ = Catalog.Add(rule.Rule{
	Code:  "MachineRebootedUnexpectedly",
	Title: finding.Text{EN: "machine was started again without an order to stop", KO: "머신이 종료 명령 없이 다시 시작됐습니다"},
	Doc: finding.Text{
		EN: "Within the last six hours the machine started, and the boot before did not end with an order to stop: it crashed, was reset, or lost its power. Everything on it was killed at once. What it logged last, and what the crash left " +
			"(pstore, kdump), are shown. Reboots that were ordered, first boots, and machines that nothing is known of before, are left alone; so is what happens again and again (MachineRebootsRepeatedly).",
		KO: "최근 6시간 안에 머신이 시작됐는데 이전 boot가 종료 명령으로 끝나지 않았습니다. 비정상 종료, reset, 전원 차단 중 하나이며 그 위의 모든 것이 한꺼번에 종료됐습니다. 마지막으로 남긴 로그와 비정상 종료가 남긴 것(pstore, kdump)을 보여 줍니다. " +
			"명령에 따른 재부팅, 첫 부팅, 이전 기록이 없는 머신은 대상이 아닙니다. 반복되는 것은 MachineRebootsRepeatedly에서 다룹니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown",
	Severity: finding.Info,
	Machine:  rebootKeys(),
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			started := m.Time("boot/started")
			often, _ := m.Int("boot/unclean-24h")
			if m.Value("boot/previous/how") != "unclean" || started.IsZero() || m.ObservedAt().Sub(started) > rebootTold || often >= uncleanOften {
				continue
			}
			p.Report(rebootFinding(m, finding.Textf("machine %s was started again at %s without an order to stop before", "머신 %s: 종료 명령 없이 %s에 다시 시작됐습니다", m.Node(), finding.Clock(m.ObservedAt(), started)),
				finding.Text{EN: "It crashed, was reset, or lost its power; everything on it was killed at once.", KO: "비정상 종료, reset, 전원 차단 중 하나이며 그 위의 모든 것이 한꺼번에 종료됐습니다."}))
		}
	},
})

var _ = Catalog.Add(rule.Rule{
	Code:  "MachineRebootsRepeatedly",
	Title: finding.Text{EN: "machine goes down again and again", KO: "머신이 반복해서 꺼졌다 켜집니다"},
	Doc: finding.Text{
		EN: "Within 24 hours the machine was started at least twice without an order to stop before: it crashes or loses its power again and again, and takes everything on it down each time. Reboots that were ordered are not counted.",
		KO: "24시간 안에 머신이 종료 명령 없이 두 번 이상 다시 시작됐습니다. 반복해서 비정상 종료하거나 전원이 끊기며 그때마다 그 위의 모든 것이 종료됩니다. 명령에 따른 재부팅는 세지 않습니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown",
	Severity: finding.Warning,
	Machine:  rebootKeys(),
	Causes:   []rule.Cause{{Code: "HardwareErrors", Via: rule.OnMachine}},
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			often, _ := m.Int("boot/unclean-24h")
			if often < uncleanOften {
				continue
			}
			f := rebootFinding(m, finding.Textf("machine %s went down %d times within 24 hours without an order to stop", "머신 %s: 24시간 동안 종료 명령 없이 %d번 꺼졌다 켜졌습니다", m.Node(), often),
				finding.Text{EN: "It crashes or loses its power; each time everything on it is killed at once, and it will happen again.", KO: "비정상 종료하거나 전원이 끊깁니다. 그때마다 그 위의 모든 것이 한꺼번에 종료되며 다시 일어납니다."})
			f.Mechanism = v1alpha1.MechanismCrashing
			f.Evidence = append([]finding.Evidence{m.Evidence("boot/unclean-24h")}, f.Evidence...)
			p.Report(f)
		}
	},
})

func rebootFinding(m snapshot.Machine, title, why finding.Text) finding.Finding {
	f := finding.Finding{
		Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismStopped, Since: m.Time("boot/started"), Title: title, Why: why,
		Evidence: []finding.Evidence{m.Evidence("boot/previous/how"), m.Evidence("boot/started")},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text: finding.Text{EN: "what it said before it went down, and what the crash left", KO: "꺼지기 전의 로그와 비정상 종료가 남긴 것을 확인합니다"}, Machine: m.Node(),
				Command: "last -x reboot shutdown | head; journalctl -b -1 -n 50 --no-pager; ls -l /sys/fs/pstore /var/lib/systemd/pstore /var/crash 2>/dev/null",
			}},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "look into the hardware's own log (BMC, hypervisor, cloud provider), and set up kdump or pstore to learn of panics",
				KO: "하드웨어 자체 로그(BMC, hypervisor, 클라우드 제공자)를 확인하고 kdump나 pstore를 설정해 panic 기록을 남깁니다",
			}}},
		},
	}
	if m.Value("boot/previous/last-line") != "" {
		e := m.Evidence("boot/previous/last-line")
		e.At = finding.Timestamp(m.Since("boot/previous/how"))
		f.Evidence = append(f.Evidence, e)
	}
	for _, e := range m.Select("boot/crash/*") {
		if began := m.Time("boot/previous/started"); e.At == nil || e.At.Time.Before(began) {
			continue // of an earlier crash
		}
		f.Evidence = append(f.Evidence, m.Evidence(e.Key))
		f.Why = finding.Join(" ", f.Why, finding.Textf("The crash left %s.", "비정상 종료가 %s에 기록을 남겼습니다.", e.Value))
	}
	return f
}
