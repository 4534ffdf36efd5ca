package inservice

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// PauseAnnotation on a namespace, with the value PauseValue, keeps all of its pods in service.
const (
	PauseAnnotation = "maek.dev/in-service"
	PauseValue      = "paused"
)

// bounds are what the policies for a namespace come to.
type bounds struct {
	// known is false where the policies could not be read: then nobody is taken out.
	known bool
	// enforce tells that some policy lets checks act, and paused that some policy or the namespace forbids it.
	enforce, paused bool

	maxFailingPercent, maxOut, maxTimesADay int
	apart, longest                          time.Duration
	// hours are those of each policy that has some; one of each must be open.
	hours []hours
}

// hours are the times at which a policy lets pods be taken out.
type hours struct {
	policy  string
	windows []v1alpha1.MaintenanceWindow
}

// closed says that a time lies outside of the hours of a policy, or that these cannot be read; it is empty
// where it lies in those of all.
func (b bounds) closed(within Within, at time.Time) string {
	for _, h := range b.hours {
		in, err := within(h.windows, at)
		switch {
		case err != nil:
			return fmt.Sprintf("the hours of CheckPolicy %s cannot be read: %v", h.policy, err)
		case !in:
			return fmt.Sprintf("CheckPolicy %s has no window open (spec.takeOutOfService.windows)", h.policy)
		}
	}
	return ""
}

// boundsOf joins the policies that select a namespace: the strictest bounds hold, and any that is paused
// pauses. A policy whose selector is none pauses everything rather than nothing.
func boundsOf(namespace *corev1.Namespace, policies []v1alpha1.CheckPolicy) (bounds, error) {
	b := bounds{
		known: true, maxFailingPercent: 30, maxOut: 5, maxTimesADay: 3,
		apart: 5 * time.Minute, longest: 30 * time.Minute,
	}
	b.paused = namespace.Annotations[PauseAnnotation] == PauseValue
	first := true
	for i := range policies {
		p := &policies[i]
		t := p.Spec.TakeOutOfService
		if t == nil {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(&p.Spec.NamespaceSelector)
		if err != nil {
			return bounds{}, fmt.Errorf("reading the namespaceSelector of CheckPolicy %s: %w", p.Name, err)
		}
		if !selector.Matches(labels.Set(namespace.Labels)) {
			continue
		}
		b.enforce = b.enforce || t.Mode == v1alpha1.ModeEnforce
		b.paused = b.paused || t.Paused
		if len(t.Windows) > 0 {
			b.hours = append(b.hours, hours{policy: p.Name, windows: t.Windows})
		}
		own := boundsIn(t)
		if first {
			b.maxFailingPercent, b.maxOut, b.maxTimesADay = own.maxFailingPercent, own.maxOut, own.maxTimesADay
			b.apart, b.longest = own.apart, own.longest
			first = false
			continue
		}
		b.maxFailingPercent = min(b.maxFailingPercent, own.maxFailingPercent)
		b.maxOut = min(b.maxOut, own.maxOut)
		b.maxTimesADay = min(b.maxTimesADay, own.maxTimesADay)
		b.apart = max(b.apart, own.apart)
		b.longest = min(b.longest, own.longest)
	}
	return b, nil
}

// boundsIn reads one policy. Zero stands for the default, as in objects that no API server has completed
// (api/maek/v1alpha1/checkpolicy_types.go).
func boundsIn(t *v1alpha1.TakeOutOfServicePolicy) bounds {
	or := func(value, standard int32) int {
		if value <= 0 {
			return int(standard)
		}
		return int(value)
	}
	return bounds{
		maxFailingPercent: or(t.MaxFailingPercent, 30),
		maxOut:            or(t.MaxOut, 5),
		maxTimesADay:      or(t.MaxTimesADay, 3),
		apart:             time.Duration(or(t.SecondsApart, 300)) * time.Second,
		longest:           time.Duration(or(t.MaxSeconds, 1800)) * time.Second,
	}
}

// dryRun tells whether a check's actions are only told of in a namespace of these bounds.
func (b bounds) dryRun(check *v1alpha1.Check) bool {
	return !b.known || !b.enforce || check.Spec.TakeOutOfService.Mode != v1alpha1.ModeEnforce
}
