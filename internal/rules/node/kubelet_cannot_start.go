package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "KubeletCannotStart",
	Title: finding.Text{
		EN: "kubelet ends after every start",
		KO: "kubelet이 시작할 때마다 종료됩니다",
	},
	Doc: finding.Text{
		EN: "systemd starts kubelet.service again and again, and it ends each time; or systemd has given up. In between it is \"activating\", so that it never counts as failed. The finding says why: " +
			"the line of the configuration file that cannot be read and when the file was changed, else what the kubelet said last. A kubelet that was stopped on purpose is KubeletUnitStopped, one single restart is left alone.",
		KO: "systemd가 kubelet.service를 계속 다시 시작하지만 매번 종료되거나, systemd가 재시작을 포기했습니다. 재시작 사이에는 \"activating\"이므로 실패로 집계되지 않습니다. 읽을 수 없는 설정 파일의 줄과 파일이 바뀐 시각, " +
			"그것이 아니면 kubelet의 마지막 오류를 이유로 알립니다. 의도적으로 중지한 kubelet은 KubeletUnitStopped이며, 한 번 재시작된 것은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/troubleshooting-kubeadm/",
	Severity: finding.Warning,
	Machine: append(append(unitKeys(), pathKeys()...),
		"kubelet/config/path", "kubelet/config/modified", "kubelet/config/error", "kubelet/config/error-line", "kubelet/config/error-text",
		"kubelet/kubeconfig/path", "kubelet/kubeconfig/error", "kubelet/host/cgroup-version", "kubelet/host/swap", "kubelet/healthz/status", "kubelet/setting/failCgroupV1", "kubelet/setting/failSwapOn"),
	Causes: []rule.Cause{
		{Code: "ContainerRuntimeStopped", Via: rule.OnMachine, Holds: saysRuntime},
		{Code: "KubeletCertificateExpired", Via: rule.OnMachine},
	},
	Detect: detectKubeletCannotStart,
})

// saysRuntime tells whether a kubelet gave up for want of its container runtime
// (k8s.io/kubernetes/pkg/kubelet/kubelet.go, NewMainKubelet; k8s.io/cri-client/pkg, NewRemoteRuntimeService).
func saysRuntime(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	for _, e := range effect.Evidence {
		if strings.Contains(e.Value, "runtime") || strings.Contains(e.Value, ".sock") {
			return true
		}
	}
	return false
}

func detectKubeletCannotStart(p *rule.Pass) {
	for _, m := range p.Machines() {
		u, ok := unitOn(m, kubeletUnit)
		if !ok || !u.looping() && (!u.failed() || u.value("result") == "success") {
			continue
		}
		if u.value("active-state") == "active" && m.Value("kubelet/healthz/status") == "200" {
			continue // It has just come up, after many ends.
		}
		p.Report(cannotStart(m, u))
	}
}

// refusal is why a kubelet does not start.
type refusal struct {
	title, why finding.Text
	field      string
	since      time.Time
	mechanism  finding.Mechanism
	confidence finding.Confidence
	evidence   []finding.Evidence
	now        []finding.Remedy
}

func cannotStart(m snapshot.Machine, u unit) finding.Finding {
	r := refusalOf(m, u)
	f := finding.Finding{
		Subject: m.Subject("Unit", kubeletUnit), Mechanism: r.mechanism, Field: r.field, Since: r.since, Confidence: r.confidence,
		Settling: u.looping() && u.number("restarts") < 2 && u.number("restarts-10m") < 2 && r.field == "",
		Title:    finding.Format("machine %s: the kubelet does not start: %s", "머신 %s: kubelet이 시작하지 못합니다: %s", finding.Verbatim(m.Node()), r.title),
		Why:      finding.Join(" ", r.why, u.how(), pausedEffect()),
		Evidence: append(r.evidence, u.evidence()...),
		Explains: nodeOnly(m),
		RuledOut: append(append([]finding.Statement{machineUp(m)}, runtimeRuns(m)...), pathOpen(m)...),
		Remedies: finding.Remedies{
			Now: append(r.now, finding.Remedy{
				Text:    finding.Text{EN: "then start it, and see that it stays up", KO: "그런 다음 시작하고 계속 실행되는지 확인합니다"},
				Command: "systemctl reset-failed kubelet; systemctl restart kubelet; sleep 5; systemctl status kubelet --no-pager", Machine: m.Node(),
			}),
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "change a kubelet's configuration on one node first, and go on to the next once that node is Ready",
				KO: "kubelet 설정은 한 노드에서 먼저 바꾸고, 그 노드가 Ready가 된 뒤에 다음 노드로 진행합니다",
			}}},
		},
	}
	return f
}

// The kubelet's words for what it refuses to run on (k8s.io/kubernetes/pkg/kubelet/cm/container_manager_linux.go,
// NewContainerManager; k8s.io/kubernetes/cmd/kubelet/app/server.go).
const (
	refusesCgroupV1 = "configured to not run on a host using cgroup v1"
	refusesSwap     = "running with swap on is not supported"
)

func refusalOf(m snapshot.Machine, u unit) refusal {
	said := u.lastError()
	if wrong := m.Value("kubelet/config/error"); wrong != "" {
		return badConfig(m, u, wrong)
	}
	look := finding.Remedy{Text: finding.Text{EN: "see what it says", KO: "kubelet이 남긴 오류를 확인합니다"}, Command: u.logs(), Machine: m.Node()}
	r := refusal{mechanism: v1alpha1.MechanismCrashing, since: u.since(), now: []finding.Remedy{look}}
	path := m.Value("kubelet/config/path")
	switch {
	case strings.Contains(said, refusesCgroupV1):
		r.mechanism, r.field = v1alpha1.MechanismMisconfigured, "failCgroupV1"
		r.title = finding.Text{EN: "it refuses the host's cgroup v1", KO: "호스트의 cgroup v1을 거부합니다"}
		r.why = finding.Textf("The host runs cgroup v1, and the kubelet refuses that unless failCgroupV1: false is set in %s (so since Kubernetes 1.35).",
			"호스트는 cgroup v1을 사용하며 kubelet은 %s 파일에 failCgroupV1: false가 없으면 실행을 거부합니다(Kubernetes 1.35부터).", path)
		r.evidence = []finding.Evidence{m.Evidence("kubelet/host/cgroup-version")}
		r = r.changed(m, changedLately)
		r.now = []finding.Remedy{{
			Text:    finding.Text{EN: "allow it until the host boots with cgroup v2", KO: "호스트를 cgroup v2로 부팅할 때까지 허용합니다"},
			Command: fmt.Sprintf("sed -i '/^failCgroupV1:/d' %[1]s && echo 'failCgroupV1: false' >> %[1]s", path), Machine: m.Node(),
		}}
	case strings.Contains(said, refusesSwap):
		r.mechanism, r.field = v1alpha1.MechanismMisconfigured, "failSwapOn"
		r.title = finding.Text{EN: "the host has swap turned on", KO: "호스트에 swap이 켜져 있습니다"}
		r.why = finding.Textf("The kubelet refuses a host with swap unless failSwapOn: false is set in %s.", "kubelet은 %s 파일에 failSwapOn: false가 없으면 swap이 켜진 호스트에서 실행을 거부합니다.", path)
		r.evidence = []finding.Evidence{m.Evidence("kubelet/host/swap")}
		r = r.changed(m, changedLately)
		r.now = []finding.Remedy{{Text: finding.Text{EN: "turn swap off, and take it out of /etc/fstab", KO: "swap을 끄고 /etc/fstab에서도 제거합니다"}, Command: "swapoff -a; grep -n swap /etc/fstab", Machine: m.Node()}}
	case strings.Contains(said, "unknown flag"):
		r.mechanism = v1alpha1.MechanismMisconfigured
		r.title = finding.Verbatim(finding.Quote(said))
		r.why = finding.Text{EN: "Its command line has a flag that this version does not know.", KO: "이 버전이 모르는 플래그가 명령줄에 있습니다."}
		r.now = []finding.Remedy{{
			Text:    finding.Text{EN: "find the flag and take it out", KO: "플래그를 찾아 제거합니다"},
			Command: "systemctl cat kubelet; cat /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/sysconfig/kubelet 2>/dev/null", Machine: m.Node(),
		}}
	case m.Value("kubelet/kubeconfig/error") != "":
		r.mechanism, r.field = v1alpha1.MechanismMisconfigured, m.Value("kubelet/kubeconfig/path")
		r.title = finding.Textf("its kubeconfig %s cannot be used", "kubeconfig(%s)를 사용할 수 없습니다", r.field)
		r.why = finding.Textf("Reading %s fails: %s.", "%s 읽기 실패: %s.", r.field, finding.Quote(m.Value("kubelet/kubeconfig/error")))
		r.evidence = []finding.Evidence{m.Evidence("kubelet/kubeconfig/error")}
	case said != "":
		r.title = finding.Verbatim(finding.Quote(said))
		r.why = finding.Text{EN: "That is what it says each time it ends.", KO: "종료될 때마다 남기는 오류입니다."}
	default:
		r.confidence = v1alpha1.ConfidenceMedium
		r.title = finding.Text{EN: "its log says why", KO: "이유는 로그에 있습니다"}
		r.why = finding.Text{EN: "Why it ends could not be read here.", KO: "종료된 이유는 여기에서 읽지 못했습니다."}
	}
	return r
}

// changed says when the kubelet's configuration was changed, where that was no longer ago than a while.
func (r refusal) changed(m snapshot.Machine, within time.Duration) refusal {
	at := m.Time("kubelet/config/modified")
	if at.IsZero() || m.ObservedAt().Sub(at) > within {
		return r
	}
	r.evidence = append(r.evidence, m.Evidence("kubelet/config/modified"))
	r.why = finding.Join(" ", r.why, finding.Textf("The file was changed at %s.", "파일이 변경된 시각: %s.", finding.Clock(m.ObservedAt(), at)))
	return r
}

// changedLately is how long ago a change of the configuration may lie to be told of as what the kubelet fails at.
const changedLately = time.Hour

// badConfig is a configuration file that the kubelet cannot load.
func badConfig(m snapshot.Machine, u unit, wrong string) refusal {
	path := m.Value("kubelet/config/path")
	r := refusal{
		mechanism: v1alpha1.MechanismMisconfigured, field: path, since: u.since(),
		evidence: []finding.Evidence{m.Evidence("kubelet/config/error")},
		title:    finding.Textf("%s cannot be read", "%s 파일을 읽을 수 없습니다", path),
		why:      finding.Textf("%s cannot be read: %s.", "%s 파일을 읽을 수 없습니다: %s.", path, finding.Quote(wrong)),
		now: []finding.Remedy{{
			Text:    finding.Text{EN: "mend the file", KO: "파일을 고칩니다"},
			Command: "cat " + finding.ShellWord(path), Machine: m.Node(),
		}},
	}
	if line, ok := m.Int("kubelet/config/error-line"); ok {
		r.title = finding.Textf("%s line %d", "%s %d번째 줄 오류", path, line)
		r.evidence = append(r.evidence, m.Evidence("kubelet/config/error-text"))
		r.why = finding.Textf("%s cannot be read. Line %d is \"%s\": %s.", "%s 파일을 읽을 수 없습니다. %d번째 줄(\"%s\"): %s.", path, line, finding.Quote(m.Value("kubelet/config/error-text")), finding.Quote(wrong))
		r.now = []finding.Remedy{{
			Text:    finding.Textf("mend line %d", "%d번째 줄을 고칩니다", line),
			Command: fmt.Sprintf("sed -n '%d,%dp' %s", max(1, line-3), line+3, finding.ShellWord(path)), Machine: m.Node(),
		}}
	}
	if r.since.IsZero() {
		r.since = m.Time("kubelet/config/modified") // Nobody watched its starts; before this change the file was another.
	}
	return r.changed(m, 365*24*time.Hour)
}
