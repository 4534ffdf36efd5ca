package run

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

const (
	// claimWithin is how long a kubelet may take to take up a pod that was bound to its node; a kubelet
	// that is alive does so at once. It is also longer than the node controller takes to notice that one is
	// not (kubernetes: cmd/kube-controller-manager, --node-monitor-grace-period, 50 s).
	claimWithin = time.Minute
	// lookAgain is how often it is looked after that whether the node is lost. Nodes are not watched: no
	// healthy run needs to know them, and their status changes all the time.
	lookAgain = 30 * time.Second
)

// sight is how the node of a pod that nobody takes up was seen.
type sight struct {
	pod types.UID
	at  time.Time
	// lost says why the node is taken for lost; empty where it is not, or where nobody may look.
	lost string
}

// unclaimed tells that no kubelet has taken up a pod since it was bound to its node, so that none of its
// containers can have run: a kubelet writes startTime first of all.
func unclaimed(pod *corev1.Pod) (since time.Time, ok bool) {
	if pod.Spec.NodeName == "" || pod.Status.StartTime != nil || len(pod.Status.ContainerStatuses) > 0 || checkerpod.Done(pod) {
		return time.Time{}, false
	}
	since = pod.CreationTimestamp.Time
	if c := checkerpod.Condition(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionTrue {
		since = later(since, c.LastTransitionTime.Time)
	}
	return since, true
}

// claim is what is to be done for a pod that nobody takes up: a look at its node, or an end of the run,
// which need not wait for a report that cannot come.
func (v view) claim(pod *corev1.Pod) (next step, decided bool, wake time.Time) {
	since, ok := unclaimed(pod)
	if !ok {
		return step{}, false, time.Time{}
	}
	at := since.Add(claimWithin)
	seen := v.sight.pod == pod.UID
	if seen {
		at = later(at, v.sight.at.Add(lookAgain))
	}
	switch {
	case seen && v.sight.lost != "":
		return step{action: fail, pod: pod, failure: checkerpod.Failure{Reason: checkerpod.NodeLost, Message: fmt.Sprintf(
			"the checker pod %s was bound to %s, which has not taken it up since: %s", pod.Name, checkerpod.Node(pod), v.sight.lost,
		)}}, true, time.Time{}
	case v.now.Before(at):
		return step{}, false, at
	}
	return step{action: look, pod: pod}, true, time.Time{}
}

// look finds out whether the node of a pod is lost.
func (e *Engine) look(ctx context.Context, s *subject, pod *corev1.Pod, now time.Time) error {
	seen := sight{pod: pod.UID, at: now}
	if e.o.Witness != nil {
		found, err := e.o.Witness.Node(ctx, pod.Spec.NodeName)
		switch {
		case err != nil && checkerpod.Unanswered(err):
			return err
		case err != nil:
			e.o.Log.Debug("a node cannot be read", "node", pod.Spec.NodeName, "error", err)
		default:
			seen.lost = checkerpod.Clean(checkerpod.Lost(found))
		}
	}
	e.memory.note(s.check.UID, func(n *note) { n.sight = seen })
	return nil
}
