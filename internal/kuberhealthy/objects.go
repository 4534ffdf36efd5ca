package kuberhealthy

import (
	"fmt"
	"maps"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/finding"
)

// The kinds of objects that are checks.
const (
	KindCheck       = "KuberhealthyCheck"
	KindJob         = "KuberhealthyJob"
	KindHealthCheck = "HealthCheck"
)

// Bounds of intervals and timeouts. The lower keeps a check from spinning; the upper keeps sums of them
// far below what a time.Duration holds, and timeouts below what activeDeadlineSeconds may be
// (kubernetes: pkg/apis/core/validation, math.MaxInt32 seconds).
const (
	minDuration = time.Second
	maxDuration = 20 * 365 * 24 * time.Hour
)

// FromCheck reads a KuberhealthyCheck. What cannot be used in it is told in Warnings; it never fails.
// The maps and the PodSpec of the result may be the object's own: they are not to be written to.
func FromCheck(object *khv1.KuberhealthyCheck) Check {
	check := fromObject(V2, KindCheck, object)
	check.Interval = check.read("spec.runInterval", object.Spec.RunInterval, DefaultInterval)
	check.Timeout = check.read("spec.timeout", object.Spec.Timeout, DefaultTimeoutV2)
	check.PodLabels, check.PodAnnotations = object.Spec.ExtraLabels, object.Spec.ExtraAnnotations
	check.PodSpec = raw(object.Spec.PodSpec)
	check.compare()
	return check
}

// FromJob reads a KuberhealthyJob, as FromCheck does a check.
func FromJob(object *khv1.KuberhealthyJob) Check {
	check := fromObject(V2, KindJob, object)
	check.Once = true
	check.Done = object.Spec.Phase == khv1.JobCompleted
	check.Timeout = check.read("spec.timeout", object.Spec.Timeout, DefaultTimeoutV2)
	check.PodLabels, check.PodAnnotations = object.Spec.ExtraLabels, object.Spec.ExtraAnnotations
	check.PodSpec = raw(object.Spec.PodSpec)
	return check
}

// FromHealthCheck reads a HealthCheck, as FromCheck does a check. Other than Kuberhealthy 3, which never
// looks at it, it heeds singleRunOnly.
func FromHealthCheck(object *khv2.HealthCheck) Check {
	check := fromObject(V3, KindHealthCheck, object)
	check.Once = object.Spec.SingleRunOnly
	if !check.Once {
		check.Interval = check.read("spec.runInterval", object.Spec.RunInterval, DefaultInterval)
	}
	check.Timeout = check.read("spec.timeout", object.Spec.Timeout, DefaultTimeoutV3)
	check.PodLabels, check.PodAnnotations = object.Spec.ExtraLabels, object.Spec.ExtraAnnotations
	if template := object.Spec.PodSpec.Metadata; template != nil {
		check.PodLabels = over(template.Labels, object.Spec.ExtraLabels)
		check.PodAnnotations = over(template.Annotations, object.Spec.ExtraAnnotations)
	}
	check.PodSpec = raw(object.Spec.PodSpec.Spec)
	check.compare()
	return check
}

func fromObject(api API, kind string, object metav1.Object) Check {
	return Check{
		API:            api,
		Kind:           kind,
		NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()},
		UID:            object.GetUID(),
		Generation:     object.GetGeneration(),
		CreatedAt:      object.GetCreationTimestamp().Time,
		Deleting:       object.GetDeletionTimestamp() != nil,
		Labels:         object.GetLabels(),
	}
}

// read returns the duration that is written in a field, within bounds, and warns of what it had to
// replace. Kuberhealthy 2 takes a timeout that it cannot read for zero, so that every run fails at once,
// and dies of an interval that is not positive; nobody means either.
func (c *Check) read(field, written string, standard time.Duration) time.Duration {
	written = strings.TrimSpace(written)
	if written == "" {
		return standard
	}
	d, err := time.ParseDuration(written)
	switch {
	case err != nil:
		c.warn("%s %s is no duration such as 5m or 1h30m: %s stands for it", field, quote(written), finding.Duration(standard))
		return standard
	case d <= 0:
		c.warn("%s %s is not above zero: %s stands for it", field, quote(written), finding.Duration(standard))
		return standard
	case d < minDuration:
		c.warn("%s %s is too short: %s, the least there is, stands for it", field, quote(written), finding.Duration(minDuration))
		return minDuration
	case d > maxDuration:
		c.warn("%s %s is too long: %s, the most there is, stands for it", field, quote(written), finding.Duration(maxDuration))
		return maxDuration
	}
	return d
}

// compare warns of a timeout above the interval. It is kept: Kuberhealthy's own stock checks are so.
func (c *Check) compare() {
	if !c.Once && c.Timeout > c.Interval {
		c.warn("spec.timeout %s is above spec.runInterval %s: a run that takes longer than the interval delays the next one",
			finding.Duration(c.Timeout), finding.Duration(c.Interval))
	}
}

func (c *Check) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// over returns the entries of both maps; where both have a key, those of the second.
func over(base, extra map[string]string) map[string]string {
	if len(base) == 0 {
		return extra
	}
	merged := maps.Clone(base)
	maps.Copy(merged, extra)
	return merged
}

// raw is the JSON of an object that was read from an API server, which is never decoded further.
func raw(object runtime.RawExtension) []byte { return object.Raw }
