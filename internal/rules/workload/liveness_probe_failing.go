package workload

import (
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "LivenessProbeFailing",
	Title: finding.Textf("liveness probe has the container killed", "liveness probe 실패로 컨테이너가 종료됩니다"),
	Doc: finding.Textf(
		"The kubelet kills a container again and again because its liveness probe fails, while the program does not end by itself. The probe's words, the ports that the container declares and "+
			"the program's log say whether the probe asks the wrong question (a port that nobody declares, a path that does not exist, a command that is not in the image) or the program is ill or slow. "+
			"Silent for a probe that failed and recovered without a kill, for fewer than three restarts of a container that runs just now, and for containers killed for memory.",
		"프로그램이 스스로 끝나지 않는데도 liveness probe가 실패하여 kubelet이 컨테이너를 반복해서 종료시킵니다. probe 메시지, 컨테이너가 선언한 port, 프로그램 로그를 비교해 probe 설정이 잘못되었는지"+
			"(선언되지 않은 port, 없는 경로, 이미지에 없는 명령) 프로그램이 비정상이거나 느린지 구분합니다. 종료 없이 회복된 probe 실패, 재시작이 세 번 미만이고 지금 실행 중인 컨테이너, 메모리 부족으로 종료된 컨테이너는 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/",
	Severity: finding.Warning,
	Needs:    append(containerNeeds(), dependencyNeeds()...),
	For:      crashPatience,
	Causes:   append([]rule.Cause{{Code: "ProbeKillsStart", Via: rule.Itself}, {Code: "ProbeNeverSucceeded", Via: rule.Itself}, {Code: "ProbeCascade", Via: rule.Itself}, {Code: "ProbeRefusedByPolicy", Via: rule.Itself}}, callCauses()...),
	Detect:   func(p *rule.Pass) { detectProbeKills(p, livenessProbe) },
})

// detectProbeKills reports the containers that a kind of probe has killed again and again.
func detectProbeKills(p *rule.Pass, name string) {
	now, d := p.Now(), newDirectory(p.Snapshot)
	byProbe := func(c container) bool {
		if !c.keepsEnding(now) || oomKilled(c.ended()) {
			return false
		}
		k, ok := probeKill(p.Snapshot, c)
		return ok && k.name == name
	}
	for _, g := range endingContainers(p, byProbe) {
		p.Report(probeKillFinding(p, d, g))
	}
}

func probeKillFinding(p *rule.Pass, d *directory, g group[container]) finding.Finding {
	c, pods := g.Items[0], containerPods(g.Items)
	k, _ := probeKill(p.Snapshot, c)
	h, words := historyOf(p.Snapshot, g.Subject, pods), askLastWords(p, d, g.Items)
	verdict := judgeProbe(c.spec, k.probe, k.message, words.heard)
	f := finding.Finding{
		Subject: g.Subject, Mechanism: verdict.mechanism(v1alpha1.MechanismKilled), Since: earliest(p.Snapshot, g.Items),
		Field: c.field(g.Subject, "."+k.name+"Probe"+verdict.field),
		Title: finding.Format("%s: %s keeps being killed by its %s probe", "%s: %s %s probe 실패로 계속 재시작됩니다",
			nameOf(g.Subject, pods), c.label(), finding.Verbatim(k.name)),
		Evidence: append([]finding.Evidence{c.evidence()}, k.evidence...),
		RuledOut: []finding.Statement{{Text: finding.Textf("memory: the runtime records no OOM kill", "메모리 부족이 아닙니다. OOM 기록이 없습니다")}},
	}
	kills := finding.Textf("the kubelet kills it when its %s probe fails %d times in a row", "%s probe가 연속 %d번 실패하면 kubelet이 종료시킵니다", k.name, threshold(k.probe))
	if k.message != "" {
		kills = finding.Format("%s: %s", "%s: %s", kills, inQuotes(k.message))
	}
	if verdict.wrong {
		f.RuledOut = append(f.RuledOut, programIsWell(words)...)
	}
	if verdict.wrong && !verdict.sure {
		f.Confidence = mediumConfidence
	}
	f.Evidence = append(f.Evidence, words.evidence...)
	f.WaitsFor = subjectsOf(append(words.waits, d.named(c.pod, probeText(k.probe)+" "+afterColon(k.message))...))
	f.Why = finding.Join("; ", restarts(g.Items), kills, verdict.says, words.text(), h.brought(".spec"), h.serving(), staticNote(pods))
	if h.blames(".spec") {
		f.Evidence = append(f.Evidence, h.revision.evidence()...)
		f.Remedies.Now = h.rollback()
	}
	f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field), readLogs(c))
	f.Remedies.Later = []finding.Remedy{{Text: finding.Textf(
		"let a liveness probe ask only what a restart mends, and give a slow start to a startup probe",
		"liveness probe는 재시작으로 해결되는 것만 확인하게 하고, 느린 시작은 startup probe에 맡기십시오")}}
	return claimWorkload(aboutPods(p.Snapshot, f, pods))
}

// programIsWell rules the program out where its log was read and complains of nothing.
func programIsWell(words lastWords) []finding.Statement {
	if len(words.evidence) == 0 || troubled.MatchString(words.line) {
		return nil
	}
	return []finding.Statement{{
		Text:     finding.Textf("the program: its log complains of nothing", "프로그램 문제가 아닙니다. 로그에 오류가 없습니다"),
		Evidence: words.evidence,
	}}
}

// afterColon is what a probe itself said, without the kubelet's words in front of it.
func afterColon(message string) string {
	_, said, _ := strings.Cut(message, ": ")
	return said
}

// claimWorkload lets a finding about pods that cannot serve explain that their workload has too few.
func claimWorkload(f finding.Finding) finding.Finding {
	if f.Subject.Kind != "Pod" && f.Subject.Kind != "Node" {
		f.Explains = append([]finding.Subject{f.Subject}, f.Explains...)
	}
	return f
}
