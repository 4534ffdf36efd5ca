package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PluginProblem",
	Title: finding.Text{EN: "rule of node-problem-detector's configuration reports a problem", KO: "node-problem-detector 설정의 규칙이 문제를 보고합니다"},
	Doc: finding.Text{
		EN: "A condition or reason of the node-problem-detector configuration that Maek was told to read stands: a line in a log fits its pattern, or its plugin ended with 1. What it means says the configuration. It ends when the plugin says so, " +
			"when the time of its pattern is over, and, if the kernel said it, with the boot. A plugin that could not be run is left alone.",
		KO: "Maek이 읽도록 지정한 node-problem-detector 설정의 condition이나 reason이 성립합니다. 로그의 줄이 패턴에 맞거나 plugin이 1로 끝난 것입니다. 뜻은 그 설정에 있습니다. plugin이 정상으로 끝나거나 패턴의 시간이 지나면 사라지고, 커널이 알린 것은 boot와 함께 " +
			"사라집니다. 실행하지 못한 plugin은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/debug/debug-cluster/monitor-node-health/",
	Severity: finding.Warning,
	Machine:  []snapshot.EvidenceKey{"log/npd/*/state", "log/npd/*/reason", "log/npd/*/message"},
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			for _, name := range m.Names("log/npd/*/state") {
				key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("log", "npd", name, word) }
				if m.Value(key("state")) != "problem" {
					continue
				}
				p.Report(finding.Finding{
					Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismFailing, Field: name, Since: m.Since(key("state")),
					Title:    finding.Textf("machine %s: %s is reported", "머신 %s: %s 문제가 보고됐습니다", m.Node(), name),
					Why:      finding.Textf("Its rule gives the reason %s: %s.", "규칙의 reason은 %s입니다: %s.", m.Value(key("reason")), finding.Quote(m.Value(key("message")))),
					Evidence: []finding.Evidence{m.Evidence(key("state")), m.Evidence(key("message"))},
					Remedies: finding.Remedies{
						Now:   []finding.Remedy{{Text: finding.Text{EN: "what the machine's logs say of it", KO: "머신의 로그를 확인합니다"}, Command: "dmesg -T | tail -50; journalctl -p warning --since -1h --no-pager | tail -50", Machine: m.Node()}},
						Later: []finding.Remedy{{Text: finding.Text{EN: "look up in the configuration what whoever wrote the rule wants done", KO: "규칙을 쓴 사람이 정한 조치를 설정에서 확인합니다"}}},
					},
				})
			}
		}
	},
})
