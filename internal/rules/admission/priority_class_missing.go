package admission

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PriorityClassMissing",
	Title: finding.Text{EN: "PriorityClass does not exist", KO: "PriorityClass가 없습니다"},
	Doc: finding.Text{
		EN: "Pod templates name a PriorityClass that does not exist, so the API server refuses their pods. Pods that run already keep the priority " +
			"that they were given and do not come back once they are gone; where there are only such pods, that is told as info. " +
			"Left alone: refusals that were overcome, and pods that ended.",
		KO: "Pod template이 지정한 PriorityClass가 없어 API server가 Pod 생성을 거부합니다. 이미 실행 중인 Pod는 받은 priority를 유지하지만 사라지면 다시 만들어지지 않으며, " +
			"그런 Pod만 있으면 info로 알립니다. 이미 해소된 거부와 종료된 Pod는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Optional[*schedulingv1.PriorityClass](), rule.Optional[*corev1.Pod](),
	}, creations(), rule.Owners()),
	For:    refusedFor,
	Detect: priorityClassMissing,
})

// noPriorityClass is how the Priority plugin refuses
// (k8s.io/kubernetes/plugin/pkg/admission/priority/admission.go, admitPod).
var noPriorityClass = regexp.MustCompile(`no PriorityClass with name (\S+) was found`)

func priorityClassMissing(p *rule.Pass) {
	refused := map[string]bool{}
	users := runningWithClass(p)
	for _, r := range podRefusalsBy(failuresNow(p), func(f snapshot.CreateFailure) (finding.Subject, bool) {
		m := noPriorityClass.FindStringSubmatch(f.Message)
		if m == nil {
			return finding.Subject{}, false
		}
		return finding.Subject{Kind: "PriorityClass", Name: m[1]}, true
	}) {
		refused[r.subject.Name] = true
		p.Report(classRefused(p, r, users[r.subject.Name]))
	}
	if !p.Coverage(snapshot.KindOf[*schedulingv1.PriorityClass]()).Known() {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(users)) {
		if _, ok := snapshot.Get[*schedulingv1.PriorityClass](p.Snapshot, "", name); !ok && !refused[name] {
			p.Report(classLatent(p, name, users[name]))
		}
	}
}

// runningWithClass returns the running pods by the PriorityClass that they name.
func runningWithClass(p *rule.Pass) map[string][]*corev1.Pod {
	out := map[string][]*corev1.Pod{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if name := pod.Spec.PriorityClassName; name != "" && pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil && !snapshot.StaticPod(pod) {
			out[name] = append(out[name], pod)
		}
	}
	return out
}

func classRefused(p *rule.Pass, r podRefusal, running []*corev1.Pod) finding.Finding {
	f := finding.Finding{
		Subject: r.subject, Mechanism: v1alpha1.MechanismMissing, Since: r.since(), Explains: r.harmed(), Evidence: r.evidence(),
		Field: ".spec.template.spec.priorityClassName",
		Title: finding.Join(", ", finding.Textf("%s does not exist", "%s 없음", finding.Named(r.subject)),
			finding.Format("%s cannot create pods", "%s: Pod를 만들지 못합니다", r.workloads())),
	}
	var gone, rest finding.Text
	if _, ok := snapshot.Get[*schedulingv1.PriorityClass](p.Snapshot, "", r.subject.Name); ok {
		gone = finding.Join("; ", finding.Text{EN: "it exists by now", KO: "지금은 존재합니다"}, triedAgain)
	} else if p.Coverage(snapshot.KindOf[*schedulingv1.PriorityClass]()).Known() {
		f.Evidence = append(f.Evidence, classesThere(p))
	}
	if len(running) > 0 {
		rest = finding.Format("running with it, and not replaced once gone: %s", "이 class로 실행 중인 %s는 계속 동작하지만 사라지면 다시 만들어지지 않습니다", finding.Pods(len(running)))
	}
	f.Why = finding.Join("; ", finding.Format("the pod templates of %s name it", "%s의 Pod template이 지정합니다", r.workloads()), gone, rest)
	f.Remedies = classRemedies(r.subject.Name)
	w := r.failures[0].Workload
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Text{EN: "or name another one in the pod template", KO: "또는 Pod template에 다른 PriorityClass를 지정합니다"},
		Command: fmt.Sprintf("kubectl -n %s edit %s %s", w.Namespace, strings.ToLower(w.Kind), w.Name),
	})
	return f
}

func classLatent(p *rule.Pass, name string, pods []*corev1.Pod) finding.Finding {
	var names []string
	for _, pod := range pods {
		names = append(names, finding.Named(p.Workload(pod)))
	}
	return finding.Finding{
		Severity: finding.Info, Subject: finding.Subject{Kind: "PriorityClass", Name: name}, Mechanism: v1alpha1.MechanismMissing,
		Field: ".spec.priorityClassName",
		Title: finding.Join(", ", finding.Textf("PriorityClass %s does not exist", "PriorityClass %s 없음", name),
			finding.Format("%s will not be made again without it", "실행 중인 %s가 다시 만들어지지 못합니다", finding.Pods(len(pods)))),
		Why: finding.Format("%s runs with the priority that it gave; the API server refuses new pods that name it",
			"%s: 받은 priority로 실행 중이며, 이 이름을 지정한 새 Pod는 API server가 거부합니다", finding.List(names)),
		Evidence: []finding.Evidence{classesThere(p)},
		Remedies: classRemedies(name),
	}
}

// classesThere is the evidence of absence.
func classesThere(p *rule.Pass) finding.Evidence {
	var names []string
	for _, c := range snapshot.List[*schedulingv1.PriorityClass](p.Snapshot) {
		names = append(names, c.Name)
	}
	return finding.Evidence{
		Source: "PriorityClasses", Path: ".metadata.name", Value: finding.List(names).EN,
		At: finding.Timestamp(p.Coverage(snapshot.KindOf[*schedulingv1.PriorityClass]()).ReadAt),
	}
}

func classRemedies(name string) finding.Remedies {
	return finding.Remedies{
		Now: []finding.Remedy{{
			Text: finding.Text{
				EN: "create it again from where it is kept; the value decides whom its pods may push out",
				KO: "원본에서 다시 만듭니다. value가 클수록 다른 Pod를 밀어낼 수 있습니다",
			},
			Command: fmt.Sprintf("kubectl get priorityclasses; kubectl create priorityclass %s --value=1000", name),
		}},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "apply PriorityClasses before the workloads that name them, from one place",
			KO: "PriorityClass를 이를 사용하는 workload보다 먼저, 한곳에서 적용합니다",
		}}},
	}
}
