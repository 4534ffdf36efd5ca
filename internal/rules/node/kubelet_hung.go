package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "KubeletHung",
	Title: finding.Text{
		EN: "kubelet runs and does not answer",
		KO: "kubelet이 실행 중이지만 응답하지 않습니다",
	},
	Doc: finding.Text{
		EN: "The kubelet's process is there, and its health endpoint on the machine itself does not answer, or says that the kubelet is unhealthy: its main loop makes no progress, most often because it waits for a " +
			"disk, a mount or the container runtime. A kubelet that has only just started, one that is started again and again (KubeletCannotStart), and one whose endpoint is turned off are left alone.",
		KO: "kubelet 프로세스는 있지만 머신 안에서 health endpoint가 응답하지 않거나 비정상이라고 응답합니다. 대개 디스크, 마운트, 컨테이너 런타임을 기다리느라 주 루프가 진행하지 못하는 상태입니다. " +
			"방금 시작한 kubelet, 계속 다시 시작되는 kubelet(KubeletCannotStart), endpoint를 끈 kubelet은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/instrumentation/node-metrics/",
	Severity: finding.Warning,
	Machine: append(append(unitKeys(), pathKeys()...),
		"kubelet/process/running", "kubelet/process/pid", "kubelet/process/state", "kubelet/healthz/outcome", "kubelet/healthz/status", "kubelet/healthz/body", "kubelet/healthz/error"),
	Causes: append([]rule.Cause{
		{Code: "ContainerRuntimeStopped", Via: rule.OnMachine},
		{Code: "KernelTaskHung", Via: rule.OnMachine},
		{Code: "MachineMemoryExhausted", Via: rule.OnMachine},
		{Code: "ProcessLimitReached", Via: rule.OnMachine},
	}, storageGone()...),
	Detect: detectKubeletHung,
})

func detectKubeletHung(p *rule.Pass) {
	for _, m := range p.Machines() {
		u, ok := unitOn(m, kubeletUnit)
		if !m.True("kubelet/process/running") || ok && (u.looping() || u.value("active-state") != "active") {
			continue
		}
		if started := m.Time(u.key("started")); ok && m.ObservedAt().Sub(started) < fresh {
			continue
		}
		outcome := m.Value("kubelet/healthz/outcome")
		status, _ := m.Int("kubelet/healthz/status")
		switch {
		case outcome == "timed-out", outcome == "failed", outcome == "answered" && status >= 500:
			p.Report(hung(m, outcome, status))
		}
	}
}

func hung(m snapshot.Machine, outcome string, status int64) finding.Finding {
	f := finding.Finding{
		Subject: m.Subject("Unit", kubeletUnit), Mechanism: v1alpha1.MechanismHung, Since: m.Since("kubelet/healthz/outcome"),
		Title: finding.Textf("machine %s: the kubelet runs and does not answer", "머신 %s: kubelet이 실행 중이지만 응답하지 않습니다", m.Node()),
		Why: finding.Join(" ", finding.Textf("Its process (%s) is there, and its health endpoint does not answer on the machine itself: %s.",
			"프로세스(%s)는 있지만 머신 안에서 kubelet의 health endpoint가 응답하지 않습니다: %s.",
			m.Value("kubelet/process/pid"), finding.Quote(m.Value("kubelet/healthz/error"))), standstill(m), pausedEffect()),
		Evidence: []finding.Evidence{m.Evidence("kubelet/healthz/outcome")},
		Explains: nodeOnly(m),
		RuledOut: append(append([]finding.Statement{machineUp(m)}, runtimeRuns(m)...), pathOpen(m)...),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "what it waits for: its threads in uninterruptible sleep, and the machine's I/O", KO: "무엇을 기다리는지 확인합니다(D 상태의 thread, 머신의 I/O)"},
					Command: "ps -L -o tid,stat,wchan:30,comm -p $(pidof kubelet); cat /proc/pressure/io; journalctl -u kubelet -n 30 --no-pager", Machine: m.Node(),
				},
				{Text: finding.Text{EN: "restart it; running containers stay as they are", KO: "재시작합니다. 실행 중인 컨테이너에는 영향이 없습니다"}, Command: "systemctl restart kubelet", Machine: m.Node()},
			},
		},
	}
	if state := m.Value("kubelet/process/state"); state == stoppedProcess {
		f.Mechanism = v1alpha1.MechanismStopped
		f.Title = finding.Textf("machine %s: the kubelet's process was stopped by a signal", "머신 %s: kubelet 프로세스가 signal로 정지되었습니다", m.Node())
		f.Evidence = append(f.Evidence, m.Evidence("kubelet/process/state"))
		f.Remedies.Now = []finding.Remedy{{Text: finding.Text{EN: "let it go on", KO: "계속 실행되게 합니다"}, Command: "kill -CONT $(pidof kubelet)", Machine: m.Node()}}
	}
	if outcome == "answered" {
		f.Title = finding.Textf("machine %s: the kubelet says that it is unhealthy", "머신 %s: kubelet이 비정상이라고 응답합니다", m.Node())
		f.Why = finding.Join(" ", finding.Textf("Its health endpoint answers %d: %s.", "health endpoint의 응답은 %d입니다: %s.", status, finding.Quote(m.Value("kubelet/healthz/body"))), pausedEffect())
		f.Evidence = append(f.Evidence, m.Evidence("kubelet/healthz/status"), m.Evidence("kubelet/healthz/body"))
	}
	return f
}

// stoppedProcess is the kernel's word for a process that a signal or a debugger holds (proc_pid_stat(5)).
const stoppedProcess = "T"

// standstill says why a process makes no progress, as far as its state tells.
func standstill(m snapshot.Machine) finding.Text {
	switch m.Value("kubelet/process/state") {
	case stoppedProcess:
		return finding.Text{EN: "The kernel has it as stopped: somebody sent it SIGSTOP, or a debugger holds it.", KO: "커널이 정지 상태로 보고합니다. SIGSTOP을 받았거나 디버거가 잡고 있습니다."}
	case "D":
		return finding.Text{EN: "It waits in the kernel for a device: a disk or a mount does not answer.", KO: "커널 안에서 장치를 기다리고 있습니다. 디스크나 마운트가 응답하지 않습니다."}
	default:
		return finding.Text{EN: "It makes no progress: most often it waits for a disk, a mount or the container runtime.", KO: "진행하지 못하고 있습니다. 대개 디스크, 마운트, 컨테이너 런타임을 기다리는 상태입니다."}
	}
}
