package synthetic

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// recentRestart is how long ago a restart may be to count: as long as the API server keeps Events by
	// default (kube-apiserver --event-ttl), which is what Kuberhealthy's check sees.
	recentRestart = time.Hour
	// recoveredAfter is how long a container has to run for the kubelet to forget that it crashed: twice
	// the longest back-off (k8s.io/kubernetes/pkg/kubelet, MaxCrashLoopBackOff).
	recoveredAfter = 10 * time.Minute
)

var podRestartsOptions = []Option{
	{Name: "POD_NAMESPACE", Doc: "Namespace of the pods; without it all namespaces."},
	{Name: "MAX_FAILURES_ALLOWED", Default: "10", Doc: "Number of restarts, or of back-offs, up to which a pod is left alone, 0 to 1000000."},
}

var podRestartsAccess = []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods", "events"}, Verbs: []string{"list"}}}

var _ = All.Add(Scenario{
	Name:          "pod-restarts",
	Doc:           "Looks for pods whose containers restart again and again, or whose images cannot be pulled. A failure names each of them, and why its container ended.",
	Images:        []string{"pod-restarts-check"},
	Options:       podRestartsOptions,
	Access:        podRestartsAccess,
	ClusterAccess: podRestartsAccess,
	Standing:      true,
	Time:          5 * time.Minute,
	Run:           runPodRestarts,
})

func runPodRestarts(ctx context.Context, env Environment) (Result, error) {
	o := env.read(podRestartsOptions)
	namespace, most := o.text("POD_NAMESPACE"), o.integer("MAX_FAILURES_ALLOWED", 0, 1000000)
	if err := o.err(); err != nil {
		return Result{}, err
	}
	var result Result
	now := env.Clock.Now()
	backOffs := map[types.UID]int{}
	// Kept by UID: the Events of a pod that is gone outlive it, and say nothing of a namesake.
	onlyBackOffs := metav1.ListOptions{FieldSelector: "involvedObject.kind=Pod,reason=BackOff,type=Warning"}
	err := each(ctx, env.Client, &corev1.EventList{}, "events", namespace, onlyBackOffs, func(e *corev1.Event) {
		if now.Sub(lastSeen(e)) <= recentRestart {
			backOffs[e.InvolvedObject.UID] = max(backOffs[e.InvolvedObject.UID], seen(e))
		}
	})
	switch {
	case denied(err):
		result.Notes = []string{"back-offs were not counted, restarts were: " + err.Error()}
	case err != nil:
		return Result{}, err
	}
	err = each(ctx, env.Client, &corev1.PodList{}, "pods", namespace, metav1.ListOptions{}, func(p *corev1.Pod) {
		if text := restarting(p, backOffs[p.UID], most, now); text != "" {
			result.Errors = append(result.Errors, text)
		}
	})
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

// restarting says that a pod restarts too much; empty where it does not, or not any more.
func restarting(p *corev1.Pod, backOffs, most int, now time.Time) string {
	if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return ""
	}
	var worst *corev1.ContainerStatus
	for status := range containers(p) {
		if !unsettled(status, now) {
			continue
		}
		if worst == nil || status.RestartCount > worst.RestartCount {
			worst = status
		}
	}
	switch {
	case worst == nil:
		return ""
	case backOffs > most:
		return fmt.Sprintf("Found: %d `BackOff` events for pod: %s in namespace: %s: container %s %s", backOffs, p.Name, p.Namespace, worst.Name, whyRestarted(worst))
	case int(worst.RestartCount) > most:
		return fmt.Sprintf("Found: %d restarts for pod: %s in namespace: %s: container %s %s", worst.RestartCount, p.Name, p.Namespace, worst.Name, whyRestarted(worst))
	}
	return ""
}

// unsettled tells whether a container is held back from starting now, or restarted a short while ago.
func unsettled(status *corev1.ContainerStatus, now time.Time) bool {
	switch {
	case status.State.Waiting != nil:
		return true
	case status.State.Running != nil:
		return status.RestartCount > 0 && now.Sub(status.State.Running.StartedAt.Time) < recoveredAfter
	case status.State.Terminated != nil:
		return status.State.Terminated.ExitCode != 0 && now.Sub(status.State.Terminated.FinishedAt.Time) < recentRestart
	}
	return false
}

// whyRestarted says how a container ended the last time, and what holds it now.
func whyRestarted(status *corev1.ContainerStatus) string {
	text := fmt.Sprintf("was restarted %d times", status.RestartCount)
	ended := status.LastTerminationState.Terminated
	if status.State.Terminated != nil {
		ended = status.State.Terminated
	}
	if ended != nil {
		text += fmt.Sprintf("; it last ended at %s with exit code %d (%s)", date(ended.FinishedAt.Time), ended.ExitCode, ended.Reason)
	}
	if waiting := status.State.Waiting; waiting != nil {
		text += "; it waits: " + waitingText(waiting)
	}
	return text
}

// lastSeen is when an Event last happened, in whichever of its fields it was written.
func lastSeen(e *corev1.Event) time.Time {
	at := e.CreationTimestamp.Time
	for _, t := range []time.Time{e.FirstTimestamp.Time, e.LastTimestamp.Time, e.EventTime.Time} {
		if t.After(at) {
			at = t
		}
	}
	if e.Series != nil && e.Series.LastObservedTime.After(at) {
		at = e.Series.LastObservedTime.Time
	}
	return at
}

// seen is how often an Event happened.
func seen(e *corev1.Event) int {
	n := int(e.Count)
	if e.Series != nil {
		n = max(n, int(e.Series.Count))
	}
	return max(1, n)
}
