package snapshot

import (
	"math"
	"slices"
	"strconv"
	"time"
)

// The names of samples of ContainerMetrics: the attempts of probes by result, how long those took that succeeded
// (k8s.io/kubernetes/pkg/kubelet/prober, prober_manager.go and worker.go: a failed attempt leaves no duration), and
// the periods in which a container with a limit of CPU was to run, and was held back
// (github.com/google/cadvisor/metrics/prometheus.go).
const (
	probeTotal       = "prober_probe_total"
	probeSeconds     = "prober_probe_duration_seconds_bucket"
	periodsTotal     = "container_cpu_cfs_periods_total"
	throttledPeriods = "container_cpu_cfs_throttled_periods_total"
)

// ContainerMetricFamilies are the names of the samples that an answer to ContainerMetrics holds.
var ContainerMetricFamilies = []string{probeTotal, probeSeconds, periodsTotal, throttledPeriods}

// ProbeCounts is what a kubelet has counted of one probe of a container since the pod is there, or since the
// kubelet was started last. Attempts that it threw away are counted nowhere.
type ProbeCounts struct {
	// Succeeded and Failed are numbers of attempts. Some of those that failed are of the container's start.
	Succeeded, Failed int
	// buckets are how many of the attempts that succeeded took at most so long, the shortest first.
	buckets []bucket
}

type bucket struct {
	most  time.Duration
	count float64
}

// ProbeCounts of a probe, by its kind as kubelets write it: "Liveness". False where the kubelet has counted no
// attempt.
func (m Metrics) ProbeCounts(kind string) (ProbeCounts, bool) {
	var c ProbeCounts
	for _, s := range m[probeTotal] {
		if s.Labels["probe_type"] != kind {
			continue
		}
		switch s.Labels["result"] {
		case "successful":
			c.Succeeded += int(s.Value)
		case "failed":
			c.Failed += int(s.Value)
		}
	}
	for _, s := range m[probeSeconds] {
		most, err := strconv.ParseFloat(s.Labels["le"], 64)
		if s.Labels["probe_type"] == kind && err == nil && !math.IsInf(most, 1) {
			c.buckets = append(c.buckets, bucket{time.Duration(most * float64(time.Second)), s.Value})
		}
	}
	slices.SortFunc(c.buckets, func(a, b bucket) int { return int(a.most - b.most) })
	return c, c.Succeeded+c.Failed > 0
}

// Slower is a time that more than a share of the attempts that succeeded took longer than, the longest that is
// known: kubelets count them by steps. It is 0 where nothing tells.
func (c ProbeCounts) Slower(share float64) time.Duration {
	var longest time.Duration
	for _, b := range c.buckets {
		if float64(c.Succeeded)-b.count > share*float64(c.Succeeded) {
			longest = b.most
		}
	}
	return longest
}

// Throttled is the share of the periods in which the container was to run and in which its limit of CPU held it
// back, since it was started; false where it has no limit, or nobody counted.
func (m Metrics) Throttled() (float64, bool) {
	var periods, throttled float64
	// There is one sample of each; a container that was started anew a moment ago may have two.
	for _, s := range m[periodsTotal] {
		periods += s.Value
	}
	for _, s := range m[throttledPeriods] {
		throttled += s.Value
	}
	if periods == 0 {
		return 0, false
	}
	return throttled / periods, true
}
