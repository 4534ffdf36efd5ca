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
	entries := s.sorted()
	ok, _ := s.overall(V2, entries)
	m := newFamilies(len(entries))
	m.running.gauge(truth(s.Standing.Able), pair("current_master", s.Standing.Master))
	m.clusterState.gauge(truth(ok))
	m.leader.gauge(truth(s.Standing.Leading))
	for _, e := range entries {
		t := s.tell(e)
		switch {
		case t.hidden:
		case e.Check.API == V3:
			m.addV3(e, t, labels, s.Now)
		case e.Check.Once:
			m.addV2(m.job, m.jobDuration, e, t, labels)
		default:
			m.addV2(m.check, m.checkDuration, e, t, labels)
		}
		m.addOurs(s, e, t)
	}
	return m.filled()
}

// addV2 adds what version 2 tells of a check or a job (master: pkg/metrics/exporter.go).
func (m *families) addV2(state, duration *family, e Entry, t told, labels MetricLabels) {
	base := []*dto.LabelPair{pair("check", e.Check.String()), pair("namespace", e.Check.Namespace)}
	state.gauge(truth(t.ok), labels.withState(base, t)...)
	duration.gauge(e.State.Duration.Seconds(), base...)
}

// addV3 adds what version 3 tells of a check (main: internal/metrics/exporter.go).
func (m *families) addV3(e Entry, t told, labels MetricLabels, now time.Time) {
	base := labels.further(e.Check.Labels)
	base = append(base, pair("check", e.Check.Name), pair("namespace", e.Check.Namespace))
	m.check.gauge(truth(t.ok), labels.withState(base, t)...)
	m.checkDuration.gauge(e.State.Duration.Seconds(), base...)
	m.consecutiveFailures.gauge(float64(e.State.ConsecutiveFailures), base...)
	m.successes.counter(float64(e.State.Successes), base...)
	m.failures.counter(float64(e.State.Failures), base...)
	// Version 3 knows no other word for never.
	since := -1.0
	if !e.State.LastOK.IsZero() {
		since = max(0, now.Sub(e.State.LastOK).Seconds())
	}
	m.sinceSuccess.gauge(since, base...)
}

// addOurs adds what neither version has a word for.
func (m *families) addOurs(s Status, e Entry, t told) {
	base := []*dto.LabelPair{
		pair("kind", e.Check.Kind), pair("name", e.Check.Name), pair("namespace", e.Check.Namespace),
	}
	_, stale := e.Stale(s.Now)
	switch {
	case stale, !e.State.Ended:
		m.verdict.gauge(-1, base...)
	default:
		m.verdict.gauge(truth(t.ok), base...)
	}
	overdue := 0.0
	if !e.State.Running && !e.Next.IsZero() {
		overdue = max(0, s.Now.Sub(e.Next).Seconds())
	}
	m.overdue.gauge(overdue, base...)
	if e.State.Ended && !e.State.EndedAt.IsZero() {
		m.lastResult.gauge(float64(e.State.EndedAt.UnixMilli())/1000, base...)
	}
}

// withState adds the labels status and error. The slice that it returns is its own.
func (l MetricLabels) withState(base []*dto.LabelPair, t told) []*dto.LabelPair {
	status := "0"
	if t.ok {
		status = "1"
	}
	pairs := append(slices.Clone(base), pair("status", status))
	if !l.SuppressError {
		pairs = append(pairs, pair("error", l.errorLabel(t.errors)))
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
		pairs = append(pairs, pair(label.metric, cut(clean(value), l.ValueMaxLength)))
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
		joined.WriteString(cut(clean(cut(text, limit)), limit))
		if joined.Len() > limit {
			break
		}
	}
	return cut(joined.String(), limit)
}

// cleaner does what version 3 does to values. What else the format does not bear, such as a backslash,
// is escaped when it is printed.
var cleaner = strings.NewReplacer(`"`, "'", "\n", " ", "\r", " ")

func clean(value string) string { return strings.ToValidUTF8(cleaner.Replace(value), "\uFFFD") }

// cut keeps at most so many bytes, and no part of a character; zero keeps all.
func cut(value string, limit int) string {
	if limit <= 0 {
		return value
	}
	return clip(value, limit)
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
