package probe_test

import "time"

// wallClock is the clock of tests whose servers are real, or whose time is a bubble's.
func wallClock() time.Time { return time.Now() } //nolint:forbidigo // latencies of real connections
