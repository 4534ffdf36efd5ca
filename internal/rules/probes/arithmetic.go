package probes

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// timing is a probe's timing with the API server's defaults in place of what is not set
// (k8s.io/kubernetes/pkg/apis/core/v1/defaults.go, SetDefaults_Probe).
type timing struct {
	delay, period, timeout time.Duration
	failures               int
}

func timingOf(p *corev1.Probe) timing {
	return timing{
		delay:    time.Duration(p.InitialDelaySeconds) * time.Second,
		period:   time.Duration(positive(p.PeriodSeconds, 10)) * time.Second,
		timeout:  time.Duration(positive(p.TimeoutSeconds, 1)) * time.Second,
		failures: int(positive(p.FailureThreshold, 3)),
	}
}

func positive(n, otherwise int32) int32 {
	if n > 0 {
		return n
	}
	return otherwise
}

// budget is how long after its start a container that does not answer is given up at the latest: the
// first probe comes within one period of the delay, and the last that counts is failures-1 periods later
// (k8s.io/kubernetes/pkg/kubelet/prober/worker.go, doProbe). Answers that never come add a timeout.
func (t timing) budget() time.Duration { return t.delay + time.Duration(t.failures)*t.period }

// earliest is how long after its start a container that does not answer is given up at the earliest.
func (t timing) earliest() time.Duration { return t.delay + time.Duration(t.failures-1)*t.period }

// detection is how long a container that stops to answer goes unnoticed at most.
func (t timing) detection() time.Duration { return time.Duration(t.failures)*t.period + t.timeout }

// slack is what clocks kept to the second, and the kubelet's own work, add to what a probe's timing says.
const slack = 3 * time.Second

// failedFromStart tells whether a container that a probe gave up after a run of this length cannot have
// answered it once: one success would have begun the count anew, and the run would have been longer.
func (t timing) failedFromStart(run time.Duration) bool {
	return run >= t.earliest()-slack && run <= t.budget()+t.timeout+slack
}

// seconds of a duration, whole ones, as fields of probes and people count them.
func seconds(d time.Duration) int { return int(d.Round(time.Second) / time.Second) }

// duration of a number of seconds.
func duration(seconds int) time.Duration { return time.Duration(seconds) * time.Second }

// failuresFor is the failureThreshold with which a probe of a period bears a time.
func failuresFor(bear, period time.Duration) int { return int((bear + period - 1) / period) }
