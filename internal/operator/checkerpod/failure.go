package checkerpod

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/secret"
)

// Failure is why a run has brought no result, as its pod shows it. The zero value is that nothing was seen.
type Failure struct {
	Reason Reason
	// Message says what was seen, in sentences without a full stop at the end: without credentials, and of
	// little more than 1 KiB.
	Message string
	// Container whose log tells more; empty where none has said anything.
	Container string
	// Over is when the pod could bring no result any more: it has ended, or is gone. Zero while it still
	// might.
	Over time.Time
	// Hopeless tells that more time will not help: an image that cannot be pulled, a checker that crashes
	// whenever it is started.
	Hopeless bool
	// Cause tells that the message names what keeps the pod from starting.
	Cause bool
}

// With adds to what a pod shows now what it showed last of why it does not start: a kubelet that stops a
// pod, or is about to try again, leaves nothing of that in the pod's status.
func (f Failure) With(seen Failure) Failure {
	switch {
	case !seen.Cause || f.Cause:
	case f.Reason == NotStarted && !f.Over.IsZero():
		f.Reason, f.Message, f.Cause = seen.Reason, seen.Message+", until the kubelet stopped the pod", true
	default:
		f.Message += "; before that, " + seen.Message
	}
	f.Message = Clean(f.Message)
	return f
}

const (
	// maxDetail bounds, in bytes, what others say in a message of ours: a registry's page, a webhook's.
	maxDetail = 1 << 10
	// PullTries is after how long the kubelet has tried to pull an image at least twice: it tries again
	// ten seconds after the first failure (kubernetes: pkg/kubelet/kubelet.go, imageBackOffPeriod). The
	// first try of all fails too often of what the second knows nothing of: a registry that is restarted,
	// a node whose network comes up.
	PullTries = 30 * time.Second
)

// Reasons of waiting containers; WaitErrImagePull is that of an image that could not be pulled just now (kubernetes: pkg/kubelet/images/types.go and
// pkg/kubelet/kuberuntime/kuberuntime_container.go).
const (
	WaitErrImagePull      = "ErrImagePull"
	waitImagePullBackOff  = "ImagePullBackOff"
	waitInvalidImageName  = "InvalidImageName"
	waitErrImageNeverPull = "ErrImageNeverPull"
	waitImageInspect      = "ImageInspectError"
	waitConfig            = "CreateContainerConfigError"
	waitCreate            = "CreateContainerError"
	waitRun               = "RunContainerError"
)

// Reasons of pods, of the condition DisruptionTarget and of containers that ended; ExitOOMKilled is that of one
// that used more memory than it may (kubernetes: pkg/kubelet/eviction/helpers.go,
// pkg/kubelet/nodeshutdown, pkg/controller/podgc, pkg/controller/tainteviction, staging/src/k8s.io/api/core/v1/types.go).
const (
	podEvicted          = "Evicted"
	podNodeLost         = "NodeLost"
	podDeadlineExceeded = "DeadlineExceeded"
	podTerminated       = "Terminated"
	podNodeShutdown     = "NodeShutdown"
	byPodGC             = "DeletionByPodGC"
	byTaint             = "DeletionByTaintManager"
	ExitOOMKilled       = "OOMKilled"
)

// Diagnose says why the run of a pod has brought no report, by the pod alone. It is asked when time is
// up too, so that it always answers.
func Diagnose(pod *corev1.Pod, now time.Time) Failure {
	for _, look := range []func(*corev1.Pod, time.Time) (Failure, bool){
		takenAway, unschedulable, imageTrouble, initTrouble, configTrouble, ended, crashing,
	} {
		if f, found := look(pod, now); found {
			f.Message = Clean(f.Message)
			return f
		}
	}
	if pod.Status.Phase == corev1.PodRunning {
		return Failure{
			Reason:    Deadline,
			Message:   "the checker pod " + pod.Name + " was still at work on " + Node(pod) + " and had not reported",
			Container: MainContainer(pod),
		}
	}
	return Failure{Reason: NotStarted, Message: "the containers of the checker pod " + pod.Name + " had not started on " + Node(pod)}
}

// Deleted says why a pod that is gone brought no report, by how it was last seen.
func Deleted(pod *corev1.Pod, at time.Time) Failure {
	f, found := takenAway(pod, at)
	if !found {
		f = Failure{Reason: PodDeleted, Message: "the checker pod " + pod.Name + " was deleted before it had reported, and not by Maek"}
	}
	f.Over, f.Container = at, ""
	f.Message = Clean(f.Message)
	return f
}

// takenAway finds pods that the cluster took away from their work.
func takenAway(pod *corev1.Pod, now time.Time) (Failure, bool) {
	over := time.Time{}
	if Done(pod) {
		over = EndedAt(pod, now)
	}
	switch pod.Status.Reason {
	case podEvicted:
		return Failure{
			Reason: PodEvicted, Over: over, Container: MainContainer(pod),
			Message: fmt.Sprintf("the checker pod %s was evicted from %s: %s", pod.Name, Node(pod), pod.Status.Message),
		}, true
	case podNodeLost:
		return Failure{Reason: NodeLost, Message: fmt.Sprintf("%s, which the checker pod %s is on, does not answer", Node(pod), pod.Name)}, true
	case podTerminated, podNodeShutdown:
		return Failure{
			Reason: PodEvicted, Over: over, Container: MainContainer(pod),
			Message: fmt.Sprintf("%s was shut down, and the checker pod %s with it: %s", Node(pod), pod.Name, pod.Status.Message),
		}, true
	}
	c := Condition(pod, corev1.DisruptionTarget)
	if c == nil || c.Status != corev1.ConditionTrue {
		return Failure{}, false
	}
	f := Failure{Reason: PodEvicted, Over: over, Container: MainContainer(pod)}
	switch c.Reason {
	case byPodGC, byTaint:
		f.Reason, f.Container = NodeLost, ""
		f.Message = fmt.Sprintf("the checker pod %s was taken away, as its %s is gone, does not answer or bears a taint: %s", pod.Name, Node(pod), c.Message)
	case corev1.PodReasonPreemptionByScheduler:
		f.Message = fmt.Sprintf("the scheduler took the checker pod %s away from %s for one of higher priority: %s", pod.Name, Node(pod), c.Message)
	default:
		f.Message = fmt.Sprintf("the checker pod %s was taken away from %s (%s): %s", pod.Name, Node(pod), c.Reason, c.Message)
	}
	return f, true
}

func unschedulable(pod *corev1.Pod, _ time.Time) (Failure, bool) {
	if pod.Spec.NodeName != "" || Done(pod) {
		return Failure{}, false
	}
	c := Condition(pod, corev1.PodScheduled)
	if c == nil || c.Status != corev1.ConditionFalse {
		return Failure{Reason: Unschedulable, Message: "no scheduler has looked at the checker pod " + pod.Name}, true
	}
	return Failure{
		Reason: Unschedulable, Cause: true,
		Message: fmt.Sprintf("no node takes the checker pod %s (%s): %s", pod.Name, c.Reason, c.Message),
	}, true
}

func imageTrouble(pod *corev1.Pod, now time.Time) (Failure, bool) {
	for _, s := range statuses(pod) {
		waiting := s.State.Waiting
		if waiting == nil {
			continue
		}
		f := Failure{
			Reason: ImagePullFailed, Cause: true,
			Message: fmt.Sprintf("the image %s of container %s cannot be had on %s (%s): %s", s.Image, s.Name, Node(pod), waiting.Reason, waiting.Message),
		}
		switch waiting.Reason {
		case WaitErrImagePull, waitImagePullBackOff:
			f.Hopeless = pod.Status.StartTime != nil && now.Sub(pod.Status.StartTime.Time) >= PullTries
			return f, true
		case waitInvalidImageName, waitErrImageNeverPull, waitImageInspect:
			f.Hopeless = waiting.Reason != waitImageInspect
			return f, true
		}
	}
	return Failure{}, false
}

// initTrouble finds pods that do not get past their init containers. Sidecars are containers of their
// own right: they never end, and keep nothing waiting once they have started.
func initTrouble(pod *corev1.Pod, now time.Time) (Failure, bool) {
	for i := range pod.Status.InitContainerStatuses {
		s := &pod.Status.InitContainerStatuses[i]
		if Sidecar(pod, s.Name) {
			continue
		}
		exit := LastExit(s)
		switch {
		case exit != nil && exit.ExitCode != 0:
			f := Failure{
				Reason: InitFailed, Container: s.Name, Cause: true, Hopeless: s.RestartCount >= maxRestarts,
				Message: fmt.Sprintf("the init container %s %s, so that the checker never began", s.Name, HowItEnded(exit, s.RestartCount)),
			}
			if Done(pod) {
				f.Over = EndedAt(pod, now)
			}
			return f, true
		case s.State.Running != nil && s.State.Running.StartedAt.Time.Before(now) && pod.Status.Phase == corev1.PodPending:
			return Failure{
				Reason: InitFailed, Container: s.Name,
				Message: fmt.Sprintf("the init container %s was still at work, so that the checker had not begun", s.Name),
			}, true
		}
	}
	return Failure{}, false
}

func configTrouble(pod *corev1.Pod, _ time.Time) (Failure, bool) {
	for _, s := range statuses(pod) {
		waiting := s.State.Waiting
		if waiting == nil {
			continue
		}
		switch waiting.Reason {
		case waitConfig:
			return Failure{Reason: ConfigMissing, Cause: true, Message: fmt.Sprintf("container %s cannot be made on %s: %s", s.Name, Node(pod), waiting.Message)}, true
		case waitCreate, waitRun:
			return Failure{Reason: NotStarted, Cause: true, Message: fmt.Sprintf("container %s does not start on %s (%s): %s", s.Name, Node(pod), waiting.Reason, waiting.Message)}, true
		}
	}
	return Failure{}, false
}

// statuses are those of init containers and containers, in the order in which the kubelet starts them.
func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

// Sidecar tells that an init container of a pod is one that runs beside the others, and is stopped after them.
func Sidecar(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}

// Condition returns a condition of a pod; nil where it has none of the type.
func Condition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// MainContainer is the name of a pod's first container; empty where it has none.
func MainContainer(pod *corev1.Pod) string {
	if len(pod.Spec.Containers) == 0 {
		return ""
	}
	return pod.Spec.Containers[0].Name
}

// Node names the node of a pod in a sentence.
func Node(pod *corev1.Pod) string { return "node " + cmp.Or(pod.Spec.NodeName, "(none)") }

// Clean takes out of a message what nobody should read, and what is too much of it.
func Clean(message string) string {
	message = strings.TrimRight(strings.TrimSpace(secret.Redact(message)), ":. ")
	if len(message) > maxDetail {
		message = strings.ToValidUTF8(message[:maxDetail], "") + "…"
	}
	return message
}
