package node

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "UnitCrashLooping",
	Title: finding.Text{
		EN: "unit ends after every start",
		KO: "유닛이 시작할 때마다 종료됩니다",
	},
	Doc: finding.Text{
		EN: "A systemd unit that the node depends on (the overlay's daemon, kube-proxy, etcd, time synchronization, storage) is started again and again and ends each time. To systemd it is \"activating\", never failed. " +
			"The kubelet is KubeletCannotStart, the container runtime ContainerRuntimeStopped. One or two restarts are left alone.",
		KO: "노드가 의존하는 systemd 유닛(overlay 데몬, kube-proxy, etcd, 시각 동기화, 스토리지)이 계속 다시 시작되지만 매번 종료됩니다. systemd에서는 \"activating\"일 뿐 실패로 집계되지 않습니다. " +
			"kubelet은 KubeletCannotStart, 컨테이너 런타임은 ContainerRuntimeStopped입니다. 한두 번의 재시작은 대상이 아닙니다.",
	},
	Link:     "https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html#Restart=",
	Severity: finding.Warning,
	Machine:  append(unitKeys(), "kubelet/setting/containerRuntimeEndpoint"),
	Detect: func(p *rule.Pass) {
		for _, u := range otherUnits(p) {
			if u.looping() && u.number("restarts") >= loopRestarts {
				f := unitTrouble(u, v1alpha1.MechanismCrashing, finding.Textf("machine %s: %s ends after every start", "머신 %s: %s 유닛이 시작할 때마다 종료됩니다", u.machine.Node(), u.name))
				f.Settling = u.unsure()
				p.Report(f)
			}
		}
	},
})

var _ = Catalog.Add(rule.Rule{
	Code: "UnitFailed",
	Title: finding.Text{
		EN: "unit has failed, or does not run",
		KO: "유닛이 실패했거나 실행되지 않습니다",
	},
	Doc: finding.Text{
		EN: "A systemd unit has failed; or one that the node depends on (the overlay's daemon, kube-proxy, etcd) is enabled and does not run. A failed unit that Kubernetes does not depend on is told as info. " +
			"Units that are disabled, masked or absent are left alone, as is a time service beside another one that runs. The kubelet and the container runtime have rules of their own.",
		KO: "systemd 유닛이 실패했거나, 노드가 의존하는 유닛(overlay 데몬, kube-proxy, etcd)이 enable되어 있는데 실행되지 않습니다. Kubernetes가 의존하지 않는 유닛의 실패는 info로 알립니다. " +
			"disable, mask되었거나 없는 유닛과, 다른 시각 동기화 서비스가 실행 중일 때의 시각 동기화 서비스는 대상이 아닙니다. kubelet과 컨테이너 런타임은 별도 규칙에서 다룹니다.",
	},
	Link:     "https://www.freedesktop.org/software/systemd/man/latest/systemctl.html",
	Severity: finding.Info,
	Gravest:  finding.Warning,
	Machine:  append(unitKeys(), "kubelet/setting/containerRuntimeEndpoint"),
	Detect:   detectUnitFailed,
})

var _ = Catalog.Add(rule.Rule{
	Code: "UnitNotEnabled",
	Title: finding.Text{
		EN: "unit will not start after a reboot",
		KO: "재부팅하면 시작되지 않는 유닛이 있습니다",
	},
	Doc: finding.Text{
		EN: "The kubelet, the container runtime, flanneld, kube-proxy or etcd runs now as a unit that is not enabled: after the next reboot the node does not come back. " +
			"Units that something else starts (static, indirect, generated, or a script that did so at the last boot) are left alone.",
		KO: "kubelet, 컨테이너 런타임, flanneld, kube-proxy, etcd가 지금은 실행 중이지만 enable되지 않은 유닛입니다. 다음 재부팅 후 노드가 복구되지 않습니다. " +
			"다른 것이 시작하는 유닛(static, indirect, generated, 지난 부팅 때 스크립트가 시작한 유닛)은 대상이 아닙니다.",
	},
	Link:     "https://www.freedesktop.org/software/systemd/man/latest/systemctl.html#enable%20UNIT%E2%80%A6",
	Severity: finding.Warning,
	Risk:     true,
	Needs:    []rule.Need{rule.Optional[*corev1.Node]()},
	Machine:  append(unitKeys(), "kubelet/setting/containerRuntimeEndpoint", "boot/started"),
	Detect:   detectUnitNotEnabled,
})

// carriers are the units without which a node does not do its work, beside the kubelet and its runtime.
var carriers = []string{"flanneld.service", "kube-proxy.service", "etcd.service", "kube-apiserver.service", "kube-scheduler.service", "kube-controller-manager.service"}

// timeServices keep the clock; one of them is enough.
var timeServices = []string{"chrony.service", "chronyd.service", "ntp.service", "ntpd.service", "ntpsec.service", "systemd-timesyncd.service"}

// otherUnits are the units of all machines but kubelets and the runtimes they use.
func otherUnits(p *rule.Pass) []unit {
	var out []unit
	for _, m := range p.Machines() {
		inUse := runtimesInUse(m)
		for _, name := range m.Names("unit/*/active-state") {
			if name != kubeletUnit && !slices.Contains(inUse, name) {
				out = append(out, unit{m, name})
			}
		}
	}
	return out
}

func detectUnitFailed(p *rule.Pass) {
	for _, u := range otherUnits(p) {
		if !u.stopped() || u.value("load-state") == "masked" {
			continue
		}
		carrier := slices.Contains(carriers, u.name)
		switch {
		case u.failed() && slices.Contains(timeServices, u.name) && otherTimeService(u):
		case u.failed():
			f := unitTrouble(u, v1alpha1.MechanismCrashing, finding.Textf("machine %s: %s has failed", "머신 %s: %s 유닛이 실패했습니다", u.machine.Node(), u.name))
			if carrier || slices.Contains(timeServices, u.name) {
				f.Severity = finding.Warning
			}
			p.Report(f)
		case carrier && u.value("file-state") == "enabled":
			f := unitTrouble(u, v1alpha1.MechanismStopped, finding.Textf("machine %s: %s is stopped", "머신 %s: %s 유닛이 중지되었습니다", u.machine.Node(), u.name))
			f.Severity = finding.Warning
			p.Report(f)
		}
	}
}

func otherTimeService(u unit) bool {
	return slices.ContainsFunc(timeServices, func(name string) bool {
		other, ok := unitOn(u.machine, name)
		return ok && name != u.name && other.value("active-state") == "active"
	})
}

func unitTrouble(u unit, mechanism finding.Mechanism, title finding.Text) finding.Finding {
	m := u.machine
	f := finding.Finding{
		Subject: m.Subject("Unit", u.name), Mechanism: mechanism, Since: u.since(),
		Title:    title,
		Why:      finding.Join(" ", u.how(), consequence(u.name)),
		Evidence: u.evidence(),
		Remedies: finding.Remedies{Now: []finding.Remedy{
			{Text: finding.Text{EN: "why it ended", KO: "종료된 이유를 확인합니다"}, Command: u.logs(), Machine: m.Node()},
			{Text: finding.Text{EN: "start it once that is mended", KO: "원인을 고친 뒤 시작합니다"}, Command: "systemctl reset-failed " + u.short() + "; systemctl start " + u.short(), Machine: m.Node()},
		}},
	}
	if mechanism == v1alpha1.MechanismCrashing {
		f.Title = withReason(f.Title, u)
	}
	return f
}

// consequence says what a node goes without.
func consequence(name string) finding.Text {
	switch {
	case name == "flanneld.service":
		return finding.Text{EN: "Routes and tunnels of the pod network stay as they were; changes of other nodes no longer arrive here, and after a reboot there is no pod network.", KO: "Pod 네트워크의 경로와 터널은 그대로 남지만 다른 노드의 변경이 반영되지 않으며, 재부팅하면 Pod 네트워크가 사라집니다."}
	case name == "kube-proxy.service":
		return finding.Text{EN: "Service addresses keep the endpoints that they had; what changes from now on is not seen from this machine.", KO: "Service 주소는 기존 endpoint를 유지하지만 이후의 변경이 이 머신에 반영되지 않습니다."}
	case name == "etcd.service":
		return finding.Text{EN: "The etcd cluster is without this member.", KO: "etcd 클러스터에서 이 member가 빠집니다."}
	case slices.Contains(timeServices, name):
		return finding.Text{EN: "Nothing keeps this machine's clock right.", KO: "이 머신의 시계를 맞추는 것이 없습니다."}
	case name == "iscsid.service", name == "multipathd.service":
		return finding.Text{EN: "Lost paths to storage are not restored on this machine.", KO: "이 머신에서 끊긴 스토리지 경로가 복구되지 않습니다."}
	case strings.HasSuffix(name, ".mount"):
		return finding.Text{EN: "What should be mounted there is not.", KO: "마운트되어야 할 파일시스템이 없습니다."}
	}
	return finding.Text{}
}

// cameBack tells whether something else than systemd starts a unit at boot, as scripts of cloud providers' images do:
// it has run since shortly after a boot that the node went through, or the image is known to do so (GKE's).
func cameBack(p *rule.Pass, u unit) bool {
	const soon = 10 * time.Minute
	n, ok := snapshot.Get[*corev1.Node](p.Snapshot, "", u.machine.Node())
	if !ok {
		return false
	}
	booted, started := u.machine.Time("boot/started"), u.machine.Time(u.key("started"))
	again := n.CreationTimestamp.Time.Before(booted) && !started.IsZero() && started.Sub(booted) < soon
	return again || strings.HasPrefix(n.Spec.ProviderID, "gce://")
}

func detectUnitNotEnabled(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, name := range slices.Concat([]string{kubeletUnit}, runtimesInUse(m), carriers) {
			u, ok := unitOn(m, name)
			if !ok || u.value("active-state") != "active" || u.value("file-state") != "disabled" || cameBack(p, u) {
				continue
			}
			p.Report(finding.Finding{
				Subject: m.Subject("Unit", name), Mechanism: v1alpha1.MechanismMisconfigured,
				Title: finding.Textf("machine %s: %s runs and will not start after a reboot", "머신 %s: %s 유닛이 실행 중이지만 재부팅하면 시작되지 않습니다", m.Node(), name),
				Why:   finding.Textf("%s is active and not enabled: systemd does not start it at boot.", "%s 유닛이 실행 중이지만 enable되지 않아 systemd가 부팅할 때 시작하지 않습니다.", name),
				Evidence: []finding.Evidence{
					m.Evidence(snapshot.KeyOf("unit", name, "file-state")), m.Evidence(snapshot.KeyOf("unit", name, "active-state")),
				},
				Remedies: finding.Remedies{Now: []finding.Remedy{{
					Text: finding.Text{EN: "enable it", KO: "enable합니다"}, Command: "systemctl enable " + u.short(), Machine: m.Node(),
				}}},
			})
		}
	}
}
