package probes

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "SidecarNotAwaited",
	Title: finding.Textf("containers start before the sidecar is ready", "sidecar가 준비되기 전에 컨테이너가 시작됩니다"),
	Doc: finding.Textf(
		"A sidecar (an init container with restartPolicy Always) has a readiness probe and no startup probe. The kubelet starts what comes after it as soon as its process runs, and does not wait for its readiness: containers that need the sidecar, "+
			"as a proxy or for their secrets, begin without it, and often fail and are restarted. A startup probe is what is waited for. Left alone: sidecars without a readiness probe, of which nobody says that they take a while, those with a postStart "+
			"hook, for which the kubelet waits too, Jobs, and static pods.",
		"sidecar(restartPolicy가 Always인 init 컨테이너)에 readiness probe는 있고 startup probe는 없습니다. kubelet은 sidecar의 프로세스가 실행되는 즉시 다음 컨테이너를 시작하며 readiness를 기다리지 않습니다. proxy나 비밀 값처럼 sidecar가 필요한 컨테이너가 "+
			"sidecar 없이 시작해 실패하고 재시작하는 일이 많습니다. 기다리게 하는 것은 startup probe입니다. 준비에 시간이 걸린다는 표시(readiness probe)가 없는 sidecar, kubelet이 함께 기다리는 postStart hook이 있는 sidecar, Job과 static Pod는 제외합니다."),
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(),
	Detect: func(p *rule.Pass) {
		for one := range eachFirst(p.Snapshot, notAwaited) {
			t := one.timing()
			t.Period = max(time.Second, t.Timeout)
			better := forStart(t, generous, 0)
			handler := one.handler()
			handler["periodSeconds"], handler["timeoutSeconds"], handler["failureThreshold"] = seconds(better.Period), seconds(better.Timeout), better.FailureThreshold
			p.Report(finding.Finding{
				Subject: one.of.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: one.place.field(".startupProbe"), Explains: []finding.Subject{one.of.workload},
				Title: finding.Textf("%s: the containers start before sidecar %s is ready", "%s: sidecar %s가 준비되기 전에 컨테이너가 시작됩니다", finding.Named(one.of.workload), one.container.Name),
				Why:   finding.Textf("it has a readiness probe (%s), for which the kubelet does not wait, and no startup probe, for which it does", "kubelet이 기다리지 않는 readiness probe(%s)는 있고, 기다리는 startup probe는 없습니다", one.asks()),
				Evidence: []finding.Evidence{
					{Source: finding.Named(one.of.workload), Path: one.field(""), Value: one.asks()},
					{Source: finding.Named(one.of.workload), Path: one.place.field(".startupProbe"), Value: "(none)"},
				},
				Remedies: finding.Remedies{Later: []finding.Remedy{one.mend(p.Snapshot, fields{"startupProbe": handler}, finding.Textf(
					"have the others wait until the sidecar answers, if it can answer before they run; one that does not within %s s is restarted, so raise failureThreshold if it may take longer", "다른 컨테이너 없이도 sidecar가 응답할 수 있다면 그때까지 다른 컨테이너가 기다리게 합니다. %s초 안에 응답하지 않으면 sidecar가 재시작되므로 더 걸릴 수 있으면 failureThreshold를 늘리십시오", sparing(better)))}},
			})
		}
	},
})

// notAwaited tells of the readiness probe of a sidecar for which nothing waits.
func notAwaited(p probe) bool {
	hook := p.container.Lifecycle != nil && p.container.Lifecycle.PostStart != nil
	return p.init && p.kind == readiness && p.container.StartupProbe == nil && !hook
}
