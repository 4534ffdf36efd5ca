package probes

import (
	"regexp"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbeAsksMetrics",
	Title: finding.Textf("probe asks for the page of metrics", "probe가 metric 페이지를 요청합니다"),
	Doc: finding.Textf(
		"A probe asks the path under which a program shows its metrics. It collects and writes all of them at every attempt, of which the kubelet reads 10 KiB and keeps nothing; the page says nothing about whether the program serves, it grows with the "+
			"program, and where it does not end within the timeout the kubelet throws the attempt away and never acts (LivenessProbeBlind). Left alone: other paths, and Jobs and static pods.",
		"probe가 프로그램의 metric 경로를 요청합니다. 시도할 때마다 모든 metric을 모아 쓰지만 kubelet은 10 KiB만 읽고 버리며, 이 페이지는 프로그램이 서비스하는지 알려 주지 않습니다. 페이지는 프로그램과 함께 커지고 timeout 안에 끝나지 않으면 "+
			"kubelet이 그 시도를 버려 아무 조치도 하지 않습니다(LivenessProbeBlind). 다른 경로, Job과 static Pod는 제외합니다."),
	Link:     probeConcepts,
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(),
	Detect: func(p *rule.Pass) {
		for one := range eachFirst(p.Snapshot, func(one probe) bool { return one.spec.HTTPGet != nil && metricsPath.MatchString(one.path()) }) {
			p.Report(finding.Finding{
				Subject: one.of.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: one.field(".httpGet.path"), Explains: []finding.Subject{one.of.workload},
				Title: finding.Textf("%s: the %s probe of container %s asks for all metrics (%s) every %d s", "%s: %[3]s 컨테이너의 %[2]s probe가 %[5]d초마다 모든 metric(%[4]s)을 요청합니다",
					finding.Named(one.of.workload), one.kind, one.container.Name, one.path(), seconds(one.timing().Period)),
				Why: finding.Textf("the program collects and writes all of them each time, the kubelet reads 10 KiB and keeps nothing, and the page does not say whether the program serves",
					"매번 모든 metric을 모아 쓰지만 kubelet은 10 KiB만 읽고 버리며, 이 페이지는 프로그램이 서비스하는지 알려 주지 않습니다"),
				Evidence: []finding.Evidence{{Source: finding.Named(one.of.workload), Path: one.field(".httpGet.path"), Value: one.path()}},
				Remedies: finding.Remedies{Later: []finding.Remedy{one.edit(".httpGet.path", finding.Textf("ask a path that answers shortly whether this replica can serve", "이 replica가 서비스할 수 있는지 짧게 답하는 경로를 확인하게 합니다"))}},
			})
		}
	},
})

// metricsPath are the paths under which programs show metrics, Prometheus' and Spring's.
var metricsPath = regexp.MustCompile(`/(?:metrics|prometheus)/?$`)
