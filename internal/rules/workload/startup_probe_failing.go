package workload

import (
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "StartupProbeFailing",
	Title: finding.Textf("startup probe has the container killed", "startup probe 실패로 컨테이너가 종료됩니다"),
	Doc: finding.Textf(
		"The kubelet kills a container again and again because its startup probe does not succeed in the time that it allows: the program starts too slowly for it, waits for something, or the probe asks "+
			"the wrong port, path or command. Silent while a program is within the time that its startup probe allows, for fewer than three restarts of a container that runs just now, and for containers "+
			"that end by themselves before (ContainerCrashLoop).",
		"startup probe가 허용하는 시간 안에 성공하지 못하여 kubelet이 컨테이너를 반복해서 종료시킵니다. 프로그램 시작이 느리거나, 다른 것을 기다리거나, probe의 port·경로·명령이 잘못된 경우입니다. "+
			"startup probe가 허용하는 시간 안에 있거나, 재시작이 세 번 미만이고 지금 실행 중인 컨테이너는 보고하지 않습니다. 그 전에 스스로 종료되는 컨테이너는 ContainerCrashLoop에서 다룹니다."),
	Link:     "https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/#startup-probe",
	Severity: finding.Warning,
	Needs:    append(containerNeeds(), dependencyNeeds()...),
	For:      crashPatience,
	Causes:   append([]rule.Cause{{Code: "ProbeKillsStart", Via: rule.Itself}, {Code: "ProbeNeverSucceeded", Via: rule.Itself}, {Code: "ProbeRefusedByPolicy", Via: rule.Itself}}, callCauses()...),
	Detect:   func(p *rule.Pass) { detectProbeKills(p, startupProbe) },
})
