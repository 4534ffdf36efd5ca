package podrun

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

// keepFailed is how long the newest failed pod of a check stays at least until the next run or Clear, for people who
// want to look at it: as a CronJob keeps one (failedJobsHistoryLimit).
const keepFailed = time.Hour

// Clear deletes the check's pods that have ended, but for the newest that failed in the last hour. Call it when the
// result of a run is recorded: until then the pod is where another replica would read it. Every Run does the same
// for earlier slots before it begins. The error is the API server's; what is left then is deleted the next time.
func (r *Runner) Clear(ctx context.Context, check *v1alpha1.Check) error {
	pods, err := r.pods(ctx, check)
	if err != nil {
		return err
	}
	var failed *corev1.Pod
	for _, pod := range pods {
		if pod.Status.Phase == corev1.PodFailed && pod.DeletionTimestamp == nil {
			failed = pod // They are in the order of their slots.
		}
	}
	now := r.o.Clock.Now()
	var broken error
	for _, pod := range pods {
		kept := pod == failed && now.Sub(checkerpod.EndedAt(pod, now)) < keepFailed
		if checkerpod.Done(pod) && pod.DeletionTimestamp == nil && !kept {
			broken = errors.Join(broken, r.delete(ctx, pod))
		}
	}
	return broken
}

// Leftover is a run that a pod tells of.
type Leftover struct {
	// Slot of the run: Run goes on with it, or returns its result.
	Slot time.Time
	// Ended tells that the pod has ended. Its result may have been recorded, or not.
	Ended bool
}

// Leftovers returns the runs of a check whose pods are there, the oldest first: what somebody finds who comes to look
// after the check. A run that has not ended keeps others of the check waiting.
func (r *Runner) Leftovers(ctx context.Context, check *v1alpha1.Check) ([]Leftover, error) {
	pods, err := r.pods(ctx, check)
	if err != nil {
		return nil, err
	}
	var runs []Leftover
	for _, pod := range pods {
		if slot, ok := slotOf(pod); ok && pod.DeletionTimestamp == nil {
			runs = append(runs, Leftover{Slot: slot, Ended: checkerpod.Done(pod)})
		}
	}
	return runs, nil
}
