package history

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// From reads the history that a record holds. It shares nothing with the record, and is within the
// bounds whatever the record holds.
func From(record *v1alpha1.CheckRecord) *History {
	record = record.DeepCopy()
	h := &History{
		Streak:      max(record.Streak, 0),
		Outcomes:    first(record.Outcomes, v1alpha1.MaxOutcomes),
		Hours:       ordered(record.Hours, v1alpha1.MaxHours),
		Days:        ordered(record.Days, v1alpha1.MaxDays),
		LastFailure: record.LastFailure,
	}
	// What is written of a check before there is a verdict is Unknown.
	if record.Healthy != metav1.ConditionUnknown {
		h.Healthy = record.Healthy
	}
	if record.Since != nil {
		h.Since = record.Since.Time
	}
	return h
}

// Into writes the history into a record, whose other fields it leaves alone. It shares nothing with the
// record.
func (h *History) Into(record *v1alpha1.CheckRecord) {
	record.Healthy = cmp.Or(h.Healthy, metav1.ConditionUnknown)
	record.Since = nil
	if !h.Since.IsZero() {
		record.Since = new(metav1.NewTime(h.Since))
	}
	record.Streak = h.Streak
	record.Outcomes = slices.Clone(h.Outcomes)
	record.Hours = slices.Clone(h.Hours)
	record.Days = slices.Clone(h.Days)
	record.LastFailure = h.LastFailure.DeepCopy()
}

func first[T any](all []T, most int) []T { return all[:min(len(all), most)] }

// ordered makes what count relies on true of a record that somebody else may have written.
func ordered(periods []v1alpha1.OutcomeSummary, most int) []v1alpha1.OutcomeSummary {
	slices.SortStableFunc(periods, func(a, b v1alpha1.OutcomeSummary) int { return b.Start.Compare(a.Start.Time) })
	periods = slices.CompactFunc(periods, func(a, b v1alpha1.OutcomeSummary) bool { return a.Start.Equal(&b.Start) })
	return first(periods, most)
}

// Last is when the newest run began; zero where there is none.
func (h *History) Last() time.Time {
	if len(h.Outcomes) == 0 {
		return time.Time{}
	}
	return h.Outcomes[0].At.Time
}
