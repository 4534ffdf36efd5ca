package kuberhealthy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// durationBuckets of runs, in seconds (main: internal/metrics/exporter.go, histogramBuckets).
var durationBuckets = []float64{1, 5, 10, 30, 60, 120, 300}

// Reaped is why a checker pod was deleted, in Kuberhealthy 3's words.
type Reaped string

// Why pods are deleted.
const (
	// ReapedTimeout: it still ran after its run was over.
	ReapedTimeout Reaped = "timeout"
	// ReapedCompleted: more pods that ended well were there than are kept.
	ReapedCompleted Reaped = "completed"
	// ReapedFailed: more pods that failed were there than are kept, or it was kept long enough.
	ReapedFailed Reaped = "failed"
	// ReapedExpired: it was older than any pod is kept.
	ReapedExpired Reaped = "expired"
)

// RunMetrics counts what a replica does with runs, while it does it. Of version 3's metrics those about
// its loops, kuberhealthy_scheduler_loop_duration_seconds and kuberhealthy_reaper_last_sweep_duration_seconds,
// have no counterpart: there are no loops. It is the only thing in this
// package with a memory: what has been counted is in no object. Register it where metrics are gathered.
// It may be used by many at once.
type RunMetrics struct {
	histogram  prometheus.Histogram
	durations  *prometheus.HistogramVec
	ended      *prometheus.CounterVec
	lag        *prometheus.HistogramVec
	skipped    *prometheus.CounterVec
	reaped     *prometheus.CounterVec
	collectors []prometheus.Collector
}

// NewRunMetrics makes a RunMetrics that has counted nothing yet.
func NewRunMetrics() *RunMetrics {
	m := &RunMetrics{
		histogram: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kuberhealthy_check_run_duration_seconds", Buckets: durationBuckets,
			Help: "Bucketed distribution of check run durations",
		}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "maek_check_run_duration_seconds", Buckets: durationBuckets,
			Help: "How long runs took that ended on this replica, from their start to their report, by API.",
		}, []string{"api"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maek_check_runs_total",
			Help: "How many runs ended on this replica, by API, result (OK, Failed) and, of those that failed, the reason.",
		}, []string{"api", "result", "reason"}),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "maek_check_start_lag_seconds", Buckets: []float64{.01, .05, .1, .5, 1, 5, 15, 60, 300},
			Help: "How long after they were due runs were begun on this replica, by API.",
		}, []string{"api"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maek_check_runs_skipped_total",
			Help: "How many runs of this replica's checks were due while an earlier one was late or went on, and were never begun, by API.",
		}, []string{"api"}),
		reaped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kuberhealthy_reaper_deleted_pods_total",
			Help: "Shows the total pods deleted by the reaper",
		}, []string{"reason"}),
	}
	m.collectors = []prometheus.Collector{m.histogram, m.durations, m.ended, m.lag, m.skipped, m.reaped}
	return m
}

// Began counts a run that was begun so long after it was due, and the runs that were due meanwhile: they
// are never made up for. A nil RunMetrics counts nothing.
func (m *RunMetrics) Began(check Check, lag time.Duration) {
	if m == nil {
		return
	}
	lag = max(lag, 0)
	m.lag.WithLabelValues(apiLabel(check.API)).Observe(lag.Seconds())
	if check.Interval > 0 {
		m.skipped.WithLabelValues(apiLabel(check.API)).Add(float64(lag / check.Interval))
	}
}

// Ended counts a run that was reported or given up after so long. Reason is one word of a closed set that
// says why it failed; it is empty for a run that ended well. A nil RunMetrics counts nothing.
func (m *RunMetrics) Ended(check Check, reason string, took time.Duration) {
	if m == nil {
		return
	}
	result := "OK"
	if reason != "" {
		result = "Failed"
	}
	m.ended.WithLabelValues(apiLabel(check.API), result, reason).Inc()
	m.durations.WithLabelValues(apiLabel(check.API)).Observe(took.Seconds())
	if check.API == V3 {
		m.histogram.Observe(took.Seconds())
	}
}

// Reaped counts a deleted checker pod. A nil RunMetrics counts nothing.
func (m *RunMetrics) Reaped(reason Reaped) {
	if m != nil {
		m.reaped.WithLabelValues(string(reason)).Inc()
	}
}

// Describe lists the metrics.
func (m *RunMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range m.collectors {
		c.Describe(out)
	}
}

// Collect gives the values.
func (m *RunMetrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range m.collectors {
		c.Collect(out)
	}
}

// apiLabel is an API as a label of ours says it.
func apiLabel(api API) string {
	if api == V2 {
		return "v2"
	}
	return "v3"
}
