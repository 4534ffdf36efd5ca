package kuberhealthy

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Retention says how long pods of ended runs are kept, and how many.
type Retention struct {
	// MaxCompleted and MaxFailed are how many Succeeded and Failed pods of a check stay.
	MaxCompleted, MaxFailed int
	// MaxAge after which an ended pod goes whatever the counts; zero for never. MaxFailedAge is the same
	// for Failed pods alone.
	MaxAge, MaxFailedAge time.Duration
	// MinAge that any ended pod reaches before it goes.
	MinAge time.Duration
	// SinceEnd counts ages from the end of a pod, as version 2 does, and not from its creation.
	SinceEnd bool
	// MaxJobAge after whose creation an ended KuberhealthyJob goes.
	MaxJobAge time.Duration
}

// The least ages of version 2 (master: cmd/kuberhealthy/reaper.go).
const (
	minPodAgeV2 = 30 * time.Second
	minJobAge   = 5 * time.Minute
)

// DefaultRetentionV2 is what the configuration of Kuberhealthy 2's chart says (master:
// deploy/helm/kuberhealthy/values.yaml). Without any configuration Kuberhealthy itself keeps nothing.
func DefaultRetentionV2() Retention {
	return Retention{
		MaxCompleted: 4, MaxFailed: 4, MaxAge: 72 * time.Hour,
		MinAge: minPodAgeV2, SinceEnd: true, MaxJobAge: 15 * time.Minute,
	}
}

// DefaultRetentionV3 is version 3's (main: cmd/kuberhealthy/config.go).
func DefaultRetentionV3() Retention {
	return Retention{MaxCompleted: 1, MaxFailed: 2, MaxFailedAge: 36 * time.Hour}
}

// Expired returns those of one check's pods that are to be deleted, the oldest first, and when the next
// of the others will be for its age; zero where that is not in sight. Pods that have not ended are
// nobody's business here, and that of a run which goes on is not to be among them: its end may tell why
// there is no report.
func Expired(pods []*corev1.Pod, retention Retention, now time.Time) (expired []*corev1.Pod, next time.Time) {
	for phase, limit := range map[corev1.PodPhase]int{
		corev1.PodSucceeded: retention.MaxCompleted,
		corev1.PodFailed:    retention.MaxFailed,
	} {
		kept := 0
		for _, pod := range newestFirst(pods, phase) {
			since := podEnd(pod)
			ripe := since.Add(retention.MinAge)
			if !retention.SinceEnd {
				since = pod.CreationTimestamp.Time
			}
			if now.Before(ripe) {
				next = earliest(next, ripe)
				continue
			}
			limits := []time.Duration{retention.MaxAge}
			if phase == corev1.PodFailed {
				limits = append(limits, retention.MaxFailedAge)
			}
			until := time.Time{}
			for _, age := range limits {
				if age > 0 {
					until = earliest(until, since.Add(age))
				}
			}
			if kept >= limit || !until.IsZero() && now.After(until) {
				expired = append(expired, pod)
				continue
			}
			kept++
			// One tick later, for an age is passed when it is more.
			if !until.IsZero() {
				next = earliest(next, until.Add(time.Nanosecond))
			}
		}
	}
	slices.SortFunc(expired, byAge)
	return expired, next
}

// JobExpiry is when an ended KuberhealthyJob is to be deleted: when it is old enough, and everybody has
// had the time to see its result. It returns false for what has not ended.
func (r Retention) JobExpiry(job Check, state State) (time.Time, bool) {
	if job.Kind != KindJob || !job.Done {
		return time.Time{}, false
	}
	expiry := job.CreatedAt.Add(max(r.MaxJobAge, minJobAge))
	if state.Ended {
		if seen := state.EndedAt.Add(minJobAge); seen.After(expiry) {
			expiry = seen
		}
	}
	return expiry, true
}

func newestFirst(pods []*corev1.Pod, phase corev1.PodPhase) []*corev1.Pod {
	var ended []*corev1.Pod
	for _, pod := range pods {
		if pod.Status.Phase == phase && pod.DeletionTimestamp == nil {
			ended = append(ended, pod)
		}
	}
	slices.SortFunc(ended, func(a, b *corev1.Pod) int { return byAge(b, a) })
	return ended
}

func byAge(a, b *corev1.Pod) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// podEnd is when a pod ended: when its last container did, and for one that no container ran in, as one
// that was evicted at once, when its conditions last changed. It is never before its creation.
func podEnd(pod *corev1.Pod) time.Time {
	end := pod.CreationTimestamp.Time
	for _, status := range pod.Status.ContainerStatuses {
		if ended := status.State.Terminated; ended != nil {
			end = latest(end, ended.FinishedAt.Time)
		}
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		for _, condition := range pod.Status.Conditions {
			end = latest(end, condition.LastTransitionTime.Time)
		}
	}
	return end
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// earliest is the earlier of two times, of which zero stands for none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
