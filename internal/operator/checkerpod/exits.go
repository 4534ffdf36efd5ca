package checkerpod

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// maxRestarts is how often a container is started again before a checker is given up that never
	// reports: by then the kubelet has waited for half a minute in all, ten seconds and twice as long each
	// time (kubernetes: pkg/kubelet/kubelet.go, initialCrashLoopBackOff).
	maxRestarts = 3
	// exitUnknown is why a container ended of which the kubelet knows nothing (kubernetes:
	// pkg/kubelet/container/runtime.go, ContainerReasonStatusUnknown).
	exitUnknown = "ContainerStatusUnknown"
)

// ended finds pods that have ended.
func ended(pod *corev1.Pod, now time.Time) (Failure, bool) {
	if !Done(pod) {
		return Failure{}, false
	}
	f := Failure{Over: EndedAt(pod, now)}
	if pod.Status.Reason == podDeadlineExceeded {
		if !EverRan(pod) {
			f.Reason = NotStarted
			f.Message = "the containers of the checker pod " + pod.Name + " had not started on " + Node(pod) + " when its deadline came"
			return f, true
		}
		f.Reason, f.Container = Deadline, MainContainer(pod)
		f.Message = "the checker pod " + pod.Name + " was still at work when its deadline came, and was stopped"
		return f, true
	}
	if s := worst(pod); s != nil {
		exit := LastExit(s)
		f.Reason, f.Container = crash(exit), s.Name
		f.Message = fmt.Sprintf("container %s %s, exit without report", s.Name, HowItEnded(exit, s.RestartCount))
		return f, true
	}
	if pod.Status.Phase == corev1.PodFailed {
		f.Reason = Crashed
		f.Message = strings.TrimRight(fmt.Sprintf("the checker pod %s failed, exit without report: %s %s", pod.Name, pod.Status.Reason, pod.Status.Message), " :")
		return f, true
	}
	f.Reason, f.Container = NoReport, MainContainer(pod)
	f.Message = "the checker pod " + pod.Name + " ended well, exit without report"
	return f, true
}

// crashing finds pods that are started again and again, and may yet report.
func crashing(pod *corev1.Pod, _ time.Time) (Failure, bool) {
	if s := worst(pod); s != nil {
		exit := LastExit(s)
		return Failure{
			Reason: crash(exit), Container: s.Name, Hopeless: s.RestartCount >= maxRestarts,
			Message: fmt.Sprintf("container %s %s, and nothing was reported", s.Name, HowItEnded(exit, s.RestartCount)),
		}, true
	}
	for i := range pod.Status.ContainerStatuses {
		if s := &pod.Status.ContainerStatuses[i]; s.RestartCount >= maxRestarts {
			return Failure{
				Reason: NoReport, Container: s.Name, Hopeless: true,
				Message: fmt.Sprintf("container %s ended well, started again %d times, exit without report", s.Name, s.RestartCount),
			}, true
		}
	}
	return Failure{}, false
}

func crash(exit *corev1.ContainerStateTerminated) Reason {
	if exit.Reason == ExitOOMKilled {
		return OOMKilled
	}
	return Crashed
}

// worst returns the container that ended with an error, and whose memory ran out before any other.
func worst(pod *corev1.Pod) *corev1.ContainerStatus {
	var found *corev1.ContainerStatus
	for i := range pod.Status.ContainerStatuses {
		s := &pod.Status.ContainerStatuses[i]
		exit := LastExit(s)
		if exit == nil || exit.ExitCode == 0 && exit.Reason != ExitOOMKilled {
			continue
		}
		if found == nil || exit.Reason == ExitOOMKilled && LastExit(found).Reason != ExitOOMKilled {
			found = s
		}
	}
	return found
}

// LastExit is how a container ended last; nil where it never has.
func LastExit(s *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	if s.State.Terminated != nil {
		return s.State.Terminated
	}
	return s.LastTerminationState.Terminated
}

// signalBase is what a shell, and the container runtimes, add to a signal's number to say that it ended
// a program.
const signalBase = 128

// HowItEnded goes on after the name of a container: with its exit code, its signal, how often it was started
// again, and its termination message. The message is as the container left it.
func HowItEnded(exit *corev1.ContainerStateTerminated, restarts int32) string {
	var b strings.Builder
	signal := exit.Signal
	if signal == 0 && exit.ExitCode > signalBase && exit.ExitCode < signalBase+65 {
		signal = exit.ExitCode - signalBase
	}
	fmt.Fprintf(&b, "ended with exit code %d", exit.ExitCode)
	if signal != 0 {
		fmt.Fprintf(&b, " (signal %d)", signal)
	}
	if exit.Reason == ExitOOMKilled {
		b.WriteString(", killed as it used more memory than it may (OOMKilled)")
	}
	if restarts > 0 {
		fmt.Fprintf(&b, ", started again %d times", restarts)
	}
	if exit.Message != "" {
		b.WriteString(": " + strings.TrimSpace(exit.Message))
	}
	return b.String()
}

// Done tells that none of a pod's containers will run again.
func Done(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// EndedAt is when the last of a pod's containers ended, or the pod was last seen to change where none
// has run. A node's clock may be ahead of ours: then it is now.
func EndedAt(pod *corev1.Pod, now time.Time) time.Time {
	var last time.Time
	for _, s := range pod.Status.ContainerStatuses {
		if exit := LastExit(&s); exit != nil && exit.FinishedAt.After(last) {
			last = exit.FinishedAt.Time
		}
	}
	if last.IsZero() {
		last = pod.CreationTimestamp.Time
		for _, c := range pod.Status.Conditions {
			if c.LastTransitionTime.After(last) {
				last = c.LastTransitionTime.Time
			}
		}
	}
	if last.After(now) {
		return now
	}
	return last
}

// EverRan tells that some container of a pod has been started. Of those that never were, a kubelet that
// stops the pod says ContainerStatusUnknown (kubernetes: pkg/kubelet/status/status_manager.go, TerminatePod).
func EverRan(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.State.Running != nil || s.RestartCount > 0 || Ran(s.State.Terminated) || Ran(s.LastTerminationState.Terminated)
	})
}

// Ran tells that a container was started before it ended, as far as the kubelet knows.
func Ran(exit *corev1.ContainerStateTerminated) bool {
	return exit != nil && (exit.Reason != exitUnknown || !exit.StartedAt.IsZero())
}
