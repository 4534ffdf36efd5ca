// Package metrics tells Prometheus of an agent: how its monitors do, what is wrong with its machine in
// node-problem-detector's metrics, and what it asks of the API server.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/maek-dev/maek/internal/agent/condition"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/monitor"
)

// Source is where the values come from.
type Source struct {
	// Version of the program.
	Version string
	// Monitors and how they do.
	Monitors func() []monitor.State
	// Diagnose says what is wrong with the machine.
	Diagnose func() diagnosis.Diagnosis
	// Problems in node-problem-detector's words.
	Problems func() condition.Problems
	// Rules tells how often they ran, and how long it took together.
	Rules func() (runs int, spent time.Duration)
	// Requests sent to the API server, by verb; nil where there is none.
	Requests func() map[string]int64
}

// Handler serves the metrics.
func Handler(s Source) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(),
		collector{s},
	)
	// One look at a time is enough, and a look that fails in part still tells the rest.
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, ErrorHandling: promhttp.ContinueOnError})
}

// collector makes metrics of what is known when they are asked for.
type collector struct{ Source }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// The metrics. Labels are names of monitors, of rules and of conditions: their number is the program's own.
var (
	build    = describe("maek_agent_build_info", "The agent's version; the value is 1.", "version")
	looks    = describe("maek_agent_monitor_looks_total", "How often a monitor looked.", "monitor")
	seconds  = describe("maek_agent_monitor_seconds_total", "How long a monitor looked, all looks together.", "monitor")
	gaps     = describe("maek_agent_monitor_gaps", "How many things a monitor could not read at its last look.", "monitor")
	stuck    = describe("maek_agent_monitor_stuck", "Whether a monitor hangs (1) or not (0).", "monitor")
	last     = describe("maek_agent_monitor_last_look_timestamp_seconds", "When a monitor last answered.", "monitor")
	findings = describe("maek_agent_findings", "How many findings of a rule the machine has.", "code", "severity")
	runs     = describe("maek_agent_rules_runs_total", "How often the rules judged the machine.")
	spent    = describe("maek_agent_rules_seconds_total", "How long the rules took, all runs together.")
	requests = describe("maek_agent_apiserver_requests_total", "Requests that the agent sent to the API server.", "verb")
	// As node-problem-detector has them (pkg/problemmetrics/problem_metrics.go).
	problemGauge   = describe("problem_gauge", "Whether a specific type of problem is affecting the node or not.", "type", "reason")
	problemCounter = describe("problem_counter", "Number of times a specific type of problem have occurred.", "reason")
)

// Describe lists the metrics.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{build, looks, seconds, gaps, stuck, last, findings, runs, spent, requests, problemGauge, problemCounter} {
		out <- d
	}
}

// Collect makes the values.
func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	count := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	gauge(build, 1, c.Version)
	for _, m := range c.Monitors() {
		count(looks, float64(m.Looks), m.Monitor)
		count(seconds, m.Spent.Seconds(), m.Monitor)
		gauge(gaps, float64(m.Gaps), m.Monitor)
		gauge(stuck, truth(m.Stuck), m.Monitor)
		if !m.Read.IsZero() {
			gauge(last, float64(m.Read.UnixMilli())/1000, m.Monitor)
		}
	}
	type row struct{ code, severity string }
	counts := map[row]int{}
	for _, f := range c.Diagnose().Findings {
		counts[row{string(f.Code), string(f.Severity)}]++
	}
	for r, n := range counts {
		gauge(findings, float64(n), r.code, r.severity)
	}
	judged, took := c.Rules()
	count(runs, float64(judged))
	count(spent, took.Seconds())
	if c.Requests != nil {
		for verb, n := range c.Requests() {
			count(requests, float64(n), verb)
		}
	}
	p := c.Problems()
	for _, g := range p.Gauges {
		gauge(problemGauge, truth(g.Present), g.Type, g.Reason)
	}
	for reason, n := range p.Counts {
		count(problemCounter, float64(n), reason)
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
