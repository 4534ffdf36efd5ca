package probe_test

import (
	"os"
	"testing"
	"time"
)

// wallClock is the clock of tests whose servers are real, or whose time is a bubble's.
func wallClock() time.Time { return time.Now() } //nolint:forbidigo // latencies of real connections

func TestMain(m *testing.M) {
	if kind := os.Getenv(serverKind); kind != "" {
		serveBenchmarks(kind, os.Stdin, os.Stdout)
		return
	}
	os.Exit(m.Run())
}
