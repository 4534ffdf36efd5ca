package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PreemptionCascade",
	Title: finding.Text{EN: "pods of a higher priority push others out again and again", KO: "priority가 높은 Pod가 다른 Pod를 반복해서 밀어냅니다"},
	Doc: finding.Text{
		EN: "The scheduler has taken pods away again and again to make room for pods of a higher PriorityClass, and what they belong to still lacks pods: " +
			"the cluster has too little room for both, or a PriorityClass that is used widely ranks too high. Left alone: a pod or two that made way " +
			"once, workloads that have all their pods back, and events that are older than half an hour.",
		KO: "scheduler가 PriorityClass가 더 높은 Pod의 자리를 만들려고 다른 Pod를 반복해서 내보냈고, 밀려난 workload의 Pod가 아직 부족합니다. 클러스터에 둘 다 둘 자리가 없거나 " +
			"널리 쓰이는 PriorityClass의 값이 너무 높은 경우입니다. 한두 번 자리를 내준 Pod, 이미 모든 Pod가 복구된 workload, 30분보다 오래된 이벤트는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/#preemption",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Any[*corev1.Event](), rule.Optional[*schedulingv1.PriorityClass](),
	}, rule.Owners()),
	Detect: preemptionCascade,
})

const (
	// preemptionWindow is how far back preemptions are counted.
	preemptionWindow = 30 * time.Minute
	// preemptionsTold is how many pods of one workload must have made way for it to be a cascade: one or
	// two are what priorities are for.
	preemptionsTold = 3
)

// pushed is a workload whose pods make way.
type pushed struct {
	workload    finding.Subject
	times       int
	first, last time.Time
	example     *corev1.Event
	lacking     []*corev1.Pod
}

func preemptionCascade(p *rule.Pass) {
	byClass := map[finding.Subject][]pushed{}
	victims := preempted(p)
	for _, w := range slices.SortedFunc(maps.Keys(victims), finding.CompareSubjects) {
		v := victims[w]
		for _, pod := range p.PodsOf(w) {
			if !snapshot.PodDone(pod) && !snapshot.PodReady(pod) {
				v.lacking = append(v.lacking, pod)
			}
		}
		if v.times < preemptionsTold || len(v.lacking) == 0 {
			continue
		}
		subject := preemptor(p, v.example)
		if subject.Kind == "" {
			continue // Who pushes is not known; that the workload makes way is PodPreempted's to tell.
		}
		byClass[subject] = append(byClass[subject], *v)
	}
	for _, subject := range slices.SortedFunc(maps.Keys(byClass), finding.CompareSubjects) {
		p.Report(cascade(p, subject, byClass[subject]))
	}
}

// preempted counts the pods that made way, by workload. The scheduler tells of each
// (k8s.io/kubernetes/pkg/scheduler/framework/preemption/executor.go, reason Preempted).
func preempted(p *rule.Pass) map[finding.Subject]*pushed {
	out := map[finding.Subject]*pushed{}
	for _, e := range snapshot.List[*corev1.Event](p.Snapshot) {
		at := snapshot.EventTime(e)
		if e.Reason != "Preempted" || e.InvolvedObject.Kind != "Pod" || p.Now().Sub(at) > preemptionWindow {
			continue
		}
		w, ok := ownerByName(p, e.InvolvedObject.Namespace, e.InvolvedObject.Name)
		if !ok {
			continue
		}
		if out[w] == nil {
			out[w] = &pushed{workload: w}
		}
		v := out[w]
		v.times += max(1, int(e.Count))
		v.first = finding.Earlier(v.first, snapshot.EventStart(e))
		if !at.Before(v.last) {
			v.last, v.example = at, e
		}
	}
	return out
}

// ownerByName finds the workload of a pod that may be gone: its name begins with its ReplicaSet's.
func ownerByName(p *rule.Pass, namespace, name string) (finding.Subject, bool) {
	if pod, ok := snapshot.Get[*corev1.Pod](p.Snapshot, namespace, name); ok {
		return p.Workload(pod), true
	}
	i := strings.LastIndex(name, "-")
	if i < 0 {
		return finding.Subject{}, false
	}
	rs, ok := snapshot.Get[*appsv1.ReplicaSet](p.Snapshot, namespace, name[:i])
	if !ok {
		return finding.Subject{}, false
	}
	if ref := metav1.GetControllerOf(rs); ref != nil {
		return finding.Subject{Kind: ref.Kind, Namespace: namespace, Name: ref.Name}, true
	}
	return snapshot.SubjectOf(rs), true
}

// preemptor is the PriorityClass of the pod for which room was made; nothing where it is gone or names
// none.
func preemptor(p *rule.Pass, e *corev1.Event) finding.Subject {
	if e.Related == nil {
		return finding.Subject{}
	}
	pod, ok := snapshot.Get[*corev1.Pod](p.Snapshot, e.Related.Namespace, e.Related.Name)
	if !ok || pod.Spec.PriorityClassName == "" {
		return finding.Subject{}
	}
	return finding.Subject{Kind: "PriorityClass", Name: pod.Spec.PriorityClassName}
}

func cascade(p *rule.Pass, subject finding.Subject, victims []pushed) finding.Finding {
	f := finding.Finding{Subject: subject, Mechanism: v1alpha1.MechanismKilled}
	times := 0
	var names []string
	var lacking []*corev1.Pod
	for _, v := range victims {
		times += v.times
		names = append(names, finding.Named(v.workload))
		lacking = append(lacking, v.lacking...)
		f.Since = finding.Earlier(f.Since, v.first)
		f.Explains = append(f.Explains, v.workload)
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: fmt.Sprintf("Event Preempted on Pod %s/%s", v.example.InvolvedObject.Namespace, v.example.InvolvedObject.Name), Path: ".message",
			Value: finding.Quote(v.example.Message), At: finding.Timestamp(v.last),
		})
	}
	for _, pod := range lacking {
		f.Explains = append(f.Explains, snapshot.SubjectOf(pod))
	}
	who := finding.List(names)
	f.Title = finding.Format("%s: its pods push %s out again and again", "%s: 이 class의 Pod가 %s의 Pod를 반복해서 밀어냅니다", finding.Verbatim(finding.Named(subject)), who)
	f.Why = finding.Join("; ",
		finding.Format("%s made way since %s", "%[2]s부터 %[1]s가 자리를 내주었습니다", finding.Pods(times), finding.Verbatim(finding.Clock(p.Now(), f.Since))),
		finding.Format("not ready now: %s", "지금 Ready가 아닌 Pod: %s", finding.Pods(len(lacking))),
		ranks(p, subject, lacking[0]))
	f.Remedies.Now = []finding.Remedy{
		{
			Text:    finding.Text{EN: "see which priorities meet", KO: "어떤 priority끼리 부딪히는지 확인합니다"},
			Command: "kubectl get priorityclasses; kubectl get pods -A -o custom-columns=NS:.metadata.namespace,POD:.metadata.name,PRIORITY:.spec.priority,CLASS:.spec.priorityClassName --sort-by=.spec.priority",
		},
		{Text: finding.Text{EN: "make room: add a node, or scale down what ranks high and is not needed", KO: "노드를 추가하거나 priority가 높지만 필요하지 않은 workload를 줄여 자리를 만듭니다"}},
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "keep high priorities for few pods, and set preemptionPolicy: Never where waiting is enough",
		KO: "높은 priority는 꼭 필요한 Pod에만 쓰고, 기다려도 되는 class에는 preemptionPolicy: Never를 지정합니다",
	}}}
	return f
}

// ranks compares the value of the class that pushes with the priority of what is pushed.
func ranks(p *rule.Pass, subject finding.Subject, victim *corev1.Pod) finding.Text {
	c, ok := snapshot.Get[*schedulingv1.PriorityClass](p.Snapshot, "", subject.Name)
	if !ok || victim.Spec.Priority == nil {
		return finding.Text{}
	}
	return finding.Textf("the class is worth %d, what makes way %d", "이 class의 값은 %d, 밀려나는 Pod의 priority는 %d입니다", c.Value, *victim.Spec.Priority)
}
