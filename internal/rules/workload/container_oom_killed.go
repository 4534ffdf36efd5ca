package workload

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ContainerOOMKilled",
	Title: finding.Textf("container is killed for want of memory", "컨테이너가 메모리 부족으로 강제 종료됩니다"),
	Doc: finding.Textf(
		"The kernel ended a container because it used more memory than its limit, or because the whole node had none left. The container runtime records it "+
			"as OOMKilled; exit code 137 alone is not that (ContainerCrashLoop). Reported while the container is down or backing off, and for ten minutes after a kill. "+
			"Silent for a kill of longer ago that the container has survived, and for pods that have ended.",
		"컨테이너가 메모리 limit을 넘었거나 노드 전체의 메모리가 바닥나 커널이 컨테이너를 강제 종료했습니다. runtime이 OOMKilled로 기록한 경우만 해당하며 exit code 137만으로는 판단하지 않습니다(ContainerCrashLoop). "+
			"컨테이너가 내려가 있거나 재시작 대기 중인 동안, 그리고 강제 종료 후 10분 동안 보고합니다. 오래전에 한 번 종료된 뒤 계속 실행 중인 컨테이너와 이미 끝난 Pod는 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/assign-memory-resource/#exceed-a-container-s-memory-limit",
	Severity: finding.Warning,
	Needs:    append(containerNeeds(), rule.Optional[*corev1.Node]()),
	Detect:   detectContainerOOMKilled,
})

func detectContainerOOMKilled(p *rule.Pass) {
	now := p.Now()
	keep := func(c container) bool {
		end := c.ended()
		if !oomKilled(end) || snapshot.PodDone(c.pod) || c.pod.DeletionTimestamp != nil {
			return false
		}
		down := c.backingOff() || (c.status.State.Terminated != nil && c.willRestart(end))
		return down || (c.status.State.Running != nil && now.Sub(end.FinishedAt.Time) <= recently)
	}
	for _, g := range endingContainers(p, keep) {
		p.Report(containerOOMKilled(p, g))
	}
}

func containerOOMKilled(p *rule.Pass, g group[container]) finding.Finding {
	c, pods := g.Items[0], containerPods(g.Items)
	h := historyOf(p.Snapshot, g.Subject, pods)
	f := finding.Finding{
		Subject: g.Subject, Mechanism: v1alpha1.MechanismExhausted, Since: earliest(p.Snapshot, g.Items),
		Field:    c.field(g.Subject, ".resources.limits.memory"),
		Evidence: []finding.Evidence{c.evidence()},
	}
	name := nameOf(g.Subject, pods)
	limit, limited := memoryLimit(c)
	var cause finding.Text
	if limited {
		f.Title = finding.Format("%s: %s is killed for memory, its limit is %s", "%s: %s 메모리 limit을 넘어 강제 종료됩니다(limit %s)", name, c.label(), finding.Verbatim(limit))
		cause = finding.Textf("it used more than its limit of %s", "limit(%s)을 넘겨 사용했습니다", limit)
	} else {
		f.Title = finding.Format("%s: %s is killed for memory, without a limit of its own", "%s: %s 메모리 부족으로 강제 종료됩니다(limit 없음)", name, c.label())
		cause = finding.Textf("it has no memory limit, so the node or the pod as a whole ran out", "메모리 limit이 없으므로 노드나 Pod 전체의 메모리가 바닥난 것입니다")
	}
	node, pressure, seen := memoryPressure(p.Snapshot, c.pod)
	f.Evidence = append(f.Evidence, seen...)
	if limited && seen != nil && !pressure {
		f.RuledOut = []finding.Statement{{Text: finding.Textf("the node's memory: %s reports no MemoryPressure", "노드 메모리 부족이 아닙니다. 노드 %s에 MemoryPressure가 없습니다", node), Evidence: seen}}
	}
	var onNode finding.Text
	if pressure {
		onNode = finding.Textf("node %s is short of memory as a whole (MemoryPressure)", "노드 %s 전체의 메모리가 부족합니다(MemoryPressure)", node)
	}
	if pressure && !limited {
		f.WaitsFor = []finding.Subject{{Kind: "Node", Name: node}}
	}
	f.Why = finding.Join("; ", cause, onNode, restarts(g.Items), h.brought(".spec"), h.serving(), staticNote(pods))
	if h.blames(".spec") {
		f.Evidence = append(f.Evidence, h.revision.evidence()...)
		f.Remedies.Now = h.rollback()
	}
	f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field))
	f.Remedies.Later = []finding.Remedy{{
		Text:    finding.Textf("see what it needs when it works well, and set request and limit by that", "정상 동작할 때의 사용량을 확인해 request와 limit을 정하십시오"),
		Command: fmt.Sprintf("kubectl -n %s top pod %s --containers", c.pod.Namespace, c.pod.Name),
	}}
	return aboutPods(p.Snapshot, f, pods)
}

// memoryLimit is the limit that bounds a container: its own as the kubelet applies it, as the spec
// asks for it, or the pod's.
func memoryLimit(c container) (string, bool) {
	lists := []corev1.ResourceList{c.spec.Resources.Limits}
	if r := c.status.Resources; r != nil {
		lists = append([]corev1.ResourceList{r.Limits}, lists...)
	}
	if r := c.pod.Spec.Resources; r != nil {
		lists = append(lists, r.Limits)
	}
	for _, limits := range lists {
		if q, ok := limits[corev1.ResourceMemory]; ok && !q.IsZero() {
			return q.String(), true
		}
	}
	return "", false
}

// memoryPressure tells whether the node of a pod is short of memory, with the condition that says so.
func memoryPressure(s *snapshot.Snapshot, p *corev1.Pod) (node string, pressure bool, seen []finding.Evidence) {
	node = p.Spec.NodeName
	n, ok := snapshot.Get[*corev1.Node](s, "", node)
	if !ok {
		return node, false, nil
	}
	c := snapshot.NodeCondition(n, corev1.NodeMemoryPressure)
	if c == nil || c.Status == corev1.ConditionUnknown {
		return node, false, nil
	}
	return node, c.Status == corev1.ConditionTrue, []finding.Evidence{{
		Source: "Node " + node, Path: ".status.conditions[MemoryPressure].status", Value: string(c.Status), At: finding.Timestamp(c.LastTransitionTime.Time),
	}}
}
