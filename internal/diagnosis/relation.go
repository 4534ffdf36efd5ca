package diagnosis

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// related returns the subjects to which a relation ties an effect's subject, each once.
func related(s *snapshot.Snapshot, effect finding.Subject, via rule.Relation) []finding.Subject {
	switch via {
	case rule.Itself:
		return []finding.Subject{effect}
	case rule.RunsOn:
		if p, ok := snapshot.Get[*corev1.Pod](s, effect.Namespace, effect.Name); ok && effect.Kind == "Pod" && p.Spec.NodeName != "" {
			return []finding.Subject{{Kind: "Node", Name: p.Spec.NodeName}}
		}
	case rule.HasPod:
		return subjectsOf(podsBehind(s, effect), func(p *corev1.Pod) finding.Subject { return snapshot.SubjectOf(p) })
	case rule.Serves:
		return subjectsOf(podsBehind(s, effect), s.Workload)
	case rule.Claimed, rule.Cluster, rule.OnMachine:
		// Not looked up by subject: the cause says whom it reaches, reaches everyone, or is about any
		// thing on a machine.
	}
	return nil
}

// machineOf is the node of the machine on which a subject is; empty where it is on none, or on several.
func machineOf(s *snapshot.Snapshot, subject finding.Subject) string {
	switch subject.Kind {
	case "Node":
		return subject.Name
	case "Pod":
		if p, ok := snapshot.Get[*corev1.Pod](s, subject.Namespace, subject.Name); ok {
			return p.Spec.NodeName
		}
		return ""
	default:
		return subject.Machine
	}
}

// podsBehind returns the pods that a Service selects or a workload owns.
func podsBehind(s *snapshot.Snapshot, subject finding.Subject) []*corev1.Pod {
	if subject.Kind != "Service" {
		return s.PodsOf(subject)
	}
	svc, ok := snapshot.Get[*corev1.Service](s, subject.Namespace, subject.Name)
	if !ok {
		return nil
	}
	return s.PodsSelected(svc.Namespace, svc.Spec.Selector)
}

func subjectsOf(pods []*corev1.Pod, name func(*corev1.Pod) finding.Subject) []finding.Subject {
	var out []finding.Subject
	for _, p := range pods {
		out = append(out, name(p))
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return slices.Compact(out)
}
