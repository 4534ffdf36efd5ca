package node

import (
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "ContainerRuntimeStopped",
	Title: finding.Text{
		EN: "container runtime's unit does not run",
		KO: "컨테이너 런타임 유닛이 실행되지 않습니다",
	},
	Doc: finding.Text{
		EN: "systemd says, on the machine itself, that the unit of the container runtime that the kubelet uses is stopped, has failed, or ends after each start. Containers that run go on under their shims; none can be started, " +
			"ended or probed by exec, and within a minute the kubelet says that the node is not ready. A second runtime that is installed and that the kubelet does not use is left alone, as is one single restart.",
		KO: "머신의 systemd에 따르면 kubelet이 사용하는 컨테이너 런타임 유닛이 중지되었거나, 실패했거나, 시작할 때마다 종료됩니다. 실행 중인 컨테이너는 shim 아래에서 계속 실행되지만 시작, 종료, exec probe를 할 수 없으며 " +
			"1분 안에 kubelet이 노드가 준비되지 않았다고 보고합니다. kubelet이 사용하지 않는 다른 런타임과 한 번 재시작된 런타임은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/setup/production-environment/container-runtimes/",
	Severity: finding.Warning,
	Machine:  append(unitKeys(), "kubelet/setting/containerRuntimeEndpoint", "kubelet/process/running"),
	Causes:   []rule.Cause{{Code: "CniConfigMissing", Via: rule.OnMachine, Holds: endedForNetwork}},
	Detect:   detectContainerRuntimeStopped,
})

// endedForNetwork tells whether containerd ended because the folder that it watches for network plugins'
// configurations was taken away ("cni network conf monitor error: cni conf dir is removed";
// containerd, internal/cri/server/cni_conf_syncer.go).
func endedForNetwork(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return strings.Contains(effect.Title.EN, "cni conf dir") ||
		slices.ContainsFunc(effect.Evidence, func(e finding.Evidence) bool { return strings.Contains(e.Value, "cni conf dir") })
}

func detectContainerRuntimeStopped(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, name := range runtimesInUse(m) {
			if u, ok := unitOn(m, name); ok && (u.looping() || u.stopped()) {
				p.Report(runtimeStopped(m, u))
			}
		}
	}
}

// runtimesInUse are the units of the runtime that the kubelet's configuration names by its socket, else
// of the only one that is installed.
func runtimesInUse(m snapshot.Machine) []string {
	endpoint := m.Value("kubelet/setting/containerRuntimeEndpoint")
	switch {
	case strings.Contains(endpoint, "cri-dockerd"):
		return []string{"cri-docker.service", "docker.service"}
	case strings.Contains(endpoint, "crio"):
		return []string{"crio.service"}
	case strings.Contains(endpoint, "/k3s/"):
		return nil // The runtime is a child of k3s.
	case strings.Contains(endpoint, "containerd"):
		return []string{"containerd.service"}
	}
	var there []string
	for _, name := range runtimeUnits {
		if u, ok := unitOn(m, name); ok && u.value("load-state") == "loaded" {
			there = append(there, name)
		}
	}
	if _, node := unitOn(m, kubeletUnit); len(there) == 1 && node {
		return there
	}
	return nil
}

func runtimeStopped(m snapshot.Machine, u unit) finding.Finding {
	f := finding.Finding{
		Subject: m.Subject("Unit", u.name), Mechanism: v1alpha1.MechanismStopped, Since: u.since(), Settling: u.looping() && (u.number("restarts") < 2 || u.unsure()),
		Title: finding.Textf("machine %s: %s is stopped", "머신 %s: %s 유닛이 중지되었습니다", m.Node(), u.name),
		Why: finding.Join(" ", u.how(), finding.Text{
			EN: "Containers that run go on; none can be started, ended or probed by exec on this machine.",
			KO: "실행 중인 컨테이너는 계속 실행되지만 이 머신에서는 컨테이너를 시작하거나 종료할 수 없고 exec probe가 실패합니다.",
		}),
		Evidence: u.evidence(),
		Explains: nodeOnly(m),
		RuledOut: []finding.Statement{machineUp(m)},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "start it; running containers stay", KO: "시작합니다. 실행 중인 컨테이너에는 영향이 없습니다"}, Command: "systemctl start " + u.short(), Machine: m.Node()},
				{Text: finding.Text{EN: "why it ended", KO: "종료된 이유를 확인합니다"}, Command: u.logs(), Machine: m.Node()},
			},
			Later: []finding.Remedy{{
				Text:    finding.Text{EN: "have systemd start it at boot and after every end", KO: "부팅할 때와 종료된 뒤에 systemd가 자동으로 시작하게 합니다"},
				Command: "systemctl enable " + u.short() + "; systemctl show " + u.short() + " -p Restart", Machine: m.Node(),
			}},
		},
	}
	if u.looping() || u.failed() {
		f.Mechanism = v1alpha1.MechanismCrashing
		f.Title = finding.Textf("machine %s: %s ends after every start", "머신 %s: %s 유닛이 시작할 때마다 종료됩니다", m.Node(), u.name)
		if !u.looping() {
			f.Title = finding.Textf("machine %s: %s has failed", "머신 %s: %s 유닛이 실패했습니다", m.Node(), u.name)
		}
		f.Title = withReason(f.Title, u)
		slices.Reverse(f.Remedies.Now)
		f.Remedies.Now[1] = finding.Remedy{
			Text: finding.Text{EN: "then start it", KO: "그런 다음 시작합니다"}, Command: "systemctl reset-failed " + u.short() + "; systemctl start " + u.short(), Machine: m.Node(),
		}
	}
	return f
}

// withReason adds to a title what the unit's program said when it ended.
func withReason(title finding.Text, u unit) finding.Text {
	if said := u.lastError(); said != "" {
		return finding.Join(": ", title, finding.Verbatim(finding.Quote(said)))
	}
	return title
}
