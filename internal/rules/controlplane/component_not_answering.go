package controlplane

import (
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ComponentNotAnswering",
	Title: finding.Text{EN: "control-plane component does not answer on its machine", KO: "control plane 컴포넌트가 자기 머신에서 응답하지 않습니다"},
	Doc: finding.Text{
		EN: "The API server, the scheduler or the controller manager should run on this machine, by a manifest or a unit, and does not answer at its own port on the machine itself, or says that it is unhealthy. The finding says what its log ends " +
			"with (a flag that it does not know, an etcd that refuses) and whether its manifest was changed shortly before. A component that has just started is settling; etcd has rules of its own.",
		KO: "manifest나 유닛에 따라 이 머신에서 실행되어야 하는 API server, scheduler, controller manager가 머신 안에서 자기 포트로 응답하지 않거나 비정상이라고 응답합니다. 로그의 마지막 오류(모르는 플래그, 연결을 거부하는 etcd)와 " +
			"직전에 manifest가 변경되었는지를 알립니다. 방금 시작한 컴포넌트는 안정되는 중으로 봅니다. etcd는 별도 규칙에서 다룹니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/using-api/health-checks/",
	Severity: finding.Critical,
	Machine: append(append(manifestKeys(), addressKeys()...), "component/*/outcome", "component/*/status", "component/*/body", "component/*/error", "component/*/ready-status", "component/*/ready-body",
		"component/*/processes", "component/*/last-error", "static-pod/*/argument/*", "unit/*/file-state"),
	For: 20 * time.Second,
	Causes: []rule.Cause{
		{Code: "StaticPodManifestInvalid", Via: rule.Claimed},
		{Code: "EtcdUnavailable", Via: rule.Cluster, Holds: forWantOfEtcd},
		{Code: "EtcdQuorumLost", Via: rule.Cluster},
		{Code: "EtcdNoLeader", Via: rule.Cluster},
		{Code: "EtcdMemberDown", Via: rule.OnMachine, Holds: forWantOfEtcd},
		{Code: "ApiServerUnreachable", Via: rule.Cluster, Holds: forWantOfAPIServer},
		// kubeadm has both ask the API server of their own machine, whatever others there are.
		{Code: "ComponentNotAnswering", Via: rule.OnMachine, Holds: forWantOfOwnAPIServer},
		{Code: "StaticPodManifestMissing", Via: rule.OnMachine, Holds: forWantOfOwnAPIServer},
		{Code: "MachineCertificateExpired", Via: rule.OnMachine, Holds: stopsComponent},
	},
	Detect: detectComponentNotAnswering,
})

// forWantOfEtcd tells whether it is the API server that does not answer: the others reach etcd only through
// it, so that one member or one server's view of etcd says nothing of them.
func forWantOfEtcd(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return effect.Subject.Name == apiServerComponent
}

// stopsComponent tells whether certificates have expired without which a control plane does not work.
func stopsComponent(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	return cause.Severity == finding.Critical
}

// forWantOfAPIServer tells whether it is one of those that end where they cannot renew their Leases.
func forWantOfAPIServer(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return effect.Subject.Name != apiServerComponent
}

// forWantOfOwnAPIServer tells whether it is the API server of the same machine that fails or is gone.
func forWantOfOwnAPIServer(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	own := finding.Subject{Kind: "Endpoint", Name: apiServerComponent, Machine: effect.Subject.Machine}
	return forWantOfAPIServer(s, effect, cause) && (cause.Subject == own || slices.Contains(cause.Explains, own))
}

func detectComponentNotAnswering(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, name := range trio {
			c := component{m, name}
			status, _ := m.Int(c.key("status"))
			ready, _ := m.Int(c.key("ready-status"))
			switch {
			case c.value("outcome") == "", c.unwanted():
			case c.value("outcome") != "answered", status >= 500, ready >= 500:
				p.Report(notAnswering(p, c, status, ready))
			}
		}
	}
}

// component is a part of the control plane on a machine.
type component struct {
	machine snapshot.Machine
	name    string
}

func (c component) key(what string) snapshot.EvidenceKey {
	return snapshot.KeyOf("component", c.name, what)
}

func (c component) value(what string) string { return c.machine.Value(c.key(what)) }

// unwanted tells whether a unit of it is installed, and neither runs nor is to run here.
func (c component) unwanted() bool {
	processes, _ := c.machine.Int(c.key("processes"))
	state, ok := c.machine.Find(snapshot.KeyOf("unit", c.value("from"), "file-state"))
	return ok && processes == 0 && state.Value != "enabled"
}

// takingUp is how long after a change of its manifest a component may take to answer again.
const takingUp = time.Minute

// changedLately is how long before now a manifest must have been written to be told of as the likely reason.
const changedLately = time.Hour

func notAnswering(p *rule.Pass, c component, status, ready int64) finding.Finding {
	m := c.machine
	processes, _ := m.Int(c.key("processes"))
	said := c.value("last-error")
	f := finding.Finding{
		Subject: finding.Subject{Kind: "Endpoint", Name: c.name, Machine: m.Node()}, Since: m.Since(c.key("outcome")),
		Evidence: []finding.Evidence{m.Evidence(c.key("outcome")), m.Evidence(c.key("processes"))},
		Explains: harmed(p, m, c.name, ""),
	}
	endpoint := c.value("endpoint")
	switch {
	case status >= 500:
		f.Mechanism = v1alpha1.MechanismFailing
		f.Title = finding.Textf("machine %s: %s says that it is unhealthy", "머신 %s: %s 컴포넌트가 비정상이라고 응답합니다", m.Node(), c.name)
		f.Why = finding.Textf("%s answers %d: %s.", "%s 응답 %d: %s.", endpoint, status, finding.Quote(c.value("body")))
		f.Evidence = append(f.Evidence, m.Evidence(c.key("status")), m.Evidence(c.key("body")))
	case ready >= 500:
		f.Mechanism = v1alpha1.MechanismFailing
		f.Title = finding.Textf("machine %s: %s lives and is not ready", "머신 %s: %s 컴포넌트가 살아 있지만 준비되지 않았습니다", m.Node(), c.name)
		f.Why = finding.Textf("Its /readyz answers %d: %s.", "/readyz 응답 %d: %s.", ready, finding.Quote(c.value("ready-body")))
		f.Evidence = append(f.Evidence, m.Evidence(c.key("ready-status")), m.Evidence(c.key("ready-body")))
	case processes > 0 && c.value("outcome") == "timed-out":
		f.Mechanism = v1alpha1.MechanismHung
		f.Title = finding.Textf("machine %s: %s runs and does not answer", "머신 %s: %s 컴포넌트가 실행 중이지만 응답하지 않습니다", m.Node(), c.name)
		f.Why = finding.Textf("Its process is there and %s gives no answer on the machine itself.", "프로세스는 있지만 머신 안에서 %s 주소가 응답하지 않습니다.", endpoint)
	default:
		f.Mechanism = v1alpha1.MechanismStopped
		f.Title = finding.Textf("machine %s: %s does not run", "머신 %s: %s 컴포넌트가 실행되지 않습니다", m.Node(), c.name)
		f.Why = finding.Textf("%s should run here (%s), and %s does not answer on the machine itself: %s.", "%s 컴포넌트가 여기에서 실행되어야 하지만(%s) 머신 안에서 %s 주소가 응답하지 않습니다: %s.", c.name, c.value("from"), endpoint, finding.Quote(c.value("error")))
	}
	if said != "" {
		f.Evidence = append(f.Evidence, m.Evidence(c.key("last-error")))
		f.Why = finding.Join(" ", f.Why, finding.Textf("Its log ends with: %s.", "로그의 마지막 오류: %s.", finding.Quote(said)))
		if f.Mechanism == v1alpha1.MechanismStopped {
			f.Mechanism = v1alpha1.MechanismCrashing
			f.Title = finding.Format("%s: %s", "%s: %s", finding.Textf("machine %s: %s does not stay up", "머신 %s: %s 컴포넌트가 시작 후 종료됩니다", m.Node(), c.name), finding.Verbatim(finding.Quote(said)))
		}
	}
	severity, effect := suffers(p, m, c.name)
	if f.Mechanism == v1alpha1.MechanismFailing && severity == finding.Critical {
		effect = finding.Text{EN: "Until then what is asked of it fails, or waits.", KO: "그때까지 이 컴포넌트에 대한 요청이 실패하거나 지연됩니다."}
	}
	f.Severity = severity
	f.Why = finding.Join(" ", f.Why, c.blame(said), c.changed(&f), effect)
	f.Remedies = c.remedies()
	return f
}

// blame says which flag the component's last words are about.
func (c component) blame(said string) finding.Text {
	file := c.value("from")
	switch {
	case strings.Contains(said, "unknown flag"):
		return finding.Textf("This version does not know a flag that %s gives it.", "%s 파일의 플래그를 이 버전이 알지 못합니다.", file)
	case c.name == apiServerComponent && (strings.Contains(said, "connection refused") || strings.Contains(said, "context deadline exceeded")):
		key := snapshot.KeyOf("static-pod", file, "argument", "--etcd-servers")
		if servers := c.machine.Value(key); servers != "" {
			return finding.Textf("Its etcd is %s, by --etcd-servers in %s.", "etcd 주소는 %[2]s 파일의 --etcd-servers에 따라 %[1]s입니다.", servers, file)
		}
	}
	return finding.Text{}
}

// changed says that the component's manifest was changed not long ago, and takes that as the beginning
// where nobody watched.
func (c component) changed(f *finding.Finding) finding.Text {
	key := snapshot.KeyOf("static-pod", c.value("from"), "modified")
	at := c.machine.Time(key)
	if at.IsZero() || c.machine.ObservedAt().Sub(at) > changedLately || f.Mechanism == v1alpha1.MechanismFailing {
		return finding.Text{}
	}
	if f.Since.IsZero() && f.Mechanism == v1alpha1.MechanismCrashing {
		f.Since = at
	}
	f.Evidence = append(f.Evidence, c.machine.Evidence(key))
	// What it said since then is of the new start.
	f.Settling = c.machine.ObservedAt().Sub(at) < takingUp && !c.machine.Since(c.key("last-error")).After(at)
	return finding.Textf("Its manifest was changed at %s.", "manifest가 변경된 시각: %s.", finding.Clock(c.machine.ObservedAt(), at))
}

func (c component) remedies() finding.Remedies {
	m := c.machine
	look := "crictl ps -a --name " + c.name + "; crictl logs --tail 20 $(crictl ps -aq --name " + c.name + " | head -n 1)"
	if strings.HasSuffix(c.value("from"), ".service") {
		look = "systemctl status " + finding.ShellWord(c.name) + " --no-pager; journalctl -u " + finding.ShellWord(c.name) + " -n 50 --no-pager"
	}
	out := finding.Remedies{
		Now: []finding.Remedy{{Text: finding.Text{EN: "what its container says", KO: "컨테이너의 상태와 로그를 확인합니다"}, Command: look, Machine: m.Node()}},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "change one control-plane machine at a time, and wait until its components answer before the next",
			KO: "control plane 머신은 한 대씩 변경하고, 컴포넌트가 응답하는 것을 확인한 뒤 다음으로 진행합니다",
		}}},
	}
	if strings.HasSuffix(c.value("from"), ".yaml") {
		out.Now = append(out.Now, finding.Remedy{
			Text:    finding.Text{EN: "mend its manifest; the kubelet starts it anew by itself", KO: "manifest를 고칩니다. kubelet이 자동으로 다시 시작합니다"},
			Command: "grep -n -- '- --' " + finding.ShellWord(c.value("from")), Machine: m.Node(),
		})
	}
	return out
}
