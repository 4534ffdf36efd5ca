package workload

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// alike names, sorted, the pods of a workload that fail as others of it do: what several of them
// share is the workload's matter, and the finding about it explains them all, so that they are one
// incident instead of one a pod. A pod that is alone in its way of failing stands for itself, unless
// it is the only one that fails; so does one whose Node may be the matter, which says nothing about
// the others.
func alike(s *snapshot.Snapshot, failing []*corev1.Pod) []finding.Subject {
	type way struct {
		stage             stage
		container, reason string
	}
	ways := map[way][]finding.Subject{}
	for _, pod := range failing {
		if heldByNode(s, pod) {
			continue
		}
		u := unreadiness(pod)
		w := way{u.stage, u.container, u.reason}
		ways[w] = append(ways[w], snapshot.SubjectOf(pod))
	}
	var out []finding.Subject
	for _, pods := range ways {
		if len(pods) > 1 || len(failing) == 1 {
			out = append(out, pods...)
		}
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return out
}

// mayHold tells whether a pod may be the cause of a finding about its workload. Where that finding
// explains pods itself, only one that something else holds up may: the workload suffers from that
// too, and not from whatever is the matter with the pod alone.
func mayHold(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	if !slices.ContainsFunc(effect.Explains, func(e finding.Subject) bool { return e.Kind == cause.Subject.Kind }) {
		return true
	}
	pod, ok := snapshot.Get[*corev1.Pod](s, cause.Subject.Namespace, cause.Subject.Name)
	return ok && (heldFromOutside(unreadiness(pod)) || heldByNode(s, pod))
}

// heldByNode tells whether the Node of a pod may be the matter, and not the pod.
func heldByNode(s *snapshot.Snapshot, pod *corev1.Pod) bool {
	switch unreadiness(pod).stage {
	case stageMarked, stageDeleting, stageAssigned:
		return true
	default:
		return pod.Spec.NodeName != "" && !nodeReports(s, pod.Spec.NodeName)
	}
}

// heldFromOutside tells whether what holds a pod up may be a finding about something other than its
// workload: a Node or the scheduler, or what a container is made of, which are an image from a
// registry, a ConfigMap, a Secret and volumes.
func heldFromOutside(u unready) bool {
	switch u.stage {
	case stageUnscheduled:
		return true
	case stageWaiting, stageInit:
		return u.underWay() || slices.Contains(fetching, u.reason)
	default:
		return false
	}
}

// fetching are the reasons for which a container waits for what it is made of
// (k8s.io/kubernetes/pkg/kubelet/images/types.go and kuberuntime/kuberuntime_container.go).
var fetching = []string{"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError", "CreateContainerConfigError"}
