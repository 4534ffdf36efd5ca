package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "DescriptorsExhausted",
	Title: finding.Text{EN: "machine can open hardly any more files", KO: "머신에서 파일을 더 열 수 없습니다"},
	Doc: finding.Text{
		EN: "Nine tenths of the files that the machine can have open at once (fs.file-max) are. Programs then fail with \"too many open files in system\", and connections cannot be accepted. One program that leaks descriptors is the usual cause. Machines " +
			"without such a limit are left alone.",
		KO: "머신이 동시에 열 수 있는 파일 수(fs.file-max)의 9/10을 넘었습니다. 프로그램이 \"too many open files in system\"으로 실패하고 연결을 받지 못합니다. 대개 한 프로그램이 파일을 닫지 않습니다. 이런 한도가 없는 머신은 대상이 아닙니다.",
	},
	Link:     "https://docs.kernel.org/admin-guide/sysctl/fs.html",
	Severity: finding.Warning,
	Machine:  []snapshot.EvidenceKey{"limit/descriptors/used", "limit/descriptors/max"},
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			used, ok1 := m.Int("limit/descriptors/used")
			most, ok2 := m.Int("limit/descriptors/max")
			if !ok1 || !ok2 || float64(used) < takenShare*float64(most) {
				continue
			}
			p.Report(finding.Finding{
				Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismExhausted, Field: "fs.file-max",
				Title: finding.Textf("machine %s can open hardly any more files, %d of %d are open", "머신 %s: 파일을 더 열 수 없습니다(%[3]d개 중 %[2]d개 사용)", m.Node(), used, most),
				Why: finding.Text{
					EN: "Programs there fail with \"too many open files in system\", and servers cannot accept connections.",
					KO: "프로그램이 \"too many open files in system\"으로 실패하고 서버가 연결을 받지 못합니다.",
				},
				Evidence: []finding.Evidence{m.Evidence("limit/descriptors/used"), m.Evidence("limit/descriptors/max")},
				Remedies: finding.Remedies{
					Now: []finding.Remedy{
						{Text: finding.Text{EN: "which processes hold most", KO: "가장 많이 열고 있는 프로세스를 확인합니다"}, Command: "for p in /proc/[0-9]*; do echo \"$(ls $p/fd 2>/dev/null | wc -l) $(tr '\\0' ' ' < $p/cmdline | cut -c1-80)\"; done | sort -n | tail -5", Machine: m.Node()},
						{Text: finding.Text{EN: "give room until the leak is mended", KO: "원인을 고칠 때까지 한도를 올립니다"}, Command: "sysctl -w fs.file-max=2097152", Machine: m.Node()},
					},
					Later: []finding.Remedy{{Text: finding.Text{EN: "limit open files of each service (LimitNOFILE) and watch their number", KO: "서비스마다 열 수 있는 파일 수(LimitNOFILE)를 제한하고 그 수를 감시합니다"}}},
				},
			})
		}
	},
})
