package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "KubeletUnitStopped",
	Title: finding.Text{
		EN: "kubelet's unit is stopped",
		KO: "kubelet 유닛이 중지되었습니다",
	},
	Doc: finding.Text{
		EN: "systemd says, on the machine itself, that kubelet.service does not run and that nothing will start it: it was stopped by hand, or not started at boot. It is known at once, " +
			"long before the node's Lease runs out. A kubelet that ends after each start is KubeletCannotStart; one that systemd starts again just now, machines whose kubelet runs within another program (k3s), and machines that never joined a cluster, are left alone.",
		KO: "머신의 systemd에 따르면 kubelet.service가 실행 중이 아니며 다시 시작할 것도 없습니다. 수동으로 중지했거나 부팅할 때 시작되지 않은 것입니다. 노드의 Lease가 만료되기 훨씬 전에 바로 알 수 있습니다. " +
			"시작할 때마다 종료되는 kubelet은 KubeletCannotStart입니다. systemd가 지금 다시 시작하는 중인 kubelet과, kubelet이 다른 프로그램 안에서 실행되는 머신(k3s), 클러스터에 참여한 적 없는 머신은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/command-line-tools-reference/kubelet/",
	Severity: finding.Warning,
	Machine:  append(append(unitKeys(), pathKeys()...), "kubelet/process/running", "kubelet/kubeconfig/path"),
	Detect:   detectKubeletUnitStopped,
})

func detectKubeletUnitStopped(p *rule.Pass) {
	for _, m := range p.Machines() {
		u, ok := unitOn(m, kubeletUnit)
		if !ok || !u.stopped() || u.value("result") != "success" && u.failed() || m.True("kubelet/process/running") {
			continue
		}
		if m.Value("kubelet/kubeconfig/path") == "" && u.value("file-state") != "enabled" {
			continue // Installed on a machine that never joined a cluster.
		}
		p.Report(unitStopped(m, u))
	}
}

func unitStopped(m snapshot.Machine, u unit) finding.Finding {
	f := finding.Finding{
		Subject: m.Subject("Unit", kubeletUnit), Mechanism: v1alpha1.MechanismStopped, Since: u.since(),
		Title: finding.Textf("machine %s: kubelet.service is stopped", "머신 %s: kubelet.service가 중지되었습니다", m.Node()),
		Why: finding.Join(" ", u.how(), finding.Text{
			EN: "It ended as it was told to: someone or something stopped it, and systemd does not start it again.",
			KO: "오류가 아니라 중지 요청으로 종료되었습니다. systemd가 다시 시작하지 않습니다.",
		}, pausedEffect()),
		Evidence: u.evidence(),
		Explains: nodeOnly(m),
		RuledOut: append(append([]finding.Statement{machineUp(m)}, runtimeRuns(m)...), pathOpen(m)...),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "start it; running containers stay as they are", KO: "시작합니다. 실행 중인 컨테이너에는 영향이 없습니다"}, Command: "systemctl start kubelet", Machine: m.Node()},
				{Text: finding.Text{EN: "who stopped it, and when", KO: "누가 언제 중지했는지 확인합니다"}, Command: "journalctl -u kubelet -n 30 --no-pager; last -n 10", Machine: m.Node()},
			},
		},
	}
	if u.value("file-state") != "enabled" {
		f.Evidence = append(f.Evidence, m.Evidence(u.key("file-state")))
		f.Remedies.Later = []finding.Remedy{{
			Text: finding.Text{EN: "have systemd start it at boot", KO: "부팅할 때 시작되게 합니다"}, Command: "systemctl enable kubelet", Machine: m.Node(),
		}}
	} else {
		f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
			EN: "drain a node before its kubelet is stopped for maintenance, so that its pods move in time",
			KO: "유지보수로 kubelet을 중지하기 전에 노드를 drain하여 Pod를 미리 옮깁니다",
		}}}
	}
	return f
}
