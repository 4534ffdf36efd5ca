package podrun

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
	"github.com/maek-dev/maek/internal/synthetic/launch"
)

// judge says what a run came to whose pod has ended, or is gone.
func (s *slotRun) judge(ctx context.Context, pod *corev1.Pod, seen checkerpod.Failure, gone bool) (plan.Result, error) {
	now := s.o.Clock.Now()
	took := s.took(pod, now)
	f := checkerpod.Diagnose(pod, now).With(seen)
	if pod.Status.Phase != corev1.PodSucceeded {
		// What the cluster does with a pod says nothing of what it was to ask, however its containers ended then.
		taken := f.Reason == checkerpod.PodEvicted || f.Reason == checkerpod.NodeLost
		if !taken && cutShort(pod) {
			f, taken = checkerpod.Deleted(pod, now).With(seen), true
		}
		if taken {
			return s.ended(ctx, pod, v1alpha1.ResultUnknown, f, took, gone), nil
		}
	}
	result, f, refusal := s.verdict(pod, f)
	if refusal != nil {
		return plan.Result{}, refusal
	}
	return s.ended(ctx, pod, result, f, took, gone), nil
}

// cutShort tells that a pod did not end by itself: somebody deleted it before, or it is gone before it did.
func cutShort(pod *corev1.Pod) bool {
	if !checkerpod.Done(pod) {
		return true
	}
	if pod.DeletionTimestamp == nil {
		return false
	}
	asked := pod.DeletionTimestamp.Time
	if own := pod.DeletionGracePeriodSeconds; own != nil {
		asked = asked.Add(-time.Duration(*own) * time.Second)
	}
	return checkerpod.EndedAt(pod, pod.DeletionTimestamp.Time).After(asked)
}

// verdict says what a pod came to that nobody took away.
func (s *slotRun) verdict(pod *corev1.Pod, f checkerpod.Failure) (v1alpha1.CheckResult, checkerpod.Failure, error) {
	if s.check.Spec.Synthetic != nil {
		return s.played(pod, f)
	}
	if pod.Status.Phase == corev1.PodSucceeded {
		return v1alpha1.ResultSuccess, checkerpod.Failure{}, nil
	}
	if f.Reason == checkerpod.Deadline {
		return v1alpha1.ResultFailure, s.overdue(pod), nil
	}
	container, exit := firstFailed(pod)
	if exit == nil || f.Reason == checkerpod.OOMKilled || f.Reason == checkerpod.NotStarted {
		return v1alpha1.ResultUnknown, f, nil
	}
	return v1alpha1.ResultFailure, checkerpod.Failure{
		Reason: checkerpod.ReportedFailure, Container: container,
		Message: checkerpod.Clean("container " + container + " " + checkerpod.HowItEnded(exit, 0)),
	}, nil
}

// played is verdict for the pod of a scenario. What the scenario says counts before how its pod ended.
func (s *slotRun) played(pod *corev1.Pod, f checkerpod.Failure) (v1alpha1.CheckResult, checkerpod.Failure, error) {
	outcome, verdict, err := launch.Read(pod)
	said := checkerpod.Failure{Container: launch.Container, Message: checkerpod.Clean(strings.Join(outcome.Errors, "; "))}
	switch {
	case err == nil && verdict == launch.Passed:
		return v1alpha1.ResultSuccess, checkerpod.Failure{}, nil
	case err == nil && verdict == launch.Failed:
		said.Reason = checkerpod.ReportedFailure
		said.Message = cmp.Or(said.Message, "the scenario failed, and does not say why")
		return v1alpha1.ResultFailure, said, nil
	case err == nil:
		said.Reason = Unable
		said.Message = cmp.Or(said.Message, "the scenario could not look, and does not say why")
		return v1alpha1.ResultUnknown, said, nil
	case f.Reason == checkerpod.Deadline:
		return v1alpha1.ResultFailure, s.overdue(pod), nil
	}
	if _, exit := firstFailed(pod); exit != nil && exit.ExitCode == launch.ExitMisused {
		return "", f, plan.Refuse(ReasonUnknownScenario, "the image %s has no scenario %s; give the operator the checker's image of its own version with --checker-image",
			image(pod), s.check.Spec.Synthetic.Scenario)
	}
	return v1alpha1.ResultUnknown, f, nil
}

// late says what a run comes to whose pod is still there when it is given up.
func (s *slotRun) late(ctx context.Context, pod *corev1.Pod, seen checkerpod.Failure) plan.Result {
	now := s.o.Clock.Now()
	f := checkerpod.Diagnose(pod, now).With(seen)
	atWork := f.Reason == checkerpod.Deadline || f.Reason == checkerpod.InitFailed
	if lost := s.lost(ctx, pod); lost != "" {
		f = checkerpod.Failure{Reason: checkerpod.NodeLost, Message: checkerpod.Clean(fmt.Sprintf(
			"%s, which the pod %s is on, is lost: %s", checkerpod.Node(pod), pod.Name, lost,
		))}
		return s.result(v1alpha1.ResultUnknown, f, s.took(pod, now))
	}
	if atWork {
		return s.ended(ctx, pod, v1alpha1.ResultFailure, s.overdue(pod), s.took(pod, now), false)
	}
	f, err := checkerpod.Witnessed(ctx, s.o.Witness, pod, f)
	if err != nil {
		s.o.Log.Debug("the Events of a pod cannot be read", "pod", s.pod.String(), "error", err)
	}
	return s.ended(ctx, pod, v1alpha1.ResultUnknown, f, s.took(pod, now), false)
}

// lost says why the node of a pod is taken for lost; empty where it is not, or cannot be read.
func (s *slotRun) lost(ctx context.Context, pod *corev1.Pod) string {
	if s.o.Witness == nil || pod.Spec.NodeName == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	node, err := s.o.Witness.Node(ctx, pod.Spec.NodeName)
	if err != nil {
		s.o.Log.Debug("a node cannot be read", "node", pod.Spec.NodeName, "error", err)
		return ""
	}
	return checkerpod.Lost(node)
}

// overdue is the failure of a run that was still at work when its time was over. It is worded alike for every run,
// so that a check which always is does not look as if it failed otherwise each time.
func (s *slotRun) overdue(pod *corev1.Pod) checkerpod.Failure {
	container, _ := firstFailed(pod)
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.State.Running != nil {
			container = status.Name
			break
		}
	}
	container = cmp.Or(container, checkerpod.MainContainer(pod))
	return checkerpod.Failure{
		Reason: checkerpod.Deadline, Container: container,
		Message: fmt.Sprintf("container %s was still at work when the timeout of %s came", container, s.timeout),
	}
}

// firstFailed is the container that ended first of those that ended otherwise than with exit code 0. Sidecars are
// stopped, and how they end is no answer. Neither is an end that the kubelet did not see.
func firstFailed(pod *corev1.Pod) (container string, exit *corev1.ContainerStateTerminated) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		end := checkerpod.LastExit(&status)
		if end == nil || end.ExitCode == 0 || !checkerpod.Ran(end) || checkerpod.Sidecar(pod, status.Name) {
			continue
		}
		if exit == nil || end.FinishedAt.Before(&exit.FinishedAt) {
			container, exit = status.Name, end
		}
	}
	return container, exit
}

func image(pod *corev1.Pod) string {
	if len(pod.Spec.Containers) == 0 {
		return ""
	}
	return pod.Spec.Containers[0].Image
}

// took is how long a run has taken from when its pod was made: seconds, as pods tell times in these.
func (s *slotRun) took(pod *corev1.Pod, now time.Time) time.Duration {
	end := now
	if checkerpod.Done(pod) {
		end = checkerpod.EndedAt(pod, now)
	}
	if outcome, _, err := launch.Read(pod); err == nil && s.check.Spec.Synthetic != nil {
		return time.Duration(outcome.Seconds * float64(time.Second))
	}
	return max(end.Sub(pod.CreationTimestamp.Time), 0)
}

// ended is a result with what the pod said last.
func (s *slotRun) ended(ctx context.Context, pod *corev1.Pod, result v1alpha1.CheckResult, f checkerpod.Failure, took time.Duration, gone bool) plan.Result {
	r := s.result(result, f, took)
	if gone || result == v1alpha1.ResultSuccess {
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	var err error
	if r.LogTail, err = checkerpod.LogTail(ctx, s.o.Logs, s.pod, f.Container); err != nil {
		s.o.Log.Debug("the log of a pod cannot be read", "pod", pod.Namespace+"/"+pod.Name, "container", f.Container, "error", err)
	}
	return r
}

// result is what the run came to. Its target is the pod, which people look for.
func (s *slotRun) result(result v1alpha1.CheckResult, f checkerpod.Failure, took time.Duration) plan.Result {
	return plan.Result{
		Target: s.pod.Name, Result: result, Reason: string(f.Reason), Message: f.Message, Latency: took, At: s.o.Clock.Now(),
	}
}
