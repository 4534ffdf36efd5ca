package probe

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// look is what a worker does when it is time: it finds out whether there is something to ask.
func (w Worker) look(s *State, in Input, out *Action) {
	if in.Status == nil {
		out.Why = NoContainer
		return
	}
	if in.Status.Phase == corev1.PodFailed || in.Status.Phase == corev1.PodSucceeded {
		s.Ended = true
		out.Why = Over
		return
	}
	container := w.status(in.Status)
	if container == nil {
		out.Why = NoContainer
		return
	}
	if s.ContainerID != container.ContainerID {
		w.meet(s, container, out)
	}
	running := container.State.Running
	switch {
	case s.OnHold:
		out.Why = OnHold
	case running == nil:
		s.set(Failure, out)
		out.Why = NotRunning
		if t := container.State.Terminated; t != nil && !w.startsAgain(in.Status, t.ExitCode) {
			s.Ended = true
		}
	case in.Deleting && w.Kind != Readiness:
		s.set(Success, out)
		s.Ended = true
		out.Why = Over
	case in.At.Sub(running.StartedAt.Time).Truncate(time.Second) < initialDelay(w.spec()):
		out.Why = InitialDelay
	case w.Kind == Startup && started(container):
		out.Why = Started
	case w.Kind != Startup && !started(container):
		out.Why = NotStarted
	default:
		s.attempt = 1
		out.Probe = true
	}
}

func initialDelay(spec *corev1.Probe) time.Duration {
	return time.Duration(spec.InitialDelaySeconds) * time.Second
}

// meet begins with a new container. Of one that was there before the kubelet, nothing is said until
// it has been asked: what was ready stays ready while a kubelet restarts.
func (w Worker) meet(s *State, container *corev1.ContainerStatus, out *Action) {
	s.ContainerID = container.ContainerID
	s.OnHold = false
	s.Cached = ""
	if w.sidecar() && w.Kind == Startup && started(container) {
		s.set(Success, out)
	}
	if running := container.State.Running; running != nil && !running.StartedAt.IsZero() &&
		running.StartedAt.Time.Before(w.KubeletStart.Add(-restartMargin)) {
		return
	}
	s.set(initially(w.Kind), out)
}

// initially is what the kubelet believes of a container before anybody asked.
func initially(kind Kind) Result {
	switch kind {
	case Liveness:
		return Success
	case Readiness:
		return Failure
	default:
		return Unknown
	}
}

// status is the container's in a pod's; nil where the container has not been created yet.
func (w Worker) status(pod *corev1.PodStatus) *corev1.ContainerStatus {
	if pod == nil {
		return nil
	}
	for _, all := range [][]corev1.ContainerStatus{pod.ContainerStatuses, pod.InitContainerStatuses} {
		for i := range all {
			if all[i].Name == w.Container.Name && all[i].ContainerID != "" {
				return &all[i]
			}
		}
	}
	return nil
}

func started(container *corev1.ContainerStatus) bool {
	return container.Started != nil && *container.Started
}

// sidecar tells whether the container is an init container that stays.
func (w Worker) sidecar() bool {
	return w.Container.RestartPolicy != nil && *w.Container.RestartPolicy == corev1.ContainerRestartPolicyAlways &&
		slices.ContainsFunc(w.Pod.InitContainers, func(c corev1.Container) bool { return c.Name == w.Container.Name })
}

// startsAgain tells whether a container that has ended is started again, be it with all others of
// its pod (ContainerShouldRestart of pkg/api/v1/pod/util.go, ShouldAllContainersRestart of
// pkg/kubelet/container/helpers.go).
func (w Worker) startsAgain(pod *corev1.PodStatus, exitCode int32) bool {
	return containerStartsAgain(w.Container, w.Pod.RestartPolicy, exitCode) || allStartAgain(w.Pod, pod)
}

func containerStartsAgain(c *corev1.Container, policy corev1.RestartPolicy, exitCode int32) bool {
	if c.RestartPolicy != nil {
		if rule := restartRule(c, exitCode); rule != nil &&
			(rule.Action == corev1.ContainerRestartRuleActionRestart || rule.Action == corev1.ContainerRestartRuleActionRestartAllContainers) {
			return true
		}
		policy = corev1.RestartPolicy(*c.RestartPolicy)
	}
	switch policy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return exitCode != 0
	default:
		return true
	}
}

// restartRule is the first of a container's rules that is for an exit code.
func restartRule(c *corev1.Container, exitCode int32) *corev1.ContainerRestartRule {
	for i, rule := range c.RestartPolicyRules {
		if rule.ExitCodes == nil {
			continue
		}
		listed := slices.Contains(rule.ExitCodes.Values, exitCode)
		switch rule.ExitCodes.Operator {
		case corev1.ContainerRestartRuleOnExitCodesOpIn:
			if listed {
				return &c.RestartPolicyRules[i]
			}
		case corev1.ContainerRestartRuleOnExitCodesOpNotIn:
			if !listed {
				return &c.RestartPolicyRules[i]
			}
		}
	}
	return nil
}

// allStartAgain tells whether all containers of a pod start again, or are about to because one of
// them has ended in a way that asks for it.
func allStartAgain(spec *corev1.PodSpec, pod *corev1.PodStatus) bool {
	if slices.ContainsFunc(pod.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.AllContainersRestarting && c.Status == corev1.ConditionTrue
	}) {
		return true
	}
	asks := func(containers []corev1.Container, statuses []corev1.ContainerStatus) bool {
		return slices.ContainsFunc(containers, func(c corev1.Container) bool {
			i := slices.IndexFunc(statuses, func(s corev1.ContainerStatus) bool { return s.Name == c.Name })
			if i < 0 || statuses[i].State.Terminated == nil {
				return false
			}
			rule := restartRule(&c, statuses[i].State.Terminated.ExitCode)
			return rule != nil && rule.Action == corev1.ContainerRestartRuleActionRestartAllContainers
		})
	}
	return asks(spec.InitContainers, pod.InitContainerStatuses) || asks(spec.Containers, pod.ContainerStatuses)
}
