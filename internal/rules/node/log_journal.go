package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "JournalNotPersistent",
	Title: finding.Text{EN: "logs are lost with every reboot", KO: "reboot할 때마다 로그가 사라집니다"},
	Doc: finding.Text{
		EN: "The systemd journal is kept in memory only (/run/log/journal): what the kubelet and the kernel said before a crash is gone after it, so that nobody can tell why. Machines without a journal are left alone.",
		KO: "systemd journal을 메모리(/run/log/journal)에만 둡니다. 비정상 종료 전의 kubelet과 커널 로그가 사라지므로 원인을 알 수 없습니다. journal이 없는 머신은 대상이 아닙니다.",
	},
	Link:     "https://www.freedesktop.org/software/systemd/man/latest/journald.conf.html#Storage=",
	Severity: finding.Info,
	Machine:  []snapshot.EvidenceKey{"boot/journal"},
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			if m.Value("boot/journal") != "volatile" {
				continue
			}
			p.Report(finding.Finding{
				Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismMisconfigured, Field: "Storage",
				Title:    finding.Textf("machine %s loses its logs with every reboot", "머신 %s: reboot할 때마다 로그가 사라집니다", m.Node()),
				Why:      finding.Text{EN: "Its systemd journal is kept in memory only, so that a crash leaves no word of its cause.", KO: "systemd journal이 메모리에만 있으므로 비정상 종료의 원인이 남지 않습니다."},
				Evidence: []finding.Evidence{m.Evidence("boot/journal")},
				Remedies: finding.Remedies{
					Now:   []finding.Remedy{{Text: finding.Text{EN: "keep it on disk", KO: "디스크에 보관합니다"}, Command: "mkdir -p /var/log/journal && systemd-tmpfiles --create --prefix /var/log/journal && journalctl --flush", Machine: m.Node()}},
					Later: []finding.Remedy{{Text: finding.Text{EN: "set Storage=persistent and SystemMaxUse in the machines' image", KO: "머신 이미지에 Storage=persistent와 SystemMaxUse를 설정합니다"}}},
				},
			})
		}
	},
})
