package incident

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/operator/incident/object"
	"github.com/maek-dev/maek/internal/snapshot"
)

// metrics tell what the newest diagnosis said, while this replica is the one that diagnoses: all others
// tell nothing, so that sums are right.
type metrics struct {
	incidents, since, verdict, at, objects, unreadable, unwritten *prometheus.Desc

	seconds prometheus.Histogram
	writes  *prometheus.CounterVec

	mu   sync.Mutex
	last *told
}

// told is what a scrape tells. It does not hold the snapshot, whose indexes are half as large as itself.
type told struct {
	verdict v1alpha1.Verdict
	view    object.View
	at      time.Time
	kinds   []kindTold
}

// kindTold is what is told of one kind.
type kindTold struct {
	name     string
	objects  int
	coverage snapshot.Coverage
}

func tellOf(d diagnosis.Diagnosis, view object.View, at time.Time) *told {
	t := &told{verdict: d.Verdict, view: view, at: at}
	for _, k := range d.Snapshot.Kinds() {
		t.kinds = append(t.kinds, kindTold{name: k.GroupResource(), objects: d.Snapshot.Len(k), coverage: d.Snapshot.Coverage(k)})
	}
	return t
}

func newMetrics() *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("maek_"+name, help, labels, nil)
	}
	return &metrics{
		incidents: desc("incidents", "Incidents that are known, open and lately closed.", "severity", "code", "phase"),
		since:     desc("incident_opened_timestamp_seconds", "When the oldest open incident of a code was opened, in seconds since 1970.", "severity", "code"),
		verdict:   desc("cluster_verdict", "1 for the verdict about the cluster, 0 for the others. Unknown means that too little could be looked at.", "verdict"),
		at:        desc("diagnosis_timestamp_seconds", "When the newest diagnosis was made, in seconds since 1970.", []string{}...),
		objects:   desc("snapshot_objects", "Objects that the newest diagnosis looked at.", "kind"),
		unreadable: desc("snapshot_kind_unreadable",
			"1 for each kind that rules need and that could not be read whole, with how far it was.", "kind", "state"),
		unwritten: desc("incidents_unwritten", "Incidents that have no object because there are too many.", []string{}...),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "maek_diagnosis_seconds", Help: "How long diagnoses took, questions included.",
			Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maek_incident_writes_total", Help: "Requests that wrote Incidents and Events about them.",
		}, []string{"verb", "outcome"}),
	}
}

// wrote counts a request.
func (m *metrics) wrote(verb string, ok bool) {
	outcome := "success"
	if !ok {
		outcome = "error"
	}
	m.writes.WithLabelValues(verb, outcome).Inc()
}

// tell makes a diagnosis what is told; nil tells nothing.
func (m *metrics) tell(t *told) {
	m.mu.Lock()
	m.last = t
	m.mu.Unlock()
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.incidents, m.since, m.verdict, m.at, m.objects, m.unreadable, m.unwritten} {
		c <- d
	}
	m.seconds.Describe(c)
	m.writes.Describe(c)
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(c chan<- prometheus.Metric) {
	m.seconds.Collect(c)
	m.writes.Collect(c)
	m.mu.Lock()
	t := m.last
	m.mu.Unlock()
	if t == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	type class struct {
		severity, code string
		phase          v1alpha1.IncidentPhase
	}
	counts, oldest := map[class]int{}, map[class]time.Time{}
	for _, s := range t.view.Statuses {
		k := class{string(s.Severity), s.Code, s.Phase}
		if first, ok := oldest[k]; !ok || s.OpenedAt.Time.Before(first) {
			oldest[k] = s.OpenedAt.Time
		}
		counts[k]++
	}
	for k, n := range counts {
		gauge(m.incidents, float64(n), k.severity, k.code, string(k.phase))
		if k.phase == v1alpha1.IncidentOpen {
			gauge(m.since, float64(oldest[k].Unix()), k.severity, k.code)
		}
	}
	for _, v := range []v1alpha1.Verdict{v1alpha1.VerdictHealthy, v1alpha1.VerdictDegraded, v1alpha1.VerdictCritical, v1alpha1.VerdictUnknown} {
		is := 0.0
		if v == t.verdict {
			is = 1
		}
		gauge(m.verdict, is, string(v))
	}
	gauge(m.at, float64(t.at.UnixMilli())/1000)
	gauge(m.unwritten, float64(t.view.Unwritten))
	for _, k := range t.kinds {
		gauge(m.objects, float64(k.objects), k.name)
		if !k.coverage.Known() {
			gauge(m.unreadable, 1, k.name, string(k.coverage.State))
		}
	}
}
