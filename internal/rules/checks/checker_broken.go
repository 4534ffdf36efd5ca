package checks

import (
	"slices"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CheckerBroken",
	Title: finding.Text{EN: "checker cannot do its work", KO: "checker가 제 역할을 하지 못합니다"},
	Doc: finding.Text{
		EN: "The newest run of a check ended without a report: its image cannot be pulled, no node takes its pod, the checker crashes, is killed for memory, ends without a report, or does not report within its timeout. " +
			"The prober itself is ill, and what it looks at is not known. What is found about its pods, and what keeps every pod from starting or reporting, explains it. " +
			"Maek's operator records the reason; of a Kuberhealthy's checks it is told from its words and from the pod. " +
			"Left alone: failures that the checker reported itself (CheckFailing), runs that go on, and pods that have ended and are kept for their logs after a run that went well.",
		KO: "check의 최근 실행이 보고 없이 끝났습니다. 이미지를 가져오지 못하거나, Pod를 받을 노드가 없거나, checker가 비정상 종료되거나, 메모리 부족으로 강제 종료되거나, 보고 없이 끝나거나, timeout 안에 보고하지 않은 경우입니다. " +
			"점검 도구 자체의 문제이므로 점검 대상의 상태는 알 수 없습니다. checker Pod에서 발견된 문제와 모든 Pod의 시작·보고를 막는 문제가 원인이 됩니다. " +
			"이유는 Maek operator가 기록하며, Kuberhealthy가 실행한 check는 오류 메시지와 Pod에서 판단합니다. checker가 스스로 보고한 실패(CheckFailing), 진행 중인 실행, 정상 종료 후 로그를 위해 남은 Pod는 제외합니다.",
	},
	Link:     checksLink,
	Severity: finding.Warning,
	Needs:    checkNeeds(namedNeeds()...),
	Symptom:  true,
	Causes: slices.Concat(
		[]rule.Cause{{Code: "CheckMisconfigured", Via: rule.Itself}},
		ofItsPods(),
		reachedBy(because(podRefused, podDeleted, unschedulable, notStarted, noReport, deadline, notRun), creating...),
		reachedBy(because(unschedulable, notStarted, deadline), starting...),
		reachedBy(because(imagePullFailed), images...),
		reachedBy(because(noReport, deadline, crashed), names...),
		reachedBy(because(noReport, deadline, crashed), traffic...),
		reachedBy(onUnnamedNode, nodes...),
	),
	Detect: func(p *rule.Pass) {
		for _, c := range checksOf(p.Snapshot).all {
			if !c.failing(p.Now()) {
				continue
			}
			if why, ill := c.execution(p.Snapshot); ill {
				p.Report(checkerBroken(p, c, why))
			}
		}
		unread(p)
	},
})

func anyCheck(*snapshot.Snapshot, *check) bool { return true }

// because returns a test for why runs end without a report.
func because(reasons ...reason) func(*snapshot.Snapshot, *check) bool {
	return func(s *snapshot.Snapshot, c *check) bool {
		why, ill := c.execution(s)
		return ill && slices.Contains(reasons, why)
	}
}

// ofItsPods are the rules that find what keeps a pod from starting, or ends it: about the pod, or about
// the check that is its controller.
func ofItsPods() []rule.Cause {
	var out []rule.Cause
	for _, code := range []finding.Code{
		"ImageNotFound", "ImageNameInvalid", "ImagePullDenied", "ImagePullFailed", "ImagePullSecretMissing", "ImageArchitectureMismatch", "RegistryUnreachable",
		"PodUnschedulable", "PodStuckCreating", "PodRejected", "PodEvicted", "PodPreempted", "PodStuckTerminating", "PodNotReady",
		"ContainerCreationFailing", "ContainerStartFailing", "ContainerCrashLoop", "ContainerOOMKilled", "InitContainerStuck",
		"ConfigMapMissing", "ConfigKeyMissing", "SecretMissing",
	} {
		out = append(out, rule.Cause{Code: code, Via: rule.Itself}, rule.Cause{Code: code, Via: rule.HasPod})
	}
	return out
}

func checkerBroken(p *rule.Pass, c *check, why reason) finding.Finding {
	end := endings[why]
	f := finding.Finding{
		Subject: c.subject, Mechanism: end.mechanism, Since: c.since, WaitsFor: slices.Clone(mentionsOf(p.Snapshot)[c].subjects),
		Title:    finding.Format("%s: %s", "%s: %s", finding.Verbatim(finding.Named(c.subject)), end.text),
		Evidence: c.evidence(),
	}
	pod := c.newestPod(p.Snapshot)
	node := c.node
	if pod != nil {
		f.Evidence = append(f.Evidence, podEvidence(pod)...)
		f.WaitsFor = append(f.WaitsFor, finding.Subject{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name})
		if pod.Spec.NodeName != "" {
			node = pod.Spec.NodeName
		}
	}
	if node != "" {
		f.WaitsFor = append(f.WaitsFor, finding.Subject{Kind: "Node", Name: node})
	}
	f.Why = finding.Join(" ",
		finding.Textf("The prober itself is ill: it has not reported, and what it looks at is not known.", "점검 도구 자체의 문제입니다. 보고가 없었으므로 점검 대상의 상태는 알 수 없습니다."),
		words(c), history(p, c), unexplained())
	f.Remedies.Now = whatToLookAt(p.Snapshot, c)
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Textf("see the events of its pods", "Pod 이벤트를 확인합니다"),
		Command: "kubectl -n " + c.subject.Namespace + " get events --field-selector involvedObject.kind=Pod --sort-by=.lastTimestamp",
	})
	tellLog(&f, c)
	return f
}

// words are what was recorded of the run, in quotes.
func words(c *check) finding.Text {
	text := c.said
	if text == "" {
		return finding.Text{}
	}
	return finding.Textf("What was recorded: %q.", "기록된 내용: %q.", text)
}
