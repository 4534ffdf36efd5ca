package storage

import (
	"fmt"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "IscsiSessionMissing",
	Title: finding.Text{EN: "configured iSCSI session is not there", KO: "설정된 iSCSI session이 없습니다"},
	Doc: finding.Text{
		EN: "A record of open-iscsi says that the machine logs in to a target at a portal by itself (node.startup = automatic or onboot), and there is no such session: the login failed when the machine started, or somebody logged out. The disks, or a path to them, " +
			"are missing, if anything here uses them. Records that are logged in to by hand are left alone, as those are that volume plugins make.",
		KO: "open-iscsi record에 따르면 머신이 해당 portal의 target에 자동으로 로그인해야 하지만(node.startup = automatic 또는 onboot) session이 없습니다. 부팅할 때 로그인에 실패했거나 누군가 로그아웃한 것이며, 그 디스크를 쓰는 것이 있다면 디스크 또는 그 경로가 없는 상태입니다. " +
			"직접 로그인하는 record(volume plugin이 만드는 것 포함)는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/volumes/#iscsi",
	Severity: finding.Warning,
	Machine:  []snapshot.EvidenceKey{"iscsi/record/*/*", "iscsi/session/*/*"},
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			if !m.Looked("iscsi") {
				continue
			}
			portals := map[string]bool{}
			for _, s := range iscsiSessions(m) {
				portals[s.target()+" "+m.Value(s.key("portal"))] = true
			}
			for _, e := range m.Select("iscsi/record/*/*") {
				target, portal := e.Key.Segments()[2], e.Key.Segments()[3]
				if e.Value == "manual" || portals[target+" "+portal] {
					continue
				}
				p.Report(finding.Finding{
					Subject: m.Subject("IscsiSession", target+" "+portal), Mechanism: v1alpha1.MechanismMissing,
					Title: finding.Textf("machine %s: the iSCSI session to %s at %s is not there", "머신 %s: %s target의 portal %s iSCSI session이 없습니다", m.Node(), target, portal),
					Why: finding.Textf("Its record says %s: the machine logs in by itself when it starts. That failed, or somebody logged out.",
						"record에는 %s(부팅할 때 자동 로그인)로 되어 있습니다. 로그인에 실패했거나 누군가 로그아웃했습니다.", e.Value),
					Evidence: []finding.Evidence{m.Evidence(e.Key)},
					Remedies: finding.Remedies{
						Now: []finding.Remedy{
							{Text: finding.Text{EN: "log in, and see what it says", KO: "로그인하고 결과를 확인합니다"}, Command: fmt.Sprintf("iscsiadm -m node -T %s -p %s --login", finding.ShellWord(target), finding.ShellWord(portal)), Machine: m.Node()},
							{Text: finding.Text{EN: "a target that is no longer used needs no record", KO: "더 이상 쓰지 않는 target이면 record를 지웁니다"}, Command: fmt.Sprintf("iscsiadm -m node -T %s -p %s -o delete", finding.ShellWord(target), finding.ShellWord(portal)), Machine: m.Node()},
						},
						Later: []finding.Remedy{{Text: finding.Text{EN: "let what mounts the disks wait for the sessions (_netdev in /etc/fstab)", KO: "디스크 mount가 session을 기다리게 합니다(/etc/fstab의 _netdev)"}}},
					},
				})
			}
		}
	},
})
