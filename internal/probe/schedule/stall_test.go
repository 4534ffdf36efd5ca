package schedule

import (
	"testing"
	"time"
)

func TestUnheard(t *testing.T) {
	for name, tc := range map[string]struct {
		stalled, waited time.Duration
		want            bool
	}{
		"a process that got on heard all there was":   {0, time.Second, false},
		"a moment is no reason":                       {100 * time.Millisecond, time.Second, false},
		"more than a tenth of the wait is one":        {101 * time.Millisecond, time.Second, true},
		"so is the whole of it":                       {time.Second, time.Second, true},
		"who did not wait and stood still heard none": {time.Millisecond, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Unheard(tc.stalled, tc.waited); got != tc.want {
				t.Errorf("Unheard(%v, %v) = %t", tc.stalled, tc.waited, got)
			}
		})
	}
}
