package check

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
)

// The reasons of Events.
const (
	eventUnhealthy = "Unhealthy"
	eventRecovered = "Recovered"
	eventUnknown   = "VerdictUnknown"
	eventStalled   = "Stalled"
)

// action of Events: what was being done.
const action = "Check"

// maxNote is how long the note of an Event may be (kubernetes: pkg/apis/core/validation/events.go,
// NoteLengthLimit).
const maxNote = 1024

// tell makes an Event of a verdict that was written and is another than the last that one was made of.
func (c *Controller) tell(s *subject, shown condition) {
	before := s.toldOf
	s.toldOf = shown
	stalled := shown.reason == v1alpha1.ReasonStalled
	if c.o.Events == nil || before.status == shown.status && stalled == (before.reason == v1alpha1.ReasonStalled) {
		return
	}
	var reason string
	kind, note := corev1.EventTypeWarning, shown.message
	switch {
	case stalled:
		reason = eventStalled
	case shown.status == metav1.ConditionFalse:
		reason, note = eventUnhealthy, shown.reason+": "+shown.message
	case shown.status == metav1.ConditionTrue && s.failedBefore(before):
		kind, reason, note = corev1.EventTypeNormal, eventRecovered, "the check is healthy again"
	case shown.status == metav1.ConditionUnknown && !meant(shown.reason):
		reason, note = eventUnknown, shown.reason+": "+shown.message
	default:
		return
	}
	object := s.check.DeepCopy()
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(Kind))
	c.o.Events.Eventf(object, nil, kind, reason, action, "%s", history.Cut(note, maxNote))
}

// failedBefore tells that the verdict before was no good one, and not only none yet.
func (s *subject) failedBefore(before condition) bool {
	return before.status == metav1.ConditionFalse || before.status == metav1.ConditionUnknown && !meant(before.reason)
}

// meant tells that somebody wanted the verdict to be unknown, or that nobody could expect another yet.
func meant(reason string) bool {
	return reason == "" || reason == v1alpha1.ReasonSuspended || reason == v1alpha1.ReasonMaintenance || reason == v1alpha1.ReasonPending
}
