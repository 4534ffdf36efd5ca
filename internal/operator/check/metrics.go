package check

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/probe/schedule"
)

// metrics tell of the Checks that this replica runs, so that sums over replicas are right. Of each check
// there are ten series, whatever it asks and finds, and none when it is gone: words of errors are in status.
type metrics struct {
	c *Controller

	healthy, unknown, runs, retries, skipped, duration, newest, writes *prometheus.Desc

	lag *prometheus.HistogramVec
}

func newMetrics(c *Controller) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("maek_"+name, help, labels, nil)
	}
	return &metrics{
		c: c,
		healthy: desc("check_healthy", "1 while the verdict of a Check is healthy, 0 while it is not, and NaN, which equals nothing, while nobody can tell.",
			"namespace", "check"),
		unknown:  desc("check_unknown", "1 while nobody can tell whether a Check is healthy: it is suspended, in maintenance, stalled, or without an answer.", "namespace", "check"),
		runs:     desc("check_results_total", "Runs of a Check that this replica made, by how they ended.", "namespace", "check", "result"),
		retries:  desc("check_retries_total", "Runs of a Check that failed without changing its verdict, because more of them have to fail in a row.", "namespace", "check"),
		skipped:  desc("check_skipped_runs_total", "Runs of a Check that were left out: because the one before went on, or the operator was overloaded.", "namespace", "check"),
		duration: desc("check_latency_seconds", "How long the answers to a Check took, of the slowest target where there are several.", "namespace", "check"),
		newest:   desc("check_last_run_timestamp_seconds", "When the newest run of a Check ended, in seconds since 1970.", "namespace", "check"),
		writes:   desc("check_status_writes_total", "Requests that wrote the status of a Check.", "outcome"),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "maek_probe_schedule_lag_seconds", Help: "How late runs of Checks began. That is the operator's own doing.",
			Buckets: []float64{0.001, 0.005, 0.015, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}, []string{"class"}),
	}
}

// Collector of the metrics.
func (c *Controller) Collector() prometheus.Collector { return c.metrics }

// begun takes note of how late a run began. Runs that were asked for have no time at which they are due.
func (m *metrics) begun(o schedule.Observation) {
	if !o.Slot.Asked {
		m.lag.WithLabelValues(string(o.Class)).Observe(o.Slot.Lag().Seconds())
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.healthy, m.unknown, m.runs, m.retries, m.skipped, m.duration, m.newest, m.writes} {
		out <- d
	}
	m.lag.Describe(out)
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.lag.Collect(out)
	for _, s := range m.c.all() {
		s.mu.Lock()
		if s.state != nil {
			m.collect(s, out)
		}
		s.mu.Unlock()
	}
	w := m.c.writes
	w.mu.Lock()
	defer w.mu.Unlock()
	out <- prometheus.MustNewConstMetric(m.writes, prometheus.CounterValue, float64(w.done), "success")
	out <- prometheus.MustNewConstMetric(m.writes, prometheus.CounterValue, float64(w.failed), "error")
}

// collect tells of one check. What is shown of the verdict is told, whether or not it could be written.
func (m *metrics) collect(s *subject, out chan<- prometheus.Metric) {
	namespace, name := s.check.Namespace, s.check.Name
	gauge := func(d *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, namespace, name)
	}
	counter := func(d *prometheus.Desc, value uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), append([]string{namespace, name}, labels...)...)
	}
	healthy, unknown := math.NaN(), 1.0
	switch s.state.shown.status {
	case metav1.ConditionTrue:
		healthy, unknown = 1, 0
	case metav1.ConditionFalse:
		healthy, unknown = 0, 0
	default:
	}
	gauge(m.healthy, healthy)
	gauge(m.unknown, unknown)
	counter(m.runs, s.counts.successes, "success")
	counter(m.runs, s.counts.failures, "failure")
	counter(m.runs, s.counts.unknowns, "unknown")
	counter(m.retries, s.counts.retries)
	counter(m.skipped, s.counts.skipped)
	out <- prometheus.MustNewConstSummary(m.duration, s.counts.ended, s.counts.seconds, nil, namespace, name)
	if !s.state.observedAt.IsZero() {
		gauge(m.newest, float64(s.state.observedAt.UnixMilli())/1000)
	}
}
