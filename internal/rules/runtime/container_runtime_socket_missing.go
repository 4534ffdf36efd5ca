package runtime

import (
	"path"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ContainerRuntimeSocketMissing",
	Title: finding.Text{EN: "nobody is behind the socket that the kubelet uses for containers", KO: "kubelet이 사용하는 컨테이너 런타임 소켓에 런타임이 없습니다"},
	Doc: finding.Text{
		EN: "The kubelet is configured with the socket of a container runtime that does not exist, or behind which nobody listens: the runtime is stopped, was never installed, or listens elsewhere than the kubelet believes. The kubelet ends " +
			"or reports itself not ready. A machine whose kubelet names no socket is left alone.",
		KO: "kubelet에 설정된 컨테이너 런타임 소켓이 없거나, 소켓 뒤에서 받는 프로세스가 없습니다. 런타임이 중지되었거나 설치되지 않았거나 다른 위치에서 실행되는 것입니다. kubelet은 종료되거나 준비되지 않음으로 보고합니다. " +
			"kubelet이 소켓을 지정하지 않은 머신은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/setup/production-environment/container-runtimes/",
	Severity: finding.Warning,
	Machine:  []snapshot.EvidenceKey{"cri/endpoint", "cri/answer", "cri/error", "cri/source"},
	For:      10 * time.Second,
	Causes: []rule.Cause{
		{Code: "ContainerRuntimeStopped", Via: rule.OnMachine},
		{Code: "UnitFailed", Via: rule.OnMachine, Holds: isRuntimeUnit},
		{Code: "UnitCrashLooping", Via: rule.OnMachine, Holds: isRuntimeUnit},
	},
	Detect: detectContainerRuntimeSocketMissing,
})

// isRuntimeUnit tells whether the cause is about the unit of a container runtime.
func isRuntimeUnit(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	for _, name := range []string{"containerd", "crio", "cri-docker", "docker"} {
		if strings.HasPrefix(cause.Subject.Name, name) {
			return true
		}
	}
	return false
}

func detectContainerRuntimeSocketMissing(p *rule.Pass) {
	for _, m := range p.Machines() {
		answer, socket := m.Value("cri/answer"), m.Value("cri/endpoint")
		if answer != "absent" && answer != "refused" || m.Value("cri/source") == "known socket" {
			continue
		}
		unit := unitOf(socket)
		f := finding.Finding{
			Subject: m.Subject("Endpoint", socket), Mechanism: v1alpha1.MechanismStopped, Since: m.Since("cri/answer"),
			Evidence: []finding.Evidence{m.Evidence("cri/answer"), m.Evidence("cri/source")},
			Remedies: finding.Remedies{Now: []finding.Remedy{
				{Text: finding.Text{EN: "does the runtime run, and why not", KO: "런타임이 실행 중인지, 아니라면 이유를 확인합니다"}, Command: "systemctl status " + unit + "; journalctl -u " + unit + " -n 50 --no-pager", Machine: m.Node()},
				{Text: finding.Text{EN: "which sockets are there, and which does the kubelet use", KO: "어떤 소켓이 있는지, kubelet이 어떤 것을 사용하는지 확인합니다"}, Command: "ls -l " + path.Dir(socket) + "; grep -rn containerRuntimeEndpoint /var/lib/kubelet/*.yaml", Machine: m.Node()},
			}},
		}
		if answer == "absent" {
			f.Mechanism = v1alpha1.MechanismMissing
			f.Title = finding.Textf("container runtime on %s: the socket %s does not exist", "%s의 컨테이너 런타임 소켓이 없습니다: %s", m.Node(), socket)
			f.Why = finding.Textf("The kubelet is told to use it (%s). The runtime is stopped and took it along, or listens elsewhere.", "kubelet이 이 소켓을 사용하도록 설정되어 있습니다(%s). 런타임이 중지되면서 소켓도 없어졌거나 다른 위치에서 실행 중입니다.", m.Value("cri/source"))
		} else {
			f.Title = finding.Textf("container runtime on %s does not run: nobody is behind %s", "%s의 컨테이너 런타임이 실행되지 않습니다: %s 소켓을 받는 프로세스가 없습니다", m.Node(), socket)
			f.Why = finding.Text{EN: "The socket's file is left over from a runtime that ended.", KO: "종료된 런타임이 남긴 소켓 파일입니다."}
		}
		f.Why = finding.Join(" ", f.Why, finding.Text{
			EN: "Containers that run go on; none can be started or ended.", KO: "실행 중인 컨테이너는 계속 실행되지만 시작하거나 종료할 수 없습니다.",
		})
		p.Report(f)
	}
}

// unitOf is the program and the systemd unit behind a socket, as the runtimes' packages call them.
func unitOf(socket string) string {
	switch path.Base(socket) {
	case "crio.sock":
		return "crio"
	case "cri-dockerd.sock":
		return "cri-docker"
	default:
		return "containerd"
	}
}
