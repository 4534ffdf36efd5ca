package workload

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "InitContainerStuck",
	Title: finding.Textf("init container does not come to its end", "init 컨테이너가 끝나지 않습니다"),
	Doc: finding.Textf(
		"An init container of a pod runs and does not end, so none of the pod's other containers starts: it waits for something (a Service that does not answer, a lock of a migration), or has much to do. "+
			"What it waits for is read from its log, and from the Services without a Ready pod that its environment names. A finding of its own after ten minutes, before only as the effect of what it waits for. "+
			"Silent for sidecars, which are not meant to end, for init containers that fail and are restarted (ContainerCrashLoop), and for pods on nodes that do not report.",
		"Pod의 init 컨테이너가 실행 중인 채 끝나지 않아 다른 컨테이너가 시작되지 않습니다. 응답하지 않는 Service나 migration lock을 기다리거나 처리할 양이 많은 경우입니다. "+
			"무엇을 기다리는지는 로그와, 환경 변수에 적힌 Service 가운데 Ready Pod가 없는 것에서 찾습니다. 10분이 지나야 독립된 문제로 다루고, 그 전에는 기다리는 대상의 결과로만 다룹니다. "+
			"끝나지 않는 것이 정상인 sidecar, 실패해 재시작되는 init 컨테이너(ContainerCrashLoop), 보고가 끊긴 노드의 Pod는 제외합니다."),
	Link:     "https://kubernetes.io/docs/tasks/debug/debug-application/debug-init-containers/",
	Severity: finding.Warning,
	Needs:    append(containerNeeds(), append(dependencyNeeds(), rule.Optional[*corev1.Node]())...),
	For:      initGrace,
	Causes:   callCauses(),
	Detect:   detectInitContainerStuck,
})

// initPause is how long an init container may run before anybody is asked about it.
const initPause = 2 * time.Minute

func detectInitContainerStuck(p *rule.Pass) {
	d := newDirectory(p.Snapshot)
	stuck := func(c container) bool {
		r := c.status.State.Running
		return c.init && r != nil && !sidecar(c.pod, c.spec.Name) && p.Now().Sub(r.StartedAt.Time) >= initPause &&
			c.pod.DeletionTimestamp == nil && !snapshot.PodDone(c.pod) && nodeReports(p.Snapshot, c.pod.Spec.NodeName)
	}
	for _, g := range endingContainers(p, stuck) {
		p.Report(initContainerStuck(p, d, g))
	}
}

func initContainerStuck(p *rule.Pass, d *directory, g group[container]) finding.Finding {
	c, pods := g.Items[0], containerPods(g.Items)
	for _, other := range g.Items {
		if other.status.State.Running.StartedAt.Before(&c.status.State.Running.StartedAt) {
			c = other
		}
	}
	since := c.status.State.Running.StartedAt.Time
	words := askPresentWords(p, d, c)
	waits, perhaps := words.waits, finding.Text{}
	if len(waits) == 0 {
		waits = d.configured(c.pod)
		perhaps = mayWaitFor(waits)
	}
	f := finding.Finding{
		Subject: g.Subject, Mechanism: v1alpha1.MechanismHung, Since: since, WaitsFor: subjectsOf(waits),
		Title: finding.Format("%s: %s runs since %s and does not end", "%s: %s %s부터 끝나지 않고 있습니다", nameOf(g.Subject, pods), c.label(), finding.Verbatim(finding.Clock(p.Now(), since))),
		Evidence: append([]finding.Evidence{{
			Source: finding.Named(podSubject(c.pod)), Path: fmt.Sprintf(".status.initContainerStatuses[%s].state.running.startedAt", c.spec.Name),
			Value: since.UTC().Format(time.RFC3339), At: finding.Timestamp(since),
		}}, words.evidence...),
		RuledOut: []finding.Statement{{Text: finding.Textf("image, volumes and node: the container was started and runs", "이미지, volume, 노드 문제가 아닙니다. 컨테이너는 시작되어 실행 중입니다")}},
	}
	if words.clue != nil && words.clue.mechanism != "" {
		f.Mechanism = words.clue.mechanism
	}
	f.Why = finding.Join("; ", finding.Format("no other container starts before it has ended (%s)", "이 컨테이너가 끝나야 다른 컨테이너가 시작됩니다(%s)", finding.Pods(len(pods))),
		words.text(), perhaps, historyOf(p.Snapshot, g.Subject, pods).serving())
	f.Remedies.Now = append(words.look(), finding.Remedy{
		Text:    finding.Textf("see what it says now", "현재 로그를 확인합니다"),
		Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --tail=50", c.pod.Namespace, c.pod.Name, c.spec.Name),
	})
	return claimWorkload(aboutPods(p.Snapshot, f, pods))
}
