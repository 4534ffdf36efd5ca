package workload

import (
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PodPreempted",
	Title: finding.Textf("pods gave way to pods of higher priority", "우선순위가 높은 Pod에 자리를 내주었습니다"),
	Doc: finding.Textf(
		"The scheduler ended pods of a workload within the last hour to make room for pods of higher priority, and their successors find no node now. It names who took the room, with both priorities. "+
			"Silent where the successors have a node by now: then priority did its work.",
		"최근 1시간 사이에 scheduler가 우선순위가 높은 Pod의 자리를 만들려고 workload의 Pod를 종료시켰고, 새로 생성된 Pod는 배정할 노드를 찾지 못하고 있습니다. 자리를 차지한 Pod와 양쪽의 우선순위를 함께 알립니다. "+
			"새 Pod가 이미 배정되었다면 우선순위가 의도대로 동작한 것이므로 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/#preemption",
	Severity: finding.Warning,
	Needs:    containerNeeds(),
	For:      time.Minute,
	Causes:   []rule.Cause{{Code: "PreemptionCascade", Via: rule.Claimed, Holds: aboutOnePod}},
	Detect:   detectPodPreempted,
})

// preemptedLately is how long ago a pod may have been preempted for its successor's wait to be
// owed to that; it is also how long the API server keeps Events by default (--event-ttl).
const preemptedLately = time.Hour

// preemptor matches the UID of the pod for which another was ended
// (k8s.io/kubernetes/pkg/scheduler/framework/preemption/executor.go: "Preempted by pod UID on node NAME").
var preemptor = regexp.MustCompile(`^Preempted by (?:a )?pod ([0-9a-f-]+) on node (\S+)`)

func detectPodPreempted(p *rule.Pass) {
	waiting := map[finding.Subject][]*corev1.Pod{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if c := snapshot.PodCondition(pod, corev1.PodScheduled); pod.Spec.NodeName == "" && c != nil && c.Status == corev1.ConditionFalse && pod.DeletionTimestamp == nil && !snapshot.PodDone(pod) {
			w := p.Workload(pod)
			waiting[w] = append(waiting[w], pod)
		}
	}
	if len(waiting) == 0 {
		return
	}
	var events []*corev1.Event
	for _, e := range snapshot.List[*corev1.Event](p.Snapshot) {
		if e.Reason == "Preempted" && e.InvolvedObject.Kind == "Pod" && p.Now().Sub(snapshot.EventTime(e)) <= preemptedLately {
			events = append(events, e)
		}
	}
	if len(events) == 0 {
		return
	}
	victims := successors(waiting)
	var found []preemption
	for _, e := range events {
		if w, ok := victims[successor(e.InvolvedObject.Namespace, e.InvolvedObject.Name)]; ok {
			found = append(found, preemption{e, w})
		}
	}
	for _, g := range groupBy(found, func(f preemption) finding.Subject { return f.victim }) {
		p.Report(podPreempted(p, g, waiting[g.Subject]))
	}
}

// preemption is a pod that was ended for another, by its event, and its workload.
type preemption struct {
	event  *corev1.Event
	victim finding.Subject
}

// generatedSuffix is how many characters the API server appends to a generated name
// (k8s.io/apiserver/pkg/storage/names/generate.go).
const generatedSuffix = 5

// successor is what the name of a pod and that of its successor have in common: the whole of it for
// a StatefulSet's, all but the generated end for others.
func successor(namespace, name string) [2]string {
	if n := len(name) - generatedSuffix; n > 0 && name[n-1] == '-' {
		name = name[:n]
	}
	return [2]string{namespace, name}
}

// successors are the workloads whose pods wait, by what their names have in common with those that
// are gone.
func successors(waiting map[finding.Subject][]*corev1.Pod) map[[2]string]finding.Subject {
	out := map[[2]string]finding.Subject{}
	for w, pods := range waiting {
		for _, pod := range pods {
			out[successor(pod.Namespace, pod.Name)] = w
		}
	}
	return out
}

func podPreempted(p *rule.Pass, g group[preemption], pods []*corev1.Pod) finding.Finding {
	first, last := g.Items[0].event, g.Items[0].event
	for _, one := range g.Items {
		if snapshot.EventTime(one.event).Before(snapshot.EventTime(first)) {
			first = one.event
		}
		if snapshot.EventTime(one.event).After(snapshot.EventTime(last)) {
			last = one.event
		}
	}
	f := finding.Finding{
		Subject: g.Subject, Mechanism: v1alpha1.MechanismExhausted, Since: snapshot.EventTime(first), Explains: podSubjects(pods),
		Field:    podField(g.Subject, ".priorityClassName"),
		Title:    finding.Format("%s: gave way to pods of higher priority, and finds no other node", "%s: 우선순위가 높은 Pod에 자리를 내주고 배정할 노드를 찾지 못합니다", finding.Verbatim(finding.Qualified(g.Subject))),
		Evidence: []finding.Evidence{eventEvidence(last)},
	}
	var taker finding.Text
	if m := preemptor.FindStringSubmatch(last.Message); m != nil {
		for _, other := range snapshot.List[*corev1.Pod](p.Snapshot) {
			if string(other.UID) == m[1] {
				taker = finding.Textf("%s took the room on node %s, with priority %d over %d", "%s가 노드 %s의 자리를 차지했습니다(우선순위 %d, 이 workload는 %d)",
					finding.Named(p.Workload(other)), m[2], priorityOf(other), priorityOf(pods[0]))
				break
			}
		}
	}
	f.Why = finding.Join("; ", inQuotes(last.Message), taker, finding.Format("waiting: %s", "대기 중: %s", finding.Pods(len(pods))))
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Textf("see who has which priority; then make room, or give this workload one that fits it", "우선순위를 확인하고, 자리를 늘리거나 알맞은 우선순위를 지정합니다"),
		Command: "kubectl get pods -A -o custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,PRIORITY:.spec.priority,NODE:.spec.nodeName --sort-by=.spec.priority",
	}}
	return f
}

func priorityOf(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}
