package runtime

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "SandboxesLeftOver",
	Title: finding.Text{EN: "ended pod sandboxes pile up on a machine", KO: "종료된 Pod sandbox가 머신에 쌓이고 있습니다"},
	Doc: finding.Text{
		EN: "The container runtime holds a hundred ended sandboxes or more that newer ones of the same pods have replaced. The kubelet removes such within a minute; that it does not means that it does not run, or that removing fails, as when " +
			"the network plugin cannot take an address back: addresses, mounts and processes stay with them. One ended sandbox for each finished pod, as of Jobs, is normal.",
		KO: "컨테이너 런타임에 같은 Pod의 새 sandbox로 대체된 종료된 sandbox가 100개 이상 남아 있습니다. kubelet은 이런 sandbox를 1분 안에 삭제합니다. 남아 있다면 kubelet이 실행되지 않거나, 네트워크 플러그인이 주소를 회수하지 못하는 등 삭제가 실패하는 것이며 " +
			"주소, mount, 프로세스도 함께 남습니다. Job처럼 종료된 Pod마다 하나씩 남는 것은 정상입니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/garbage-collection/#containers-images",
	Severity: finding.Warning,
	Machine:  []snapshot.EvidenceKey{"cri/endpoint", "cri/sandboxes/*", "sandbox/*/state"},
	Detect:   detectSandboxesLeftOver,
})

// manyLeft is the number of replaced sandboxes from which they pile up: the kubelet looks every minute
// (k8s.io/kubernetes/pkg/kubelet/kubelet.go, ContainerGCPeriod).
const manyLeft = 100

func detectSandboxesLeftOver(p *rule.Pass) {
	for _, m := range p.Machines() {
		ended, ok := m.Int("cri/sandboxes/not-ready")
		if !ok {
			continue
		}
		// The newest of each pod is told of by itself: a pod that finished keeps it.
		for _, e := range m.Select("sandbox/*/state") {
			if e.Value == "not-ready" {
				ended--
			}
		}
		if ended < manyLeft {
			continue
		}
		p.Report(finding.Finding{
			Subject: m.Subject("Endpoint", m.Value("cri/endpoint")), Mechanism: v1alpha1.MechanismFailing,
			Title: finding.Textf("%d ended pod sandboxes are left on %s", "%[2]s에 종료된 Pod sandbox %[1]d개가 남아 있습니다", ended, m.Node()),
			Why: finding.Text{
				EN: "Newer sandboxes of the same pods have replaced them, and the kubelet does not remove them: it does not run, or removing fails.", KO: "같은 Pod의 새 sandbox로 대체되었지만 kubelet이 삭제하지 않습니다. kubelet이 실행되지 않거나 삭제가 실패하는 것입니다.",
			},
			Evidence: []finding.Evidence{m.Evidence("cri/sandboxes/not-ready"), m.Evidence("cri/sandboxes/ready")},
			WaitsFor: []finding.Subject{{Kind: "Node", Name: m.Node()}},
			Remedies: finding.Remedies{Now: []finding.Remedy{{
				Text:    finding.Text{EN: "see why one of them cannot be removed", KO: "하나를 삭제해 보고 실패하는 이유를 확인합니다"},
				Command: "crictl rmp $(crictl pods -q --state NotReady | tail -n 1); journalctl -u kubelet -n 200 --no-pager | grep -E 'KillPodSandbox|RemovePodSandbox' | tail", Machine: m.Node(),
			}}},
		})
	}
}
