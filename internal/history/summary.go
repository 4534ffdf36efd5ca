package history

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// count adds a run to the period that it began in. A run of a period that is older than all that are
// kept, where no more are kept, is not counted; that is one whose clock was set far back.
func count(periods []v1alpha1.OutcomeSummary, run v1alpha1.Outcome, length time.Duration, most int) []v1alpha1.OutcomeSummary {
	start := run.At.UTC().Truncate(length)
	at, found := slices.BinarySearchFunc(periods, start, func(p v1alpha1.OutcomeSummary, start time.Time) int {
		return start.Compare(p.Start.Time)
	})
	if !found {
		if at == most {
			return periods
		}
		periods = slices.Insert(periods, at, v1alpha1.OutcomeSummary{Start: metav1.NewTime(start)})
		periods = periods[:min(len(periods), most)]
	}
	add(&periods[at], run)
	return periods
}

func add(p *v1alpha1.OutcomeSummary, run v1alpha1.Outcome) {
	switch run.Result {
	case v1alpha1.ResultSuccess:
		sum := int64(p.MeanLatencyMilliseconds)*int64(p.Successes) + int64(run.LatencyMilliseconds)
		p.Successes++
		p.MeanLatencyMilliseconds = int32(sum / int64(p.Successes)) //nolint:gosec // a mean is no greater than the greatest of its parts
		p.MaxLatencyMilliseconds = max(p.MaxLatencyMilliseconds, run.LatencyMilliseconds)
	case v1alpha1.ResultFailure:
		p.Failures++
	default:
		p.Unknowns++
	}
}
