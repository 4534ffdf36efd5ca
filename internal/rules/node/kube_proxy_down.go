package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "KubeProxyDown",
	Title: finding.Text{
		EN: "kube-proxy does not answer",
		KO: "kube-proxy가 응답하지 않습니다",
	},
	Doc: finding.Text{
		EN: "kube-proxy should run on this machine, as a unit or a pod, and its health endpoint on the machine itself does not answer or says that it is unhealthy. Services keep the endpoints that they had when it ended: " +
			"connections from this machine go on until endpoints change, then some go to pods that are gone. A machine whose Services something else serves (Cilium without kube-proxy) is left alone.",
		KO: "이 머신에서 kube-proxy가 유닛이나 Pod로 실행되어야 하는데 머신 안에서 health endpoint가 응답하지 않거나 비정상이라고 응답합니다. Service는 멈춘 시점의 endpoint를 유지하므로 이 머신에서 나가는 연결은 endpoint가 바뀔 때까지 동작하다가, " +
			"그 뒤 일부가 사라진 Pod로 향합니다. 다른 것이 Service를 처리하는 머신(kube-proxy 없는 Cilium)은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/command-line-tools-reference/kube-proxy/",
	Severity: finding.Warning,
	Machine: []snapshot.EvidenceKey{
		"component/kube-proxy/from", "component/kube-proxy/endpoint", "component/kube-proxy/outcome", "component/kube-proxy/status", "component/kube-proxy/body",
		"component/kube-proxy/error", "component/kube-proxy/processes", "component/kube-proxy/last-error", "unit/kube-proxy.service/file-state", "unit/kube-proxy.service/active-state",
	},
	Causes: []rule.Cause{
		{Code: "UnitFailed", Via: rule.OnMachine, Holds: aboutKubeProxy},
		{Code: "UnitCrashLooping", Via: rule.OnMachine, Holds: aboutKubeProxy},
	},
	Detect: detectKubeProxyDown,
})

func aboutKubeProxy(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	return cause.Subject.Name == "kube-proxy.service"
}

func detectKubeProxyDown(p *rule.Pass) {
	for _, m := range p.Machines() {
		outcome := m.Value("component/kube-proxy/outcome")
		status, _ := m.Int("component/kube-proxy/status")
		processes, _ := m.Int("component/kube-proxy/processes")
		state := m.Value("unit/kube-proxy.service/file-state")
		switch {
		case outcome == "", outcome == "answered" && status < 500:
			continue
		case processes == 0 && m.Value("component/kube-proxy/from") == "kube-proxy.service" && state != "enabled":
			continue // Installed and not wanted here.
		case processes == 0 && m.Value("component/kube-proxy/from") == "its pod":
			continue // Logs of a pod that once ran here do not prove that one should.
		}
		endpoint := m.Value("component/kube-proxy/endpoint")
		f := finding.Finding{
			Subject: m.Subject("Endpoint", "kube-proxy"), Mechanism: v1alpha1.MechanismStopped, Since: m.Since("component/kube-proxy/outcome"),
			Title: finding.Textf("machine %s: kube-proxy does not run", "머신 %s: kube-proxy가 실행되지 않습니다", m.Node()),
			Why: finding.Textf("%s does not answer on the machine itself: %s. Services keep the endpoints that they have; once those change, connections from this machine go to pods that are gone.",
				"머신 안에서 %s 주소가 응답하지 않습니다: %s. Service는 지금의 endpoint를 유지하며, endpoint가 바뀌면 이 머신의 연결이 사라진 Pod로 향합니다.", endpoint, finding.Quote(m.Value("component/kube-proxy/error"))),
			Evidence: []finding.Evidence{m.Evidence("component/kube-proxy/outcome"), m.Evidence("component/kube-proxy/processes")},
			RuledOut: []finding.Statement{machineUp(m)},
			Remedies: finding.Remedies{Now: []finding.Remedy{{
				Text:    finding.Text{EN: "why it ended, and start it", KO: "종료된 이유를 확인하고 시작합니다"},
				Command: "systemctl status kube-proxy --no-pager; crictl ps -a --name kube-proxy; journalctl -u kube-proxy -n 30 --no-pager", Machine: m.Node(),
			}}},
		}
		switch {
		case outcome == "answered":
			f.Mechanism = v1alpha1.MechanismFailing
			f.Title = finding.Textf("machine %s: kube-proxy says that it is unhealthy", "머신 %s: kube-proxy가 비정상이라고 응답합니다", m.Node())
			f.Why = finding.Textf("%s answers %d: %s. It no longer writes the machine's Service rules.", "%s 응답 %d: %s. 이 머신의 Service 규칙이 더 이상 갱신되지 않습니다.", endpoint, status, finding.Quote(m.Value("component/kube-proxy/body")))
			f.Evidence = append(f.Evidence, m.Evidence("component/kube-proxy/status"))
		case processes > 0:
			f.Mechanism = v1alpha1.MechanismHung
			f.Title = finding.Textf("machine %s: kube-proxy runs and does not answer", "머신 %s: kube-proxy가 실행 중이지만 응답하지 않습니다", m.Node())
		}
		if said := m.Value("component/kube-proxy/last-error"); said != "" {
			f.Evidence = append(f.Evidence, m.Evidence("component/kube-proxy/last-error"))
			f.Why = finding.Join(" ", f.Why, finding.Textf("Its log ends with: %s.", "로그의 마지막 오류: %s.", finding.Quote(said)))
		}
		p.Report(f)
	}
}
