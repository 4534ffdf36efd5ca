package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// use is one pod's need of an object that it cannot have.
type use struct {
	pod *corev1.Pod
	ref reference
	// key that the object lacks; empty where the object itself does.
	key string
	// said is what the kubelet says about it; nil where only the list of objects tells.
	said *said
	// since is when the pod began to wait.
	since time.Time
}

// needed is an object that is not as pods need it.
type needed struct {
	subject finding.Subject
	// blocked are the pods that cannot start for it, running those that run and will not start
	// again.
	blocked, running []use
}

// needs collects uses by object.
type needs map[finding.Subject]*needed

// of returns the entry of an object.
func (n needs) of(namespace string, r reference) *needed {
	subject := finding.Subject{Kind: r.kind, Namespace: namespace, Name: r.name}
	if n[subject] == nil {
		n[subject] = &needed{subject: subject}
	}
	return n[subject]
}

// missing takes in a reference to an object that was not found. listed says that the list of such
// objects is whole, so that a pod need not complain to be believed.
func (n needs) missing(s *snapshot.Snapshot, pod *corev1.Pod, ref reference, listed bool) {
	u := use{pod: pod, ref: ref, since: cameToKubelet(pod)}
	for _, w := range waits(s, pod) {
		if w.missesObject(ref) {
			u.said, u.since = &w, w.first
			break
		}
	}
	switch {
	case u.said != nil, listed && stuck(pod):
		object := n.of(pod.Namespace, ref)
		object.blocked = addOnce(object.blocked, u)
	case listed && pod.Status.Phase == corev1.PodRunning:
		object := n.of(pod.Namespace, ref)
		object.running = addOnce(object.running, u)
	}
}

// addRunning takes in the running pods that refer to objects which are known to be missing.
func (n needs) addRunning(s *snapshot.Snapshot) {
	if len(n) == 0 {
		return
	}
	for _, pod := range snapshot.List[*corev1.Pod](s) {
		if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
			continue
		}
		for ref := range references(&pod.Spec) {
			object, missed := n[finding.Subject{Kind: ref.kind, Namespace: pod.Namespace, Name: ref.name}]
			if missed && !slices.ContainsFunc(object.blocked, func(u use) bool { return u.pod == pod }) {
				object.running = addOnce(object.running, use{pod: pod, ref: ref, since: cameToKubelet(pod)})
			}
		}
	}
}

// sorted returns the objects in the order of their names.
func (n needs) sorted() []*needed {
	out := make([]*needed, 0, len(n))
	for _, s := range slices.SortedFunc(maps.Keys(n), finding.CompareSubjects) {
		out = append(out, n[s])
	}
	return out
}

// addOnce appends a use unless the pod is there already.
func addOnce(uses []use, u use) []use {
	if slices.ContainsFunc(uses, func(other use) bool { return other.pod == u.pod && other.key == u.key }) {
		return uses
	}
	return append(uses, u)
}

// first is when the first of the blocked pods began to wait.
func (n *needed) first() time.Time {
	var first time.Time
	for _, u := range n.blocked {
		if first.IsZero() || u.since.Before(first) {
			first = u.since
		}
	}
	return first
}

// pods names the blocked pods, each once.
func (n *needed) pods() []finding.Subject {
	var out []finding.Subject
	for _, u := range n.blocked {
		if s := snapshot.SubjectOf(u.pod); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// latent tells of the pods that run and cannot start again without the object.
func (n *needed) latent() finding.Text {
	if len(n.running) == 0 {
		return finding.Text{}
	}
	var names []string
	for _, u := range n.running {
		names = append(names, u.pod.Name)
	}
	slices.Sort(names)
	return finding.Format("running, and unable to start again without it: %s (%s)", "실행 중이지만 다시 시작하지 못하는 %s(%s)",
		finding.Pods(len(slices.Compact(names))), finding.List(names))
}

// evidence quotes what kubelets say, the first of each workload.
func (n *needed) evidence() []finding.Evidence {
	var out []finding.Evidence
	for _, u := range n.blocked {
		if u.said != nil && len(out) < 2 {
			out = append(out, u.said.evidence)
		}
	}
	return out
}

// workloads names, sorted and each once, what uses belong to.
func workloads(p *rule.Pass, uses []use) []finding.Subject {
	var out []finding.Subject
	for _, u := range uses {
		out = append(out, p.Workload(u.pod))
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return slices.Compact(out)
}

// field is the place of the first use, within the object that people edit.
func field(p *rule.Pass, u use) string {
	w := p.Workload(u.pod)
	return fmt.Sprintf("%s %s/%s %s", w.Kind, w.Namespace, w.Name, u.ref.pathIn(w.Kind))
}

// namesTold is how many names that resemble a missing one are told, the nearest first.
const namesTold = 3

// tell lists subjects.
func tell(subjects []finding.Subject) finding.Text {
	var names []string
	for _, s := range subjects {
		names = append(names, finding.Named(s))
	}
	return finding.List(names)
}

// rollback goes back to the version before, for workloads that have versions.
func rollback(p *rule.Pass, n *needed) []finding.Remedy {
	if len(n.blocked) == 0 {
		return nil
	}
	w := p.Workload(n.blocked[0].pod)
	switch w.Kind {
	case "Deployment", "StatefulSet", "DaemonSet":
		return []finding.Remedy{{
			Text:    finding.Text{EN: "or, where a new version brought the reference, go back", KO: "새 버전에서 추가된 참조라면 이전 버전으로 되돌립니다"},
			Command: fmt.Sprintf("kubectl -n %s rollout undo %s/%s", w.Namespace, strings.ToLower(w.Kind), w.Name),
		}}
	default:
		return nil
	}
}
