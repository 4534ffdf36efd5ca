package probes

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	kubelet "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbeRedirectedAway",
	Title: finding.Textf("probe takes a redirect to another host for success", "probe가 다른 host로 보내는 리디렉션을 성공으로 셉니다"),
	Doc: finding.Textf(
		"The answer to a probe is a redirect to another host, as to a login page. The kubelet follows redirects only within the host that it asks; any other 3xx counts as a success, with an event ProbeWarning: the container counts as ready, or alive, whatever the program "+
			"behind the login does. Told after three such events, the last within ten minutes, for a pod that runs. Left alone: redirects within the host, which are followed, and warnings that ended.",
		"probe에 대한 응답이 로그인 페이지처럼 다른 host로 보내는 리디렉션입니다. kubelet은 요청한 host 안의 리디렉션만 따라가고 그 밖의 3xx는 성공으로 세며 ProbeWarning 이벤트를 남깁니다. 로그인 뒤의 프로그램 상태와 관계없이 컨테이너가 Ready이거나 살아 있는 것으로 취급됩니다. "+
			"실행 중인 Pod에서 이런 이벤트가 세 번 이상이고 마지막이 10분 안이면 알립니다. kubelet이 따라가는 같은 host 안의 리디렉션과 이미 끝난 경고는 제외합니다."),
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#http-probes",
	Severity: finding.Info,
	Needs:    baseNeeds(rule.Any[*corev1.Event]()),
	For:      time.Minute,
	Detect: func(p *rule.Pass) {
		for f := range familiesOf(p.Snapshot).newest() {
			if one, seen, ok := redirectedAway(p.Snapshot, f); ok {
				p.Report(redirectedFinding(p, one, seen))
			}
		}
	},
})

// redirectedAway finds the probe of a family whose answers lead elsewhere.
func redirectedAway(s *snapshot.Snapshot, f *family) (probe, observation, bool) {
	for at := range f.places(f.pods[0]) {
		for _, one := range at.probes() {
			if one.spec.HTTPGet == nil {
				continue
			}
			seen := one.observe(s, f.pods, kubelet.ReasonProbeWarning, func(e *corev1.Event) bool {
				return strings.HasPrefix(e.Message, one.said()+" probe warning: ") && kubelet.MeaningOf(one.spec, output(e)) == kubelet.MeansRedirectedAway
			})
			if seen.count >= failuresSeen && s.Now().Sub(seen.last) <= eventsSpeak && runs(one, seen.pods) {
				return one, seen, true
			}
		}
	}
	return probe{}, observation{}, false
}

func redirectedFinding(p *rule.Pass, one probe, seen observation) finding.Finding {
	name := finding.Named(one.of.workload)
	consequence := finding.Textf("the container counts as alive whatever the program does, and is not restarted", "프로그램의 상태와 관계없이 살아 있는 것으로 취급되어 재시작되지 않습니다")
	switch one.kind {
	case readiness:
		consequence = finding.Textf("the pod counts as ready whatever the program does, and gets connections", "프로그램의 상태와 관계없이 Ready로 취급되어 연결을 받습니다")
	case startup:
		consequence = finding.Textf("the container counts as started whatever the program does", "프로그램의 상태와 관계없이 시작된 것으로 취급됩니다")
	case liveness:
	}
	return finding.Finding{
		Subject: one.of.workload, Mechanism: v1alpha1.MechanismMisconfigured, Since: seen.first, Field: one.field(".httpGet.path"),
		Title: finding.Textf("%s: %s of container %s is redirected to another host, which counts as a success", "%s: %[3]s 컨테이너의 %[2]s 요청이 다른 host로 리디렉션되며 이를 성공으로 셉니다",
			name, one.kind, one.container.Name),
		Why: finding.Join("; ",
			finding.Format("%s such answers on %s since %s", "%[3]s부터 %[2]s에서 그런 응답 %[1]s번", number(seen.count), finding.Pods(len(seen.pods)), finding.Verbatim(finding.Clock(p.Now(), seen.first))),
			consequence, unread(p.Snapshot)),
		Evidence: append([]finding.Evidence{{Source: name, Path: one.field(""), Value: one.asks()}}, seen.evidence()...),
		Remedies: finding.Remedies{Now: []finding.Remedy{one.edit(".httpGet.path", finding.Textf(
			"ask a path that is open without a login and answers for this replica", "로그인 없이 열려 있고 이 replica의 상태를 답하는 경로를 확인하게 합니다"))}},
	}
}
