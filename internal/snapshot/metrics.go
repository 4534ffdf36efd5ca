package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// MetricFamilies are the API server's metrics that rules read
// (https://kubernetes.io/docs/reference/instrumentation/metrics/), sorted. All others are dropped
// where they are read: the whole page is megabytes on a large cluster.
var MetricFamilies = []string{
	"apiserver_admission_webhook_fail_open_count",
	"apiserver_admission_webhook_rejection_count",
	"apiserver_flowcontrol_current_executing_seats",
	"apiserver_flowcontrol_current_inqueue_requests",
	"apiserver_flowcontrol_nominal_limit_seats",
	"apiserver_flowcontrol_rejected_requests_total",
	"apiserver_resource_objects",
	"apiserver_storage_objects",
	"apiserver_storage_size_bytes",
	"etcd_requests_total",
	"etcd_request_errors_total",
	"process_start_time_seconds",
}

// Sample is one value of a metric.
type Sample struct {
	// Labels of the sample.
	Labels map[string]string
	// Value in the metric's own unit.
	Value float64
}

// Metrics are samples by the name of their metric, in the order of the page.
type Metrics map[string][]Sample

// ParseMetrics reads counters and gauges from the Prometheus text format. With the error it returns
// what stands before the line that cannot be read: an answer may be cut at its limit.
func ParseMetrics(text string) (Metrics, error) {
	// A page that was cut ends within a line.
	if end := strings.LastIndexByte(text, '\n'); end >= 0 {
		text = text[:end+1]
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	out := Metrics{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			s := Sample{Labels: map[string]string{}}
			for _, l := range m.GetLabel() {
				s.Labels[l.GetName()] = l.GetValue()
			}
			switch {
			case m.GetCounter() != nil:
				s.Value = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				s.Value = m.GetGauge().GetValue()
			case m.GetUntyped() != nil:
				s.Value = m.GetUntyped().GetValue()
			default:
				continue
			}
			out[name] = append(out[name], s)
		}
	}
	if err != nil {
		return out, fmt.Errorf("reading metrics: %w", err)
	}
	return out, nil
}

// ObjectCounts are the numbers of stored objects by resource ("pods", "deployments.apps"), as the API
// server counts them once a minute. Resources that it failed to count are left out. Servers before
// 1.34 know only apiserver_storage_objects
// (k8s.io/apiserver/pkg/storage/etcd3/metrics, objectCounts and resourceObjects).
func (m Metrics) ObjectCounts() map[string]int {
	out := map[string]int{}
	for _, s := range m["apiserver_storage_objects"] {
		if s.Value >= 0 {
			out[s.Labels["resource"]] = int(s.Value)
		}
	}
	for _, s := range m["apiserver_resource_objects"] {
		resource := s.Labels["resource"]
		if group := s.Labels["group"]; group != "" {
			resource += "." + group
		}
		if s.Value >= 0 {
			out[resource] = int(s.Value)
		}
	}
	return out
}

// StorageSize is the size in bytes of the largest etcd database behind the API server; false where
// the metrics do not tell.
func (m Metrics) StorageSize() (int64, bool) {
	var largest float64
	for _, s := range m["apiserver_storage_size_bytes"] {
		largest = max(largest, s.Value)
	}
	return int64(largest), largest > 0
}

// Largest returns the resources with the most objects, at most n, the largest first.
func Largest(counts map[string]int, n int) []string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	return names[:min(n, len(names))]
}
