package workload

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// told is the message of an Event with how often it came and for how long, in the way of kubectl:
// "message (x9 over 38m)"; without the time where the Event does not say when it was first seen.
func told(e *corev1.Event) string {
	message, count := finding.Quote(e.Message), e.Count
	if e.Series != nil {
		count = e.Series.Count
	}
	if count < 2 {
		return message
	}
	start := snapshot.EventStart(e)
	lasted := snapshot.EventTime(e).Sub(start)
	if start.IsZero() || lasted <= 0 {
		return fmt.Sprintf("%s (x%d)", message, count)
	}
	return fmt.Sprintf("%s (x%d over %s)", message, count, duration.HumanDuration(lasted))
}
