package workload

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// alike names, sorted, the pods of a workload that fail, where all of them fail alike and none of
// their Nodes may be the matter: what is wrong with one pod's Node says nothing about the others.
// The finding about the workload then explains them all, so that they are one incident instead of
// one a pod.
func alike(s *snapshot.Snapshot, failing []*corev1.Pod) []finding.Subject {
	var first unready
	var out []finding.Subject
	for i, pod := range failing {
		u := unreadiness(pod)
		if i == 0 {
			first = u
		}
		switch {
		case u.stage == stageMarked || u.stage == stageDeleting || u.stage == stageAssigned,
			u.stage != first.stage || u.container != first.container || u.reason != first.reason,
			pod.Spec.NodeName != "" && !nodeReports(s, pod.Spec.NodeName):
			return nil
		}
		out = append(out, snapshot.SubjectOf(pod))
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return out
}

// unclaimed refuses a pod as the cause of a finding about its workload that explains that very pod,
// unless something else may explain the pod: the workload suffers from that too.
func unclaimed(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	// Explains holds the pods first and in order; Services may follow.
	if _, claimed := slices.BinarySearchFunc(effect.Explains, cause.Subject, finding.CompareSubjects); !claimed {
		return true
	}
	pod, ok := snapshot.Get[*corev1.Pod](s, cause.Subject.Namespace, cause.Subject.Name)
	return ok && heldFromOutside(unreadiness(pod))
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
