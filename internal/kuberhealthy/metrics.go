package kuberhealthy

import (
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// MetricLabels says what of a check becomes labels of its metrics. The zero value is what Kuberhealthy 2
// does where nothing is configured.
type MetricLabels struct {
	// SuppressError leaves the label error out.
	SuppressError bool
	// ErrorMaxLength is how many bytes of an error are kept, cut between characters. Zero is no limit of
	// the user's; maxErrorLabel holds all the same.
	ErrorMaxLength int
	// Allow names the further labels that a HealthCheck's metrics may have, of severity and category.
	// Empty allows both. Kuberhealthy knows run_uuid too: the token of a running run, which is not shown.
	Allow []string
	// Deny names those that they may not have.
	Deny []string
	// ValueMaxLength is how many bytes of a further label's value are kept; zero is no limit.
	ValueMaxLength int
}

// DefaultMetricLabels are those of both versions where nothing is configured (main:
// cmd/kuberhealthy/config.go).
func DefaultMetricLabels() MetricLabels {
	return MetricLabels{Allow: []string{"severity", "category"}, ValueMaxLength: 256}
}

// maxErrorLabel is how many bytes of an error are kept where the user sets no limit, or a higher one.
// Neither version has a limit, and a checker may report a megabyte: each scrape would carry it, and each
// change of it would be a time series.
const maxErrorLabel = 4096

// furtherLabels are labels of a HealthCheck that become labels of its metrics.
var furtherLabels = []struct{ metric, object string }{
	{"category", "kuberhealthy.io/category"},
	{"severity", "kuberhealthy.io/severity"},
}

// Metrics returns the metrics of all checks, by the API of each, and of the replica. They are new at each
// call, and costs grow with the number of checks alone.
//
// kuberhealthy_cluster_state says what the documents' OK says. kuberhealthy_controller_leader is 1 on one
// replica as long as checks can be run at all, so that version 3's alert, max(...) < 1, tells that none
// is; kuberhealthy_running, which version 2's alert asks of each replica, is 0 on one that cannot do
// its share.
func (s Status) Metrics(labels MetricLabels) []*dto.MetricFamily {
	all := s.tell()
	ok, _ := overall(V2, all)
	m := newFamilies(len(all))
	m.running.gauge(metricTruth(s.Standing.Able), metricPair("current_master", s.Standing.Master))
	m.clusterState.gauge(metricTruth(ok))
	m.leader.gauge(metricTruth(s.Standing.Leading))
	due := 0
	for _, t := range all {
		switch {
		case t.hidden:
		case t.Check.API == V3:
			m.addV3(t, labels, s.Now)
		case t.Check.Once:
			m.addV2(m.job, m.jobDuration, t, labels)
		default:
			m.addV2(m.check, m.checkDuration, t, labels)
		}
		if m.addOurs(t, s.Now) {
			due++
		}
	}
	m.due.gauge(float64(due))
	return m.filled()
}

// addV2 adds what version 2 tells of a check or a job (master: pkg/metrics/exporter.go).
func (m *families) addV2(state, duration *family, t *told, labels MetricLabels) {
	base := []*dto.LabelPair{metricPair("check", t.Check.String()), metricPair("namespace", t.Check.Namespace)}
	state.gauge(metricTruth(t.ok), labels.withState(base, t)...)
	duration.gauge(t.State.Duration.Seconds(), base...)
}

// addV3 adds what version 3 tells of a check (main: internal/metrics/exporter.go).
func (m *families) addV3(t *told, labels MetricLabels, now time.Time) {
	base := labels.further(t.Check.Labels)
	base = append(base, metricPair("check", t.Check.Name), metricPair("namespace", t.Check.Namespace))
	m.check.gauge(metricTruth(t.ok), labels.withState(base, t)...)
	m.checkDuration.gauge(t.State.Duration.Seconds(), base...)
	m.consecutiveFailures.gauge(float64(t.State.ConsecutiveFailures), base...)
	m.successes.counter(float64(t.State.Successes), base...)
	m.failures.counter(float64(t.State.Failures), base...)
	// Version 3 knows no other word for never.
	since := -1.0
	if !t.State.LastOK.IsZero() {
		since = max(0, now.Sub(t.State.LastOK).Seconds())
	}
	m.sinceSuccess.gauge(since, base...)
}

// addOurs adds what neither version has a word for. It tells whether a run is due.
func (m *families) addOurs(t *told, now time.Time) (due bool) {
	base := []*dto.LabelPair{
		metricPair("kind", t.Check.Kind), metricPair("name", t.Check.Name), metricPair("namespace", t.Check.Namespace),
	}
	verdict := -1.0
	if t.known {
		verdict = metricTruth(t.ok)
	}
	m.verdict.gauge(verdict, base...)
	overdue := 0.0
	if due = !t.State.Running && !t.Next.IsZero() && !now.Before(t.Next); due {
		overdue = now.Sub(t.Next).Seconds()
	}
	m.overdue.gauge(overdue, base...)
	if t.State.Ended && !t.State.EndedAt.IsZero() {
		m.lastResult.gauge(float64(t.State.EndedAt.UnixMilli())/1000, base...)
	}
	return due
}

// withState adds the labels status and error. The slice that it returns is its own.
func (l MetricLabels) withState(base []*dto.LabelPair, t *told) []*dto.LabelPair {
	status := "0"
	if t.ok {
		status = "1"
	}
	pairs := append(slices.Clone(base), metricPair("status", status))
	if !l.SuppressError {
		pairs = append(pairs, metricPair("error", l.errorLabel(t.errors)))
	}
	slices.SortFunc(pairs, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	return pairs
}

// further are the labels that a HealthCheck's own labels make. Kuberhealthy leaves empty ones out.
func (l MetricLabels) further(object map[string]string) []*dto.LabelPair {
	var pairs []*dto.LabelPair
	for _, label := range furtherLabels {
		value := object[label.object]
		if value == "" || len(l.Allow) > 0 && !slices.Contains(l.Allow, label.metric) || slices.Contains(l.Deny, label.metric) {
			continue
		}
		pairs = append(pairs, metricPair(label.metric, metricCut(metricValue(value), l.ValueMaxLength)))
	}
	slices.SortFunc(pairs, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	return pairs
}

// errorLabel joins errors as both versions do, and cuts them.
func (l MetricLabels) errorLabel(errors []string) string {
	limit := maxErrorLabel
	if l.ErrorMaxLength > 0 {
		limit = min(limit, l.ErrorMaxLength)
	}
	var joined strings.Builder
	for i, text := range errors {
		if i > 0 {
			joined.WriteByte('|')
		}
		joined.WriteString(metricCut(metricValue(metricCut(text, limit)), limit))
		if joined.Len() > limit {
			break
		}
	}
	return metricCut(joined.String(), limit)
}

// metricCleaner does what version 3 does to values. What else the format does not bear, such as a backslash,
// is escaped when it is printed.
var metricCleaner = strings.NewReplacer(`"`, "'", "\n", " ", "\r", " ")

func metricValue(value string) string {
	return strings.ToValidUTF8(metricCleaner.Replace(value), "\uFFFD")
}

// metricCut keeps at most so many bytes, and no part of a character; zero keeps all.
func metricCut(value string, limit int) string {
	if limit <= 0 {
		return value
	}
	return clip(value, limit)
}

func metricTruth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
