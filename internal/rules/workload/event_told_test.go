package workload

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAnEventIsToldWithItsCountAndAge(t *testing.T) {
	start := metav1.NewTime(time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC))
	end := metav1.NewTime(start.Add(19 * time.Minute))
	for name, tc := range map[string]struct {
		event corev1.Event
		want  string
	}{
		"once":                         {corev1.Event{Message: "m", Count: 1, FirstTimestamp: start, LastTimestamp: end}, "m"},
		"often":                        {corev1.Event{Message: "m", Count: 90, FirstTimestamp: start, LastTimestamp: end}, "m (x90 over 19m)"},
		"as a series":                  {corev1.Event{Message: "m", EventTime: metav1.MicroTime(start), Series: &corev1.EventSeries{Count: 4, LastObservedTime: metav1.MicroTime(end)}}, "m (x4 over 19m)"},
		"from when is not known":       {corev1.Event{Message: "m", Count: 4, LastTimestamp: end}, "m (x4)"},
		"the clock went back meantime": {corev1.Event{Message: "m", Count: 4, FirstTimestamp: end, LastTimestamp: start}, "m (x4)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := told(&tc.event); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
