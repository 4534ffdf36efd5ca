package stage

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/snapshot"
)

// longestReason bounds what a pod's own words add to a sentence, in bytes.
const longestReason = 400

// EventUID is the field of Events by which those of one object are chosen:
// https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/core/event/strategy.go
const EventUID = "involvedObject.uid"

// WhyNot says why a pod is not running and ready, from its status and, where that says nothing, from
// its Events; it takes up "is" or "has" after the pod's name. Events that may not be read are done
// without. It returns "" for a pod that is ready.
func WhyNot(ctx context.Context, c client.Reader, p *corev1.Pod) string {
	if snapshot.PodReady(p) && p.DeletionTimestamp.IsZero() {
		return ""
	}
	if why := ended(p); why != "" {
		return why
	}
	if p.Spec.NodeName == "" {
		return unscheduled(ctx, c, p)
	}
	for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range statuses {
			if why := container(&statuses[i]); why != "" {
				return why
			}
		}
	}
	if warning := LastWarning(ctx, c, p); warning != "" {
		return "is not ready: " + warning
	}
	switch {
	case len(p.Status.ContainerStatuses) == 0 && len(p.Status.InitContainerStatuses) == 0:
		return "has not been taken up by the kubelet of node " + p.Spec.NodeName
	case p.Status.Phase == corev1.PodPending:
		return "is still having its containers created on node " + p.Spec.NodeName
	}
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Message != "" {
			return "is not ready: " + shorten(condition.Message)
		}
	}
	return "runs and is not ready"
}

func ended(p *corev1.Pod) string {
	switch {
	case p.Status.Phase == corev1.PodFailed && p.Status.Reason != "":
		return "has failed: " + join(p.Status.Reason, p.Status.Message)
	case p.Status.Phase == corev1.PodFailed:
		for i := range p.Status.ContainerStatuses {
			if t := p.Status.ContainerStatuses[i].State.Terminated; t != nil && t.ExitCode != 0 {
				return "has failed: " + exit(p.Status.ContainerStatuses[i].Name, t)
			}
		}
		return "has failed: " + cmp.Or(shorten(p.Status.Message), "no container says why")
	case p.Status.Phase == corev1.PodSucceeded:
		return "has ended"
	case !p.DeletionTimestamp.IsZero():
		return "is being deleted since " + p.DeletionTimestamp.UTC().Format(time.RFC3339)
	}
	return ""
}

func unscheduled(ctx context.Context, c client.Reader, p *corev1.Pod) string {
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return "has no node: " + join(condition.Reason, condition.Message)
		}
	}
	if warning := LastWarning(ctx, c, p); warning != "" {
		return "has no node: " + warning
	}
	return "has no node, and no scheduler has said a word about it"
}

// container tells why one is not well: what the kubelet says of it, not that it is still being made.
func container(s *corev1.ContainerStatus) string {
	if w := s.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
		why := fmt.Sprintf("waits with container %s: %s", s.Name, join(w.Reason, w.Message))
		if t := s.LastTerminationState.Terminated; t != nil {
			why += "; before that, " + exit(s.Name, t)
		}
		return why
	}
	if t := s.State.Terminated; t != nil && t.ExitCode != 0 {
		return "is not ready: " + exit(s.Name, t)
	}
	return ""
}

func exit(name string, t *corev1.ContainerStateTerminated) string {
	why := fmt.Sprintf("container %s ended with code %d", name, t.ExitCode)
	if t.Reason != "" && t.Reason != "Error" {
		why += " (" + t.Reason + ")"
	}
	if t.Message != "" {
		why += ": " + shorten(t.Message)
	}
	return why
}

// LastWarning gives the newest Event of type Warning about an object, as "reason: message"; "" where
// there is none, or Events may not be read.
func LastWarning(ctx context.Context, c client.Reader, o client.Object) string {
	return newest(ctx, c, o, func(e *corev1.Event) bool { return e.Type == corev1.EventTypeWarning })
}

// LastWord is LastWarning, or where nothing warns the newest Event of any type: that a claim waits for a
// provisioner is said in one that is Normal.
func LastWord(ctx context.Context, c client.Reader, o client.Object) string {
	if warning := LastWarning(ctx, c, o); warning != "" {
		return warning
	}
	return newest(ctx, c, o, func(*corev1.Event) bool { return true })
}

func newest(ctx context.Context, c client.Reader, o client.Object, wanted func(*corev1.Event) bool) string {
	var events corev1.EventList
	// Events of what has no namespace are in "default"; a list of all namespaces may not be allowed.
	namespace := cmp.Or(o.GetNamespace(), metav1.NamespaceDefault)
	err := c.List(ctx, &events, client.InNamespace(namespace), client.MatchingFields{EventUID: string(o.GetUID())})
	if err != nil {
		return ""
	}
	var last *corev1.Event
	for i := range events.Items {
		e := &events.Items[i]
		if wanted(e) && (last == nil || snapshot.EventTime(e).After(snapshot.EventTime(last))) {
			last = e
		}
	}
	if last == nil {
		return ""
	}
	return join(last.Reason, last.Message)
}

func join(reason, message string) string {
	if message == "" {
		return reason
	}
	return reason + ": " + shorten(message)
}

// shorten makes one line of a text, and cuts it.
func shorten(text string) string {
	text = strings.TrimRight(strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " "), ".")
	if len(text) <= longestReason {
		return text
	}
	return strings.ToValidUTF8(text[:longestReason], "") + " ..."
}
