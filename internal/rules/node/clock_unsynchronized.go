package node

import (
	"slices"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ClockUnsynchronized",
	Title: finding.Text{EN: "nothing keeps the machine's clock", KO: "머신의 시계가 동기화되지 않습니다"},
	Doc: finding.Text{
		EN: "The kernel says that no time service has corrected the machine's clock for hours, so that it can be off by more than 16 s: it drifts from the other machines', and then certificates and tokens " +
			"count as not yet valid, Leases are misjudged, and etcd warns. It is a warning where a time service is installed and does not run, or runs without a result; where none is installed it is noted, for the hypervisor may keep the clock. Left alone: a machine " +
			"that is a container, whose host keeps the time, a clock whose error somebody bounds without saying so (chronyd without rtcsync), and the first minutes of a machine.",
		KO: "몇 시간 동안 어떤 시간 서비스도 머신의 시계를 보정하지 않았다고 커널이 알립니다(추정 오차 16초 초과). 다른 머신과 시각이 벌어지면 인증서와 token이 아직 유효하지 않은 것으로 처리되고, Lease를 잘못 판단하며, etcd가 경고합니다. " +
			"시간 서비스가 설치되어 있는데 실행되지 않거나 보정하지 못하면 warning입니다. 설치되어 있지 않으면 hypervisor가 시계를 맞출 수 있으므로 참고로만 표시합니다. host가 시계를 관리하는 컨테이너 머신과 부팅 직후 몇 분은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/troubleshooting-kubeadm/",
	Severity: finding.Info, Gravest: finding.Warning,
	For:     10 * time.Minute,
	Machine: []snapshot.EvidenceKey{"clock/*", "unit/*/active-state", "unit/*/file-state", "boot/started"},
	Causes: []rule.Cause{{Code: "UnitFailed", Via: rule.OnMachine, Holds: func(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
		return slices.Contains(clockKeepers, cause.Subject.Name)
	}}},
	Detect: detectClockUnsynchronized,
})

// clockKeepers are the units of programs that keep clocks.
var clockKeepers = []string{"chrony.service", "chronyd.service", "systemd-timesyncd.service", "ntp.service", "ntpd.service", "ntpsec.service", "openntpd.service"}

const (
	// unkept is the error, in seconds, from which the kernel calls a clock unsynchronized by itself
	// (NTP_PHASE_LIMIT of include/linux/timex.h). chronyd without rtcsync never says that it keeps the
	// clock, and bounds the error all the same (chrony, sys_timex.c, set_sync_status).
	unkept = 16
	// booting is how long a machine's time service may take to find its servers.
	booting = 15 * time.Minute
)

func detectClockUnsynchronized(p *rule.Pass) {
	for _, m := range p.Machines() {
		most, known := m.Float("clock/max-error-seconds")
		if m.Value("clock/synchronized") != "false" || m.True("clock/container") || known && most < unkept {
			continue
		}
		since := m.Since("clock/synchronized")
		started := m.Time("boot/started")
		f := finding.Finding{
			Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismStopped, Since: since,
			Settling: !started.IsZero() && m.ObservedAt().Sub(started) < booting,
			Title:    finding.Textf("machine %s: nothing keeps its clock", "머신 %s: 시계가 동기화되지 않습니다", m.Node()),
			Evidence: []finding.Evidence{m.Evidence("clock/synchronized"), m.Evidence("clock/max-error-seconds")},
			Remedies: finding.Remedies{Now: syncClock(m.Node()), Later: watchClocks},
		}
		var told []finding.Text
		running, installed := "", ""
		for _, unit := range m.Names("unit/*/active-state") {
			if !slices.Contains(clockKeepers, unit) {
				continue
			}
			if !slices.Contains([]string{"disabled", "masked"}, m.Value(snapshot.KeyOf("unit", unit, "file-state"))) {
				installed = unit // One that is turned off leaves the clock to the hypervisor, as that of VMware wants it.
			}
			if key := snapshot.KeyOf("unit", unit, "active-state"); m.Value(key) == "active" {
				running = unit
				f.Evidence = append(f.Evidence, m.Evidence(key))
			}
		}
		switch {
		case running != "":
			f.Severity, f.Mechanism = finding.Warning, v1alpha1.MechanismFailing
			told = append(told, finding.Textf("%s runs and does not correct it: its time servers do not answer, or it does not believe them.", "%s 유닛이 실행 중이나 보정하지 못합니다. 시간 서버가 응답하지 않거나 믿을 수 없다고 판단한 것입니다.", running))
			f.Remedies.Now = []finding.Remedy{
				{Text: finding.Text{EN: "which time servers it uses and whether they answer", KO: "사용하는 시간 서버와 응답 여부를 확인합니다"}, Command: "chronyc sources -v 2>/dev/null || timedatectl timesync-status || ntpq -pn", Machine: m.Node()},
			}
		case installed != "":
			f.Severity = finding.Warning
			told = append(told, finding.Textf("%s is installed and does not run.", "%s 유닛이 설치되어 있으나 실행되지 않습니다.", installed))
			f.Remedies.Now = []finding.Remedy{
				{Text: finding.Text{EN: "start it", KO: "시작합니다"}, Command: "systemctl enable --now " + installed, Machine: m.Node()},
			}
		default:
			told = append(told, finding.Text{EN: "No time service is turned on there; unless the hypervisor keeps the clock, it drifts.", KO: "켜져 있는 시간 서비스가 없습니다. hypervisor가 시계를 맞추지 않으면 시각이 점점 벌어집니다."})
		}
		f.Why = finding.Join(" ", append([]finding.Text{{
			EN: "The kernel has had no correction for hours, and certificates, tokens and Leases depend on clocks that agree.",
			KO: "커널이 몇 시간 동안 보정을 받지 못했습니다. 인증서, token, Lease는 서로 맞는 시계에 의존합니다.",
		}}, told...)...)
		p.Report(f)
	}
}
