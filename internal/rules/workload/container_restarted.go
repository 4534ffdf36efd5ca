package workload

import (
	"fmt"
	"strconv"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ContainerRestarted",
	Title: finding.Textf("container was restarted often and runs by now", "여러 번 재시작한 뒤 지금은 실행 중인 컨테이너입니다"),
	Doc: finding.Textf(
		"A container was restarted at least five times, the last time within the last day, and runs and is ready now. A remark: the trouble is over, or comes back at intervals longer than ten minutes, "+
			"and its last end is worth a look. Silent for containers that end again and again now (ContainerCrashLoop, ContainerOOMKilled and those about probes), for fewer restarts, and for older ones.",
		"다섯 번 이상 재시작했고 마지막 재시작이 최근 하루 안에 있었으며 지금은 실행 중이고 Ready인 컨테이너입니다. 문제가 끝났거나 10분보다 긴 간격으로 반복되는 경우이므로 마지막 종료 원인을 확인하도록 참고로 알립니다. "+
			"지금 반복해서 종료되는 컨테이너(ContainerCrashLoop, ContainerOOMKilled, probe 관련 규칙), 재시작이 적거나 오래된 컨테이너는 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restarts",
	Severity: finding.Info,
	Needs:    containerNeeds(),
	Causes:   []rule.Cause{{Code: "ProbeTooTight", Via: rule.Itself}},
	Detect:   detectContainerRestarted,
})

const (
	// manyRestarts make a container worth a remark after it has recovered.
	manyRestarts = 5
	// restartedLately is how long ago the last of them may be.
	restartedLately = 24 * time.Hour
)

func detectContainerRestarted(p *rule.Pass) {
	now := p.Now()
	restarted := func(c container) bool {
		end := c.status.LastTerminationState.Terminated
		return end != nil && c.status.RestartCount >= manyRestarts && c.status.State.Running != nil && c.status.Ready && c.pod.DeletionTimestamp == nil &&
			now.Sub(end.FinishedAt.Time) <= restartedLately && !c.keepsEnding(now) && (!oomKilled(end) || now.Sub(end.FinishedAt.Time) > recently)
	}
	for _, g := range endingContainers(p, restarted) {
		c, pods := g.Items[0], containerPods(g.Items)
		end := c.status.LastTerminationState.Terminated
		started := c.status.State.Running.StartedAt.Time
		p.Report(finding.Finding{
			Subject: g.Subject, Mechanism: v1alpha1.MechanismDegraded, Since: snapshot.NotReadySince(c.pod), Explains: podSubjects(pods),
			Title: finding.Format("%s: %s was restarted %s times, and runs since %s", "%s: %s %s번 재시작했고 %s부터 실행 중입니다", nameOf(g.Subject, pods), c.label(),
				finding.Verbatim(strconv.Itoa(int(c.status.RestartCount))), finding.Verbatim(finding.Clock(now, started))),
			Why:      finding.Join("; ", restarts(g.Items), finding.Format("it ended last at %s: %s", "마지막 종료 %s: %s", finding.Verbatim(finding.Clock(now, end.FinishedAt.Time)), lastEnd(c)), exitMeaning(end)),
			Evidence: []finding.Evidence{c.evidence()},
			Remedies: finding.Remedies{Now: []finding.Remedy{readLogs(c)}},
		})
	}
}

// lastEnd names how a container ended.
func lastEnd(c container) finding.Text {
	end := c.status.LastTerminationState.Terminated
	if s := signalOf(end.ExitCode); s != "" {
		return finding.Verbatim(fmt.Sprintf("exit code %d, %s, %s", end.ExitCode, s, end.Reason))
	}
	return finding.Verbatim(fmt.Sprintf("exit code %d, %s", end.ExitCode, end.Reason))
}
