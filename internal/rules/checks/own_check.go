package checks

import (
	"cmp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

func ofCheck(o *v1alpha1.Check) *check {
	c := newCheck(o, "checks.maek.dev")
	c.spec = &o.Spec
	c.paused = c.paused || o.Spec.Suspend
	c.interval = time.Duration(o.Spec.PeriodSeconds) * time.Second
	c.timeout = time.Duration(cmp.Or(o.Spec.TimeoutSeconds, 1)) * time.Second
	c.offset = c.interval
	c.source, c.path = finding.Named(c.subject), ".status"
	if t := o.Spec.PodTemplate; t != nil {
		for _, container := range t.Spec.Containers {
			c.images = append(c.images, container.Image)
		}
	}
	if o.Spec.Synthetic != nil {
		c.images = append(c.images, o.Spec.Synthetic.Scenario)
	}
	c.takeStatus(&o.Status)
	c.staleAfter = time.Duration(o.Status.StaleAfterSeconds) * time.Second
	if c.interval == 0 {
		// A schedule has no period to reckon with: the operator says when its verdict is old.
		c.interval = c.staleAfter / staleIntervals
		c.paused = c.paused || c.staleAfter == 0
	}
	return c
}

// takeStatus takes in what the operator says of a Check.
func (c *check) takeStatus(status *v1alpha1.CheckStatus) {
	if stalled := condition(status.Conditions, v1alpha1.CheckStalled); stalled != nil && stalled.Status == metav1.ConditionTrue {
		c.problems = append(c.problems, problem{
			field: ".status.conditions[Stalled]", value: stalled.Reason + ": " + stalled.Message, stalled: stalled, idle: true,
			text: finding.Textf("it cannot run until somebody changes something (%s)", "무언가를 고치기 전에는 실행할 수 없습니다(%s)", finding.Quote(stalled.Reason)),
		})
	}
	if ready := condition(status.Conditions, v1alpha1.CheckReady); ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == v1alpha1.ReasonOverloaded {
		c.overloaded = ready
	}
	if status.ObservedAt != nil {
		c.endedAt = status.ObservedAt.Time
	}
	healthy := condition(status.Conditions, v1alpha1.CheckHealthy)
	switch {
	case healthy == nil:
	case healthy.Status == metav1.ConditionUnknown:
		c.takeUnknown(healthy)
	default:
		c.ok = healthy.Status == metav1.ConditionTrue
		c.endedAt = finding.Later(c.endedAt, healthy.LastTransitionTime.Time)
		if !c.ok {
			c.takeFailure(healthy, status)
		}
	}
	c.ended = !c.endedAt.IsZero() && (healthy == nil || healthy.Reason != v1alpha1.ReasonPending)
}

// takeUnknown takes in that nobody can tell how a Check stands.
func (c *check) takeUnknown(healthy *metav1.Condition) {
	switch healthy.Reason {
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonMaintenance:
		c.paused = true
	case v1alpha1.ReasonPending:
	default:
		c.unknown = healthy
	}
}

func (c *check) takeFailure(healthy *metav1.Condition, status *v1alpha1.CheckStatus) {
	c.since = healthy.LastTransitionTime.Time
	c.errors = append(c.errors, healthy.Message)
	c.failed = status.Failing
	c.reason = reason(healthy.Reason)
	if healthy.Reason == v1alpha1.ReasonRecovering {
		c.recovering = true
		if len(status.RecentFailures) > 0 {
			c.reason = reason(status.RecentFailures[0].Reason)
		}
	}
	for _, f := range status.Failing {
		c.errors = append(c.errors, strings.TrimSpace(f.Target+" "+f.Message))
	}
}
