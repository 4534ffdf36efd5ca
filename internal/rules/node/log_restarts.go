package node

import (
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

// restartPatterns are the patterns of units that are started again and again, and nobody ordered it.
var restartPatterns = []string{"kubelet-restarts", "containerd-restarts", "docker-restarts"}

var _ = Catalog.Add(rule.Rule{
	Code:  "UnitRestartsOften",
	Title: finding.Text{EN: "unit is started again and again, by its log", KO: "로그를 보면 유닛이 반복해서 재시작됩니다"},
	Doc: finding.Text{
		EN: "Where systemd itself could not be asked: its log tells that the kubelet or the container runtime was started five times or more within 20 minutes, the last time within 5, and that nobody ordered it to stop before. Where systemd was asked, " +
			"its own answer holds (UnitCrashLooping, KubeletCannotStart). Restarts by an administrator are left alone.",
		KO: "systemd에 직접 물을 수 없는 머신에서, 로그에 따르면 kubelet이나 컨테이너 런타임이 20분 안에 다섯 번 이상 시작됐고 마지막은 5분 안이며 종료 명령은 없었습니다. systemd에 물을 수 있으면 그 답을 따릅니다(UnitCrashLooping, KubeletCannotStart). " +
			"관리자가 다시 시작한 것은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/debug/debug-cluster/",
	Severity: finding.Warning,
	Machine:  logKeys(restartPatterns...),
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			if m.Looked("units") {
				continue
			}
			for _, l := range loggedOn(m, restartPatterns...) {
				unit := strings.TrimSuffix(l.pattern, "-restarts") + ".service"
				f := logFinding(m, []logged{l}, v1alpha1.MechanismCrashing,
					finding.Textf("machine %s: %s is started again and again", "머신 %s: %s 유닛이 반복해서 재시작됩니다", m.Node(), unit),
					finding.Text{EN: "It ends by itself, and nobody ordered it to.", KO: "종료 명령 없이 스스로 끝납니다."})
				f.Subject = m.Subject("Unit", unit)
				f.Remedies = finding.Remedies{
					Now:   []finding.Remedy{{Text: finding.Text{EN: "what it says before it ends", KO: "끝나기 전의 메시지를 확인합니다"}, Command: "systemctl status " + finding.ShellWord(unit) + " --no-pager; journalctl -u " + finding.ShellWord(unit) + " -n 100 --no-pager", Machine: m.Node()}},
					Later: []finding.Remedy{{Text: finding.Text{EN: "let Maek's agent reach the system bus, so that it knows the unit's own state", KO: "Maek agent가 system bus에 접근하게 하여 unit의 상태를 직접 알게 합니다"}}},
				}
				p.Report(f)
			}
		}
	},
})
