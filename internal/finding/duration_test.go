package finding

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "40s": 40 * time.Second, "1m30s": 90 * time.Second, "10m": 10 * time.Minute, "2h": 2 * time.Hour, "1h5m": 65 * time.Minute,
		"1h0m1s": time.Hour + time.Second, "1.5s": 1500 * time.Millisecond, "-5m": -5 * time.Minute,
	} {
		if got := Duration(d); got != want {
			t.Errorf("%s is written %q, want %q", d, got, want)
		}
	}
}
