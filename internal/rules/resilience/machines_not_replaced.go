package resilience

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MachinesNotReplaced",
	Title: finding.Text{EN: "nothing is seen that restarts or replaces machines", KO: "머신을 다시 시작하거나 교체하는 주체가 보이지 않습니다"},
	Doc: finding.Text{
		EN: "Nodes have no providerID and no Cluster API Machine stands for them: as far as the API shows, a machine that goes down stays down until somebody looks after it. A hypervisor or a " +
			"watchdog that restarts machines by itself cannot be seen from here.",
		KO: "노드에 providerID가 없고 Cluster API의 Machine도 없습니다. API로 보이는 한, 머신이 멈추면 누군가 손볼 때까지 멈춘 채로 있습니다. 머신을 스스로 다시 시작하는 hypervisor나 watchdog은 여기서 볼 수 없습니다.",
	},
	Link:            mitigations,
	Severity:        finding.Info,
	Risk:            true,
	CustomResources: true,
	Needs:           []rule.Need{rule.Whole[*corev1.Node]()},
	Detect: func(p *rule.Pass) {
		for _, r := range p.CustomResources() {
			if r.Kind.Kind == "Machine" && strings.HasSuffix(r.Kind.Group, "cluster.x-k8s.io") {
				return
			}
		}
		var names []string
		nodes := snapshot.List[*corev1.Node](p.Snapshot)
		for _, n := range nodes {
			if n.Spec.ProviderID == "" {
				names = append(names, n.Name)
			}
		}
		if len(names) == 0 {
			return
		}
		p.Report(finding.Finding{
			Subject: finding.Subject{Kind: "Cluster", Name: "cluster"}, Mechanism: v1alpha1.MechanismMissing, Confidence: v1alpha1.ConfidenceMedium,
			Title: finding.Textf("nothing is seen that would restart or replace machines (%d of %d)", "머신 %[2]d대 중 %[1]d대는 다시 시작하거나 교체해 줄 주체가 보이지 않습니다", len(names), len(nodes)),
			Why: finding.Format("no providerID and no Machine object: %s; a hypervisor or a watchdog that restarts them cannot be seen from here",
				"providerID도 Machine 객체도 없습니다: %s. 머신을 다시 시작하는 hypervisor나 watchdog은 여기서 볼 수 없습니다", finding.List(names)),
			Remedies: finding.Remedies{Later: []finding.Remedy{{
				Text:    finding.Text{EN: "have the machine restart after a panic, and its firmware or hypervisor after a power loss", KO: "panic 후에는 머신이, 전원이 끊긴 후에는 펌웨어나 hypervisor가 자동으로 다시 시작하게 합니다"},
				Command: "sysctl kernel.panic; systemctl show --property=RuntimeWatchdogUSec", Machine: names[0],
			}}},
		})
	},
})
