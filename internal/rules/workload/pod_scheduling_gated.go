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
	Code:  "PodSchedulingGated",
	Title: finding.Textf("pod is held back by a scheduling gate", "scheduling gate가 Pod의 배정을 막고 있습니다"),
	Doc: finding.Textf(
		"A pod has waited for more than a quarter of an hour behind a scheduling gate, which a controller (a queue, a quota manager) is to take away. The scheduler does not look at it until then. "+
			"A remark, since to wait in a queue is what gates are for; it matters where nobody is there to take the gate away. Silent for younger pods and those without gates.",
		"Pod가 15분 넘게 scheduling gate 때문에 대기하고 있습니다. gate는 대기열이나 quota를 관리하는 controller가 제거해야 하며, 그때까지 scheduler는 Pod를 다루지 않습니다. "+
			"대기열에서 기다리는 것은 gate의 본래 용도이므로 참고로만 알립니다. gate를 제거할 controller가 없으면 문제가 됩니다. 더 최근의 Pod와 gate가 없는 Pod는 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/",
	Severity: finding.Info,
	Needs:    append([]rule.Need{rule.Any[*corev1.Pod]()}, rule.Owners()...),
	Detect:   detectPodSchedulingGated,
})

// gatedLong is how long a pod may wait behind a gate without a remark: as long as one may be on its
// way into being.
const gatedLong = lastResort

func detectPodSchedulingGated(p *rule.Pass) {
	var found []*corev1.Pod
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if len(pod.Spec.SchedulingGates) > 0 && pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil && !snapshot.PodDone(pod) && p.Now().Sub(pod.CreationTimestamp.Time) >= gatedLong {
			found = append(found, pod)
		}
	}
	for _, g := range groupBy(found, func(pod *corev1.Pod) finding.Subject { return p.Workload(pod) }) {
		p.Report(podSchedulingGated(p.Now(), g))
	}
}

func podSchedulingGated(now time.Time, g group[*corev1.Pod]) finding.Finding {
	first := g.Items[0]
	var gates []string
	for _, pod := range g.Items {
		if pod.CreationTimestamp.Before(&first.CreationTimestamp) {
			first = pod
		}
		for _, gate := range pod.Spec.SchedulingGates {
			gates = append(gates, gate.Name)
		}
	}
	since := first.CreationTimestamp.Time
	return finding.Finding{
		Subject: g.Subject, Mechanism: v1alpha1.MechanismStopped, Since: since, Field: ".spec.schedulingGates", Explains: podSubjects(g.Items),
		Title: finding.Format("%s: held back by the scheduling gate %s", "%s: scheduling gate(%s) 때문에 배정되지 않습니다", finding.Verbatim(finding.Qualified(g.Subject)), finding.List(gates)),
		Why: finding.Format("%s, the first since %s; whoever set the gate is to take it away", "%s, 가장 오래된 것은 %s부터 대기 중입니다. gate를 설정한 controller가 제거해야 합니다",
			finding.Pods(len(g.Items)), finding.Verbatim(finding.Clock(now, since))),
		Evidence: []finding.Evidence{{
			Source: finding.Named(podSubject(first)), Path: ".spec.schedulingGates", Value: finding.List(gates).EN, At: finding.Timestamp(since),
		}},
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Textf("see whether the controller that owns the gate runs, and what its queue says", "gate를 관리하는 controller가 실행 중인지, 대기열 상태가 어떤지 확인합니다"),
			Command: fmt.Sprintf("kubectl -n %s describe pod %s", first.Namespace, first.Name),
		}}},
	}
}
