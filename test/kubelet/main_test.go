package kubelet_test

import "time"

// wallClock is the clock of tests whose servers are real.
func wallClock() time.Time { return time.Now() }
