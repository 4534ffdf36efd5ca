package run

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/secret"
)

// failure is why a run without a report has failed, as its pod shows it.
type failure struct {
	reason Reason
	// message says what was seen, in sentences without a full stop at the end.
	message string
	// container whose log tells more; empty where none has said anything.
	container string
	// over is when the pod could report no more: it has ended, or is gone. Zero while it still might.
	over time.Time
	// hopeless tells that more time will not help: an image that cannot be pulled, a checker that crashes
	// whenever it is started.
	hopeless bool
	// cause tells that the message names what keeps the pod from starting.
	cause bool
}

// with adds to what a pod shows now what it showed last of why it does not start: a kubelet that stops a
// pod, or is about to try again, leaves nothing of that in the pod's status.
func (f failure) with(seen failure) failure {
	switch {
	case !seen.cause || f.cause:
	case f.reason == NotStarted && !f.over.IsZero():
		f.reason, f.message, f.cause = seen.reason, seen.message+", until the kubelet stopped the pod", true
	default:
		f.message += "; before that, " + seen.message
	}
	f.message = clean(f.message)
	return f
}

const (
	// maxDetail bounds, in bytes, what others say in a message of ours: a registry's page, a webhook's.
	maxDetail = 1 << 10
	// pullTries is after how long the kubelet has tried to pull an image at least twice: it tries again
	// ten seconds after the first failure (kubernetes: pkg/kubelet/kubelet.go, imageBackOffPeriod). The
	// first try of all fails too often of what the second knows nothing of: a registry that is restarted,
	// a node whose network comes up.
	pullTries = 30 * time.Second
)

// Reasons of waiting containers (kubernetes: pkg/kubelet/images/types.go and
// pkg/kubelet/kuberuntime/kuberuntime_container.go).
const (
	waitErrImagePull      = "ErrImagePull"
	waitImagePullBackOff  = "ImagePullBackOff"
	waitInvalidImageName  = "InvalidImageName"
	waitErrImageNeverPull = "ErrImageNeverPull"
	waitImageInspect      = "ImageInspectError"
	waitConfig            = "CreateContainerConfigError"
	waitCreate            = "CreateContainerError"
	waitRun               = "RunContainerError"
)

// Reasons of pods and of the condition DisruptionTarget (kubernetes: pkg/kubelet/eviction/helpers.go,
// pkg/kubelet/nodeshutdown, pkg/controller/podgc, pkg/controller/tainteviction, staging/src/k8s.io/api/core/v1/types.go).
const (
	podEvicted          = "Evicted"
	podNodeLost         = "NodeLost"
	podDeadlineExceeded = "DeadlineExceeded"
	podTerminated       = "Terminated"
	podNodeShutdown     = "NodeShutdown"
	byPodGC             = "DeletionByPodGC"
	byTaint             = "DeletionByTaintManager"
	exitOOM             = "OOMKilled"
)

// diagnose says why the run of a pod has brought no report, by the pod alone. It is asked when time is
// up too, so that it always answers.
func diagnose(pod *corev1.Pod, now time.Time) failure {
	for _, look := range []func(*corev1.Pod, time.Time) (failure, bool){
		takenAway, unschedulable, imageTrouble, initTrouble, configTrouble, ended, crashing,
	} {
		if f, found := look(pod, now); found {
			f.message = clean(f.message)
			return f
		}
	}
	if pod.Status.Phase == corev1.PodRunning {
		return failure{
			reason:    Deadline,
			message:   "the checker pod " + pod.Name + " was still at work on " + node(pod) + " and had not reported",
			container: mainContainer(pod),
		}
	}
	return failure{reason: NotStarted, message: "the containers of the checker pod " + pod.Name + " had not started on " + node(pod)}
}

// deleted says why a pod that is gone brought no report, by how it was last seen.
func deleted(pod *corev1.Pod, at time.Time) failure {
	f, found := takenAway(pod, at)
	if !found {
		f = failure{reason: PodDeleted, message: "the checker pod " + pod.Name + " was deleted before it had reported, and not by Maek"}
	}
	f.over, f.container = at, ""
	f.message = clean(f.message)
	return f
}

// takenAway finds pods that the cluster took away from their work.
func takenAway(pod *corev1.Pod, now time.Time) (failure, bool) {
	over := time.Time{}
	if done(pod) {
		over = endedAt(pod, now)
	}
	switch pod.Status.Reason {
	case podEvicted:
		return failure{
			reason: PodEvicted, over: over, container: mainContainer(pod),
			message: fmt.Sprintf("the checker pod %s was evicted from %s: %s", pod.Name, node(pod), pod.Status.Message),
		}, true
	case podNodeLost:
		return failure{reason: NodeLost, message: fmt.Sprintf("%s, which the checker pod %s is on, does not answer", node(pod), pod.Name)}, true
	case podTerminated, podNodeShutdown:
		return failure{
			reason: PodEvicted, over: over, container: mainContainer(pod),
			message: fmt.Sprintf("%s was shut down, and the checker pod %s with it: %s", node(pod), pod.Name, pod.Status.Message),
		}, true
	}
	c := condition(pod, corev1.DisruptionTarget)
	if c == nil || c.Status != corev1.ConditionTrue {
		return failure{}, false
	}
	f := failure{reason: PodEvicted, over: over, container: mainContainer(pod)}
	switch c.Reason {
	case byPodGC, byTaint:
		f.reason, f.container = NodeLost, ""
		f.message = fmt.Sprintf("the checker pod %s was taken away, as its %s is gone, does not answer or bears a taint: %s", pod.Name, node(pod), c.Message)
	case corev1.PodReasonPreemptionByScheduler:
		f.message = fmt.Sprintf("the scheduler took the checker pod %s away from %s for one of higher priority: %s", pod.Name, node(pod), c.Message)
	default:
		f.message = fmt.Sprintf("the checker pod %s was taken away from %s (%s): %s", pod.Name, node(pod), c.Reason, c.Message)
	}
	return f, true
}

func unschedulable(pod *corev1.Pod, _ time.Time) (failure, bool) {
	if pod.Spec.NodeName != "" || done(pod) {
		return failure{}, false
	}
	c := condition(pod, corev1.PodScheduled)
	if c == nil || c.Status != corev1.ConditionFalse {
		return failure{reason: Unschedulable, message: "no scheduler has looked at the checker pod " + pod.Name}, true
	}
	return failure{
		reason: Unschedulable, cause: true,
		message: fmt.Sprintf("no node takes the checker pod %s (%s): %s", pod.Name, c.Reason, c.Message),
	}, true
}

func imageTrouble(pod *corev1.Pod, now time.Time) (failure, bool) {
	for _, s := range statuses(pod) {
		waiting := s.State.Waiting
		if waiting == nil {
			continue
		}
		f := failure{
			reason: ImagePullFailed, cause: true,
			message: fmt.Sprintf("the image %s of container %s cannot be had on %s (%s): %s", s.Image, s.Name, node(pod), waiting.Reason, waiting.Message),
		}
		switch waiting.Reason {
		case waitErrImagePull, waitImagePullBackOff:
			f.hopeless = pod.Status.StartTime != nil && now.Sub(pod.Status.StartTime.Time) >= pullTries
			return f, true
		case waitInvalidImageName, waitErrImageNeverPull, waitImageInspect:
			f.hopeless = waiting.Reason != waitImageInspect
			return f, true
		}
	}
	return failure{}, false
}

// initTrouble finds pods that do not get past their init containers. Sidecars are containers of their
// own right: they never end, and keep nothing waiting once they have started.
func initTrouble(pod *corev1.Pod, now time.Time) (failure, bool) {
	for i := range pod.Status.InitContainerStatuses {
		s := &pod.Status.InitContainerStatuses[i]
		if sidecar(pod, s.Name) {
			continue
		}
		exit := lastExit(s)
		switch {
		case exit != nil && exit.ExitCode != 0:
			f := failure{
				reason: InitFailed, container: s.Name, cause: true, hopeless: s.RestartCount >= maxRestarts,
				message: fmt.Sprintf("the init container %s %s, so that the checker never began", s.Name, howItEnded(exit, s.RestartCount)),
			}
			if done(pod) {
				f.over = endedAt(pod, now)
			}
			return f, true
		case s.State.Running != nil && s.State.Running.StartedAt.Time.Before(now) && pod.Status.Phase == corev1.PodPending:
			return failure{
				reason: InitFailed, container: s.Name,
				message: fmt.Sprintf("the init container %s was still at work, so that the checker had not begun", s.Name),
			}, true
		}
	}
	return failure{}, false
}

func configTrouble(pod *corev1.Pod, _ time.Time) (failure, bool) {
	for _, s := range statuses(pod) {
		waiting := s.State.Waiting
		if waiting == nil {
			continue
		}
		switch waiting.Reason {
		case waitConfig:
			return failure{reason: ConfigMissing, cause: true, message: fmt.Sprintf("container %s cannot be made on %s: %s", s.Name, node(pod), waiting.Message)}, true
		case waitCreate, waitRun:
			return failure{reason: NotStarted, cause: true, message: fmt.Sprintf("container %s does not start on %s (%s): %s", s.Name, node(pod), waiting.Reason, waiting.Message)}, true
		}
	}
	return failure{}, false
}

// statuses are those of init containers and containers, in the order in which the kubelet starts them.
func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

func sidecar(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

func mainContainer(pod *corev1.Pod) string {
	if len(pod.Spec.Containers) == 0 {
		return ""
	}
	return pod.Spec.Containers[0].Name
}

func node(pod *corev1.Pod) string { return "node " + cmp.Or(pod.Spec.NodeName, "(none)") }

// clean takes out of a message what nobody should read, and what is too much of it.
func clean(message string) string {
	message = strings.TrimRight(strings.TrimSpace(secret.Redact(message)), ":. ")
	if len(message) > maxDetail {
		message = strings.ToValidUTF8(message[:maxDetail], "") + "…"
	}
	return message
}
