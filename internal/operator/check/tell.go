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
		reason, s.warned = eventStalled, true
	case shown.status == metav1.ConditionFalse:
		reason, note, s.warned = eventUnhealthy, shown.reason+": "+shown.message, true
	case shown.status == metav1.ConditionTrue && s.warned:
		kind, reason, note, s.warned = corev1.EventTypeNormal, eventRecovered, "the check is healthy again", false
	case shown.status == metav1.ConditionUnknown && !meant(shown.reason):
		reason, note, s.warned = eventUnknown, shown.reason+": "+shown.message, true
	default:
		return
	}
	object := s.check.DeepCopy()
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(Kind))
	c.o.Events.Eventf(object, nil, kind, reason, action, "%s", history.Cut(note, maxNote))
}

// warned tells whether the newest Event about a verdict that was taken over is a warning. A check whose first failures
// wait for their threshold is Unknown from the beginning: it never turned so, and no Event tells of it.
func (s *state) warned() bool {
	switch {
	case s.shown.status == metav1.ConditionFalse, s.shown.reason == v1alpha1.ReasonStalled:
		return true
	case s.shown.status == metav1.ConditionTrue:
		return false
	}
	return len(s.transitions) > 0 && s.transitions[0].Healthy == metav1.ConditionUnknown && !meant(s.transitions[0].Reason)
}

// meant tells that somebody wanted the verdict to be unknown, or that nobody could expect another yet.
func meant(reason string) bool {
	return reason == "" || reason == v1alpha1.ReasonSuspended || reason == v1alpha1.ReasonMaintenance || reason == v1alpha1.ReasonPending
}
