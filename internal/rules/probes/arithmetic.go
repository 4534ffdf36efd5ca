package probes

import (
	"fmt"
	"time"

	kubelet "github.com/maek-dev/maek/internal/probe"
)

// timing of the probe as the kubelet keeps it.
func (p probe) timing() kubelet.Timing { return kubelet.TimingOf(kubelet.Kind(p.said()), p.spec) }

// notices is how long a container that hangs goes unnoticed at most: the longest pause that its probe can bear.
func notices(t kubelet.Timing) time.Duration { return t.Detection(t.Timeout).Most }

// noticing is how [notices] comes to its seconds: "3 x 10 + 1 = 31", and "10 + 3 x 15 = 55" where attempts take
// longer than the period.
func noticing(t kubelet.Timing) string {
	failures, period, timeout := t.FailureThreshold, seconds(t.Period), seconds(t.Timeout)
	if t.Timeout > t.Period {
		return fmt.Sprintf("%d + %d x %d = %d", period, failures, timeout, seconds(notices(t)))
	}
	return fmt.Sprintf("%d x %d + %d = %d", failures, period, timeout, seconds(notices(t)))
}

// spare is how long a start may take at least before the probe kills it.
func spare(t kubelet.Timing) time.Duration { return t.StartupBudget(0).Least }

// budget is how long after its start a container that refuses every attempt is killed at the latest.
func budget(t kubelet.Timing) time.Duration { return t.StartupBudget(0).Most }

// sparing is how [spare] comes to its seconds: "(31 - 1) x 10 = 300".
func sparing(t kubelet.Timing) string {
	delay := ""
	if t.InitialDelay > 0 {
		delay = fmt.Sprintf("%d + ", seconds(t.InitialDelay))
	}
	return fmt.Sprintf("%s(%d - 1) x %d = %d", delay, t.FailureThreshold, seconds(t.Period), seconds(spare(t)))
}

// forStart is a startup probe of the same pace that spares a start of so long.
func forStart(t kubelet.Timing, start, delay time.Duration) kubelet.Timing {
	t.Kind, t.InitialDelay = kubelet.Startup, delay
	t.FailureThreshold = t.FailureThresholdFor(start, 0)
	return t
}

// slack is what clocks kept to the second, and the kubelet's own work, add to what a probe's timing says.
const slack = 3 * time.Second

// failedFromStart tells whether a container that a probe gave up after a run of this length cannot have
// answered it once: one success would have begun the count anew, and the run would have been longer.
func failedFromStart(t kubelet.Timing, run time.Duration) bool {
	return run >= spare(t)-slack && run <= t.StartupBudget(t.Timeout).Most+slack
}

// Recommended patience of probes: a liveness probe bears a minute, for a restart costs more than that, and a
// readiness probe half of it; neither gives an answer less than three seconds.
const (
	patientLiveness  = time.Minute
	patientReadiness = 30 * time.Second
	patientTimeout   = 3 * time.Second
)

// relaxed is the timing with which a probe bears what it should.
func relaxed(t kubelet.Timing) kubelet.Timing {
	bear := patientLiveness
	if t.Kind == kubelet.Readiness {
		bear = patientReadiness
	}
	// A timeout beyond the period would only put the next attempt off.
	t.Timeout = max(t.Timeout, min(max(patientTimeout, 2*t.Timeout), t.Period))
	return bearing(t, bear)
}

// bearing is the timing of the same pace that bears a pause of so long, and no less than it does already.
func bearing(t kubelet.Timing, pause time.Duration) kubelet.Timing {
	t.FailureThreshold = max(t.FailureThreshold, int((pause+t.Period-1)/t.Period))
	return t
}

// seconds of a duration, whole ones, as fields of probes and people count them.
func seconds(d time.Duration) int { return int(d.Round(time.Second) / time.Second) }
