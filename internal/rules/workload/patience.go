package workload

import (
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// unreadyAfter is how long any pod may be unready before that means something: a restart, or a probe
// that fails once, is over by then.
const unreadyAfter = 3 * time.Minute

// initGrace is how long an init container may run before its pod counts as held up. It is the
// time that a Deployment waits for progress by default (progressDeadlineSeconds, 600 s).
const initGrace = 10 * time.Minute

// lastResort is how long a pod may be on its way to a Node and into being before that alone counts.
// Rules of their own know what holds such pods up (PodUnschedulable, PodStuckCreating and those about
// images) and which waits are in order: a Node being added, a large image being pulled. Where events
// tell of such a wait it may take twice as long.
const lastResort = 15 * time.Minute

// settles tells whether a pod that is not ready may yet become so without anybody's doing.
func settles(s *snapshot.Snapshot, pod *corev1.Pod, u unready) bool {
	lasts := s.Now().Sub(u.since)
	return lasts < unreadyAfter || s.PodStarting(pod) || lasts < patience(s, pod, u)
}

// patience is how long a pod may be unready beyond what is asked of every finding.
func patience(s *snapshot.Snapshot, pod *corev1.Pod, u unready) time.Duration {
	switch {
	case u.stage == stageUnscheduled && roomIsMade(s, pod), u.underWay() && imageOnItsWay(s, pod):
		return 2 * lastResort
	case u.stage == stageUnscheduled, u.stage == stageAssigned, u.underWay(), u.queued():
		return lastResort
	case u.stage == stageInit && u.reason == "":
		return initGrace
	}
	switch w := s.Workload(pod); w.Kind {
	case "Deployment":
		if d, ok := snapshot.Get[*appsv1.Deployment](s, w.Namespace, w.Name); ok && deploymentRollsOut(d) {
			return stuckAfter
		}
	case "StatefulSet":
		if set, ok := snapshot.Get[*appsv1.StatefulSet](s, w.Namespace, w.Name); ok && ofStatefulSet(set).rollout {
			return stuckAfter
		}
	}
	return 0
}

// queued tells whether the kubelet's own limit holds the pull of an image back, which passes by
// itself (k8s.io/kubernetes/pkg/kubelet/images/helpers.go, throttledImageService).
func (u unready) queued() bool {
	return u.stage == stageWaiting && strings.Contains(u.message, "pull QPS exceeded")
}

// imageOnItsWay tells whether the last that a kubelet said of a pod's image is that it pulls it.
func imageOnItsWay(s *snapshot.Snapshot, pod *corev1.Pod) bool {
	for _, e := range s.PodEvents(pod) {
		switch e.Reason {
		case "Pulling":
			return true
		case "Pulled", "Failed", "BackOff":
			return false
		}
	}
	return false
}
