package workload

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// rolloutPatience is how long a pod of a StatefulSet or DaemonSet under rollout may stay unready, or
// be missing, before the rollout excuses nothing more: what a Deployment waits by default
// (progressDeadlineSeconds, 600 s), for these have no deadline of their own.
const rolloutPatience = 10 * time.Minute

// podCount is what a workload's own pods tell.
type podCount struct {
	// alive are the pods that are neither done nor being deleted.
	alive []*corev1.Pod
	// ready of them.
	ready int
	// starting are those within what their probes allow for a start.
	starting int
	// failing are the other ones, and settling the number of those that may yet become ready.
	failing  []*corev1.Pod
	settling int
	// since is when the first of failing ceased to be ready.
	since time.Time
	// changed is when the workload or one of its pods last changed in a way that can leave it
	// without a pod for a moment; zero where nothing says.
	changed time.Time
}

func countPods(p *rule.Pass, r replicas) podCount {
	all := p.PodsOf(r.subject)
	c := podCount{alive: alivePods(all), changed: lastChange(p, r, all)}
	for _, pod := range c.alive {
		if snapshot.PodReady(pod) {
			c.ready++
			continue
		}
		if p.PodStarting(pod) {
			c.starting++
			continue
		}
		u := unreadiness(pod)
		c.failing = append(c.failing, pod)
		c.since = finding.Earlier(c.since, u.since)
		if settles(p.Snapshot, pod, u) {
			c.settling++
		}
	}
	return c
}

// lastChange looks for the last time at which the workload was made or changed, or one of its pods
// was made, became ready or had to be gone. Never later than now: a pod may have time left to end.
func lastChange(p *rule.Pass, r replicas, pods []*corev1.Pod) time.Time {
	last := finding.Later(r.object.GetCreationTimestamp().Time, snapshot.SpecWritten(r.object))
	// A pod that is gone without a trace, as after an eviction, has changed the counts in the status.
	if _, counted := statusWritten(r.object); counted.After(last) {
		last = counted
	}
	for _, pod := range pods {
		last = finding.Later(last, pod.CreationTimestamp.Time)
		if pod.DeletionTimestamp != nil {
			last = finding.Later(last, pod.DeletionTimestamp.Time)
		} else if c := snapshot.PodCondition(pod, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue {
			last = finding.Later(last, c.LastTransitionTime.Time)
		}
	}
	for _, e := range p.EventsOf(r.subject) {
		if e.Reason == createdPod || e.Reason == deletedPod {
			last = finding.Later(last, snapshot.EventTime(e))
		}
	}
	if last.After(p.Now()) {
		return p.Now()
	}
	return last
}

func alivePods(pods []*corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil && !snapshot.PodDone(pod) {
			out = append(out, pod)
		}
	}
	return out
}

// missing is the number of pods that are not there at all.
func (c podCount) missing(r replicas) int { return max(0, r.desired-len(c.alive)) }

// spare is how many pods the workload may be without just now. Nothing rolls out while the
// controller manager is dead, nor while pods are refused.
func (c podCount) spare(now time.Time, r replicas, manager snapshot.Freshness) int {
	if !r.rollout || manager.State == snapshot.Dead || r.refusal != nil {
		return 0
	}
	if r.subject.Kind == "Deployment" {
		return r.spare // It has a deadline of its own.
	}
	if (!c.since.IsZero() && now.Sub(c.since) > rolloutPatience) || (c.missing(r) > 0 && now.Sub(c.changed) > rolloutPatience) {
		return 0
	}
	return r.spare
}
