package podrun

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

const (
	// lookAgain is how often it is made sure that the cache still hears of pods, whoever else uses it.
	lookAgain = 30 * time.Second
	// vanishGrace is for how long after its grace period a deleted pod is waited for: the kubelet of a node that
	// is lost never lets it go.
	vanishGrace = 10 * time.Second
	// defaultGrace is how long a pod that is deleted may take to end where it does not say otherwise.
	defaultGrace = corev1.DefaultTerminationGracePeriodSeconds * time.Second
)

// await waits for the end of the slot's pod, and judges it.
func (s *slotRun) await(ctx context.Context, pod *corev1.Pod, deadline time.Time) (plan.Result, error) {
	var seen checkerpod.Failure
	doubt := false
	for {
		now := s.o.Clock.Now()
		latest, gone, shown := s.latest(ctx, pod)
		pod = latest
		if (gone || doubt) && !checkerpod.Done(pod) {
			var err error
			if pod, gone, err = s.unseen(ctx, pod); err != nil {
				return plan.Result{}, err
			}
			shown = false
		}
		if gone || checkerpod.Done(pod) || pod.DeletionTimestamp != nil && now.After(pod.DeletionTimestamp.Add(vanishGrace)) {
			return s.judge(ctx, pod, seen, gone)
		}
		f := checkerpod.Diagnose(pod, now)
		switch {
		case pod.Status.Phase == corev1.PodRunning:
			seen = checkerpod.Failure{}
		case f.Cause:
			seen = f
		}
		if f.Hopeless || !now.Before(deadline) {
			return s.giveUp(ctx, pod, seen)
		}
		wake := deadline
		if f.Reason == checkerpod.ImagePullFailed && pod.Status.StartTime != nil {
			wake = earlier(wake, pod.Status.StartTime.Add(checkerpod.PullTries))
		}
		looked, err := s.pause(ctx, now, wake)
		if err != nil {
			return plan.Result{}, err
		}
		doubt = looked && !shown
	}
}

// pause waits until the cache hears something, or a time, or for lookAgain: it returns true then.
func (s *slotRun) pause(ctx context.Context, now, until time.Time) (looked bool, err error) {
	again := now.Add(lookAgain)
	timer := s.o.Clock.NewTimer(max(earlier(until, again).Sub(s.o.Clock.Now()), 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, fmt.Errorf("waiting for the end of the pod: %w", context.Cause(ctx))
	case <-s.sub.changed:
		return false, nil
	case <-timer.C():
	}
	if err := s.watcher.follow(ctx); err != nil {
		return false, err
	}
	return !again.After(until), nil
}

// unseen looks past the cache for a pod that it does not show. A watch by label says of one that has lost the label
// that it was deleted, and nothing of one that went before it was heard of.
func (s *slotRun) unseen(ctx context.Context, pod *corev1.Pod) (latest *corev1.Pod, gone bool, err error) {
	found, err := s.live(ctx)
	switch {
	case apierrors.IsNotFound(err), err == nil && found.UID != pod.UID:
		return pod, true, nil
	case err != nil && checkerpod.Unanswered(err):
		return pod, false, nil // It is asked again, at the deadline at the latest.
	case err != nil:
		return nil, false, err
	}
	s.sub.forget(pod.UID)
	return found, false, nil
}

// giveUp ends a run whose time is over, or that cannot succeed any more. What the cache shows may be old: the pod is
// read once more before anything is said of it.
func (s *slotRun) giveUp(ctx context.Context, pod *corev1.Pod, seen checkerpod.Failure) (plan.Result, error) {
	found, err := s.live(ctx)
	switch {
	case apierrors.IsNotFound(err), err == nil && found.UID != pod.UID:
		return s.judge(ctx, pod, seen, true)
	case err != nil:
		return plan.Result{}, err
	case checkerpod.Done(found):
		return s.judge(ctx, found, seen, false)
	}
	result := s.late(ctx, found, seen)
	if err := s.delete(ctx, found); err != nil {
		// Its own deadline stops it, and the next run deletes it.
		s.o.Log.Debug("a pod that was given up is left behind", "pod", s.pod.String(), "error", err)
	}
	return result, nil
}

// awaitOthers waits for pods of other slots that are still at work. One whose own time is over is deleted. Who may make
// pods can make some that look like the check's: however long those may run, and take to end, they keep a worker that
// all checks share no longer than pods of the check could.
func (s *slotRun) awaitOthers(ctx context.Context, pods []*corev1.Pod) error {
	last := s.o.Clock.Now().Add(s.timeout + max(s.timeout, defaultGrace))
	for _, pod := range pods {
		if err := s.awaitOther(ctx, pod, last); err != nil {
			return err
		}
	}
	return nil
}

// awaitOther waits for one pod, and for its deletion until a time at most.
func (s *slotRun) awaitOther(ctx context.Context, pod *corev1.Pod, last time.Time) error {
	deleted := time.Time{}
	for {
		now := s.o.Clock.Now()
		latest, gone, shown := s.latest(ctx, pod)
		if gone || checkerpod.Done(latest) || !shown {
			return nil
		}
		pod = latest
		until := pod.CreationTimestamp.Add(s.limit(pod))
		leaving := deleted
		if pod.DeletionTimestamp != nil {
			leaving = pod.DeletionTimestamp.Time
		}
		switch {
		case !leaving.IsZero():
			until = earlier(leaving, last).Add(vanishGrace)
			if !now.Before(until) {
				return nil
			}
		case !now.Before(until):
			if err := s.delete(ctx, pod); err != nil {
				return err
			}
			deleted = now.Add(grace(pod))
			continue
		}
		if _, err := s.pause(ctx, now, until); err != nil {
			return err
		}
	}
}

// limit is how long a pod may run: a shorter time of its own counts, and no longer one, which the check's pods have not.
func (s *slotRun) limit(pod *corev1.Pod) time.Duration {
	if own := pod.Spec.ActiveDeadlineSeconds; own != nil && *own < int64(s.timeout/time.Second) {
		return time.Duration(*own) * time.Second
	}
	return s.timeout
}

// grace is how long a pod that is deleted may take to end.
func grace(pod *corev1.Pod) time.Duration {
	if own := pod.Spec.TerminationGracePeriodSeconds; own != nil {
		return time.Duration(*own) * time.Second
	}
	return defaultGrace
}

// delete deletes a pod, and no other that was made in its place.
func (r *Runner) delete(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWithin)
	defer cancel()
	err := r.o.Client.Delete(ctx, pod.DeepCopy(), client.Preconditions{UID: new(pod.UID)}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
