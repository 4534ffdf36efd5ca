package workload

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// group is what fails alike and is therefore one finding: containers or pods of one subject.
type group[T any] struct {
	Subject finding.Subject
	Items   []T
}

// groupBy puts items of one subject together, in the order of subjects.
func groupBy[T any](items []T, subject func(T) finding.Subject) []group[T] {
	by := map[finding.Subject][]T{}
	for _, item := range items {
		s := subject(item)
		by[s] = append(by[s], item)
	}
	var out []group[T]
	for _, s := range slices.SortedFunc(maps.Keys(by), finding.CompareSubjects) {
		out = append(out, group[T]{Subject: s, Items: by[s]})
	}
	return out
}

// distinctPods returns the pods of items, each once, in order.
func distinctPods[T any](items []T, pod func(T) *corev1.Pod) []*corev1.Pod {
	out, seen := make([]*corev1.Pod, 0, len(items)), make(map[*corev1.Pod]bool, len(items))
	for _, item := range items {
		if p := pod(item); !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

// podSubjects names pods.
func podSubjects(pods []*corev1.Pod) []finding.Subject {
	out := make([]finding.Subject, 0, len(pods))
	for _, p := range pods {
		out = append(out, podSubject(p))
	}
	return out
}

// podSubject names a pod, without looking its kind up.
func podSubject(p *corev1.Pod) finding.Subject {
	return finding.Subject{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
}

// nodesOf names the nodes of pods, sorted, each once.
func nodesOf(pods []*corev1.Pod) []string {
	var out []string
	for _, p := range pods {
		if p.Spec.NodeName != "" {
			out = append(out, p.Spec.NodeName)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// aboutPods completes a finding that is told by the status of pods. A kubelet that is dead has
// left its pods' status as it was, so what only such pods tell is told with less confidence.
func aboutPods(s *snapshot.Snapshot, f finding.Finding, pods []*corev1.Pod) finding.Finding {
	f.Explains = podSubjects(pods)
	var fossil finding.Text
	for _, p := range pods {
		w := s.Writer(snapshot.KubeletOn(p.Spec.NodeName))
		if w.State != snapshot.Dead {
			return f
		}
		fossil = finding.Textf("as the kubelet on %s last told at %s, before it fell silent",
			"노드 %[1]s의 kubelet이 응답을 멈추기 전 %[2]s에 마지막으로 보고한 상태입니다",
			p.Spec.NodeName, finding.Clock(s.Now(), w.LastSeen))
	}
	f.Why = finding.Join("; ", f.Why, fossil)
	if f.Confidence == "" {
		f.Confidence = mediumConfidence
	}
	return f
}
