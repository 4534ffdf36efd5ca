package kuberhealthy

import (
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// family collects the metrics of one name.
type family struct{ *dto.MetricFamily }

// families are all that a Status tells of. Names, types and help are Kuberhealthy's (master:
// pkg/metrics/exporter.go; main: internal/metrics/exporter.go), but for those of ours.
type families struct {
	running, clusterState, leader, due                     *family
	check, checkDuration, job, jobDuration                 *family
	consecutiveFailures, successes, failures, sinceSuccess *family
	verdict, overdue, lastResult                           *family
	all                                                    []*family
}

// newFamilies makes room for the metrics of so many checks.
func newFamilies(checks int) *families {
	m := &families{}
	add := func(name, help string, kind dto.MetricType, room int) *family {
		f := &family{&dto.MetricFamily{Name: &name, Help: &help, Type: &kind, Metric: make([]*dto.Metric, 0, room)}}
		m.all = append(m.all, f)
		return f
	}
	gauge, counter := dto.MetricType_GAUGE, dto.MetricType_COUNTER
	m.running = add("kuberhealthy_running", "Shows if kuberhealthy is running error free", gauge, 1)
	m.clusterState = add("kuberhealthy_cluster_state", "Shows the status of the cluster", gauge, 1)
	m.leader = add("kuberhealthy_controller_leader", "Shows whether this controller instance is the elected leader", gauge, 1)
	m.due = add("kuberhealthy_scheduler_due_checks", "Shows the number of checks that were due in the last scheduling loop", gauge, 1)
	m.check = add("kuberhealthy_check", "Shows the status of a Kuberhealthy check", gauge, checks)
	m.checkDuration = add("kuberhealthy_check_duration_seconds", "Shows the check run duration of a Kuberhealthy check", gauge, checks)
	m.job = add("kuberhealthy_job", "Shows the status of a Kuberhealthy job", gauge, 0)
	m.jobDuration = add("kuberhealthy_job_duration_seconds", "Shows the job run duration of a Kuberhealthy job", gauge, 0)
	m.consecutiveFailures = add("kuberhealthy_check_consecutive_failures", "Shows the number of consecutive failures for a Kuberhealthy check", gauge, checks)
	m.successes = add("kuberhealthy_check_success_total", "Shows the total number of successful runs for a check", counter, checks)
	m.failures = add("kuberhealthy_check_failure_total", "Shows the total number of failed runs for a check", counter, checks)
	m.sinceSuccess = add("kuberhealthy_check_seconds_since_success", "Shows time since the last OK report for a check", gauge, checks)
	m.verdict = add("maek_check_verdict", "What is known of a check: 1 all is well, 0 it is not, -1 nobody knows, for it has no result or too old a one.", gauge, checks)
	m.overdue = add("maek_check_overdue_seconds", "How long ago a check's run should have begun that has not.", gauge, checks)
	m.lastResult = add("maek_check_last_result_timestamp_seconds", "When a check's newest run ended.", gauge, checks)
	return m
}

// filled are the families that have metrics: one without any is malformed.
func (m *families) filled() []*dto.MetricFamily {
	var filled []*dto.MetricFamily
	for _, f := range m.all {
		if len(f.Metric) > 0 {
			filled = append(filled, f.MetricFamily)
		}
	}
	slices.SortFunc(filled, func(a, b *dto.MetricFamily) int {
		return strings.Compare(a.GetName(), b.GetName())
	})
	return filled
}

// gauge adds a value. The labels are in the order of their names, and may be shared.
func (f *family) gauge(value float64, labels ...*dto.LabelPair) {
	f.Metric = append(f.Metric, &dto.Metric{Label: labels, Gauge: &dto.Gauge{Value: &value}})
}

// counter adds a value that only grows.
func (f *family) counter(value float64, labels ...*dto.LabelPair) {
	f.Metric = append(f.Metric, &dto.Metric{Label: labels, Counter: &dto.Counter{Value: &value}})
}

// metricPair is a label. Names are ASCII; so are the names and namespaces of objects.
func metricPair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }
