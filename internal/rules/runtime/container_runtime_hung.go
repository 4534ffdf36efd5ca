package runtime

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ContainerRuntimeHung",
	Title: finding.Text{EN: "container runtime takes connections and does not answer", KO: "컨테이너 런타임이 연결은 받지만 응답하지 않습니다"},
	Doc: finding.Text{
		EN: "The socket of the container runtime is there, and the runtime does not say within four seconds how it is, which it does from memory: its process is stopped by a signal, waits for a disk, or is deadlocked. systemd shows it as " +
			"active. Containers that run go on; none can be started, ended or probed by exec. A runtime that answers slowly is left alone.",
		KO: "컨테이너 런타임의 소켓은 있지만, 메모리에서 바로 답할 수 있는 상태 조회에 4초 안에 응답하지 않습니다. 프로세스가 signal로 정지되었거나 디스크를 기다리거나 교착 상태입니다. systemd에는 active로 표시됩니다. 실행 중인 컨테이너는 계속 실행되지만 " +
			"시작, 종료, exec probe를 할 수 없습니다. 느리게라도 응답하는 런타임은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/cri/",
	Severity: finding.Warning,
	Machine:  []snapshot.EvidenceKey{"cri/endpoint", "cri/answer", "cri/error"},
	For:      10 * time.Second,
	Causes: []rule.Cause{
		{Code: "MountHangs", Via: rule.OnMachine},
		{Code: "FilesystemReadOnly", Via: rule.OnMachine},
		{Code: "DiskErrors", Via: rule.OnMachine},
		{Code: "KernelTaskHung", Via: rule.OnMachine},
		{Code: "NfsServerNotResponding", Via: rule.OnMachine},
		{Code: "MachineMemoryExhausted", Via: rule.OnMachine},
	},
	Detect: detectContainerRuntimeHung,
})

func detectContainerRuntimeHung(p *rule.Pass) {
	for _, m := range p.Machines() {
		if m.Value("cri/answer") != "hung" {
			continue
		}
		socket := m.Value("cri/endpoint")
		unit := unitOf(socket)
		p.Report(finding.Finding{
			Subject: m.Subject("Endpoint", socket), Mechanism: v1alpha1.MechanismHung, Since: m.Since("cri/answer"),
			Title: finding.Textf("container runtime on %s hangs: %s takes connections and does not answer", "%s의 컨테이너 런타임이 멈췄습니다: %s 소켓이 연결은 받지만 응답하지 않습니다", m.Node(), socket),
			Why: finding.Text{
				EN: "It did not say within 4 s how it is, which takes no disk and no container. Its process is there, so that its unit looks well. Containers there go on running; none can be started or ended.",
				KO: "디스크도 컨테이너도 필요 없는 상태 조회에 4초 안에 응답하지 않았습니다. 프로세스는 있어 unit은 정상으로 보입니다. 컨테이너는 계속 실행되지만 시작하거나 종료할 수 없습니다.",
			},
			Evidence: []finding.Evidence{m.Evidence("cri/answer"), m.Evidence("cri/error")},
			RuledOut: []finding.Statement{{Text: finding.Text{EN: "a stopped runtime: its socket takes connections", KO: "런타임 중지: 소켓이 연결을 받습니다"}, Evidence: []finding.Evidence{m.Evidence("cri/endpoint")}}},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{
						Text:    finding.Text{EN: "how is its process: T is stopped by a signal (kill -CONT), D waits for a disk", KO: "프로세스 상태를 확인합니다: T는 signal로 정지(kill -CONT), D는 디스크 대기입니다"},
						Command: "ps -o pid,stat,wchan:24,etime,cmd -C " + unit, Machine: m.Node(),
					},
					{
						Text:    finding.Text{EN: "keep what all its goroutines wait for, then restart it; running containers stay", KO: "goroutine 상태를 로그에 남긴 뒤 재시작합니다. 실행 중인 컨테이너에는 영향이 없습니다"},
						Command: "pkill -USR1 -x " + unit + "; systemctl restart " + unit, Machine: m.Node(),
					},
				},
				Later: []finding.Remedy{{Text: finding.Text{
					EN: "give images and containers a disk of their own: a runtime that hangs most often waits for one", KO: "이미지와 컨테이너에 전용 디스크를 사용합니다. 런타임이 멈추는 가장 흔한 이유는 디스크 대기입니다",
				}}},
			},
		})
	}
}
