package kuberhealthy_test

import (
	"bytes"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// exposed is the text of a status's metrics, gathered as a scrape gathers them.
func exposed(t testing.TB, status kuberhealthy.Status, labels kuberhealthy.MetricLabels) string {
	t.Helper()
	families, err := gatherer(status, labels).Gather()
	if err != nil {
		t.Fatalf("gathering: %v", err)
	}
	var text bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatalf("printing %s: %v", f.GetName(), err)
		}
	}
	return text.String()
}

func gatherer(status kuberhealthy.Status, labels kuberhealthy.MetricLabels) prometheus.Gatherer {
	return prometheus.Gatherers{prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		return status.Metrics(labels), nil
	})}
}

func parsed(t testing.TB, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("the metrics are malformed: %v\n%s", err, text)
	}
	return families
}

// value is that of a metric without labels, or of the first of its name.
func value(t *testing.T, status kuberhealthy.Status, name string) float64 {
	t.Helper()
	family := parsed(t, exposed(t, status, kuberhealthy.MetricLabels{}))[name]
	if family == nil {
		t.Fatalf("there is no %s", name)
	}
	return family.GetMetric()[0].GetGauge().GetValue()
}

func TestMetrics(t *testing.T) {
	for name, tc := range map[string]struct {
		status kuberhealthy.Status
		labels kuberhealthy.MetricLabels
	}{
		"everything":                {everything(), kuberhealthy.DefaultMetricLabels()},
		"errors suppressed":         {everything(), kuberhealthy.MetricLabels{SuppressError: true, Allow: []string{"severity"}}},
		"errors cut, labels denied": {everything(), kuberhealthy.MetricLabels{ErrorMaxLength: 12, ValueMaxLength: 4, Deny: []string{"severity"}}},
		"nothing":                   {kuberhealthy.Status{Now: noon}, kuberhealthy.DefaultMetricLabels()},
	} {
		t.Run(name, func(t *testing.T) {
			text := exposed(t, tc.status, tc.labels)
			parsed(t, text)
			golden(t, filepath.Join("testdata/metrics", strings.NewReplacer(" ", "-", ",", "").Replace(name)+".txt"), text)
		})
	}
}

func TestErrorLabel(t *testing.T) {
	const korean = "노드가 응답하지 않습니다"
	long := strings.Repeat("가", 1<<19)
	for name, tc := range map[string]struct {
		errors []string
		limit  int
		want   string
	}{
		"errors are joined":                         {errors: []string{"one", "two"}, want: "one|two"},
		"quotes become apostrophes":                 {errors: []string{`a "b"`}, want: "a 'b'"},
		"newlines become blanks":                    {errors: []string{"a\r\nb"}, want: "a  b"},
		"backslashes stay":                          {errors: []string{`a\b\`}, want: `a\b\`},
		"what is not UTF-8 is replaced":             {errors: []string{"a\xffb"}, want: "a\uFFFDb"},
		"a limit does not cut a character":          {errors: []string{korean}, limit: 7, want: "노드"},
		"a limit of less than a character":          {errors: []string{korean}, limit: 2, want: ""},
		"a limit is of all errors together":         {errors: []string{"abc", "def"}, limit: 5, want: "abc|d"},
		"a megabyte is cut without a limit":         {errors: []string{long}, want: long[:4095]},
		"a megabyte is cut with a limit above that": {errors: []string{long}, limit: 1 << 20, want: long[:4095]},
	} {
		t.Run(name, func(t *testing.T) {
			status := kuberhealthy.Status{Entries: []kuberhealthy.Entry{v2("a/b", failed(tc.errors...))}, Now: noon}
			family := parsed(t, exposed(t, status, kuberhealthy.MetricLabels{ErrorMaxLength: tc.limit}))["kuberhealthy_check"]
			got := map[string]string{}
			for _, label := range family.GetMetric()[0].GetLabel() {
				got[label.GetName()] = label.GetValue()
			}
			want := map[string]string{"check": "a/b", "namespace": "a", "status": "0", "error": tc.want}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzMetrics holds that no text of a checker or of an object makes a scrape unreadable.
func FuzzMetrics(f *testing.F) {
	for _, text := range []string{"", `\`, `"`, "\n", "\xff\xfe", "a\"} 1\nforged 1", "é", "\x00", "|", `\"`} {
		f.Add(text, text, 3)
		f.Add("an error ending in "+text, "severity", 0)
	}
	f.Fuzz(func(t *testing.T, text, label string, limit int) {
		severity := labelled(map[string]string{"kuberhealthy.io/severity": label, "kuberhealthy.io/category": text})
		status := kuberhealthy.Status{
			Entries: []kuberhealthy.Entry{
				v2("a/x", failed(text, label)), v3("a/y", failed(text), severity), v3("b/y", failed(label), severity, stale), job("a/z", failed(label)),
			},
			Standing: kuberhealthy.Standing{Master: "kuberhealthy-0"}, Now: noon,
		}
		labels := kuberhealthy.MetricLabels{ErrorMaxLength: limit, ValueMaxLength: limit}
		families := parsed(t, exposed(t, status, labels))
		if got := len(families["kuberhealthy_check"].GetMetric()); got != 3 {
			t.Errorf("there are %d series of kuberhealthy_check", got)
		}
		for _, m := range families["kuberhealthy_check"].GetMetric() {
			for _, label := range m.GetLabel() {
				if !utf8.ValidString(label.GetValue()) {
					t.Errorf("%s is not UTF-8: %q", label.GetName(), label.GetValue())
				}
			}
		}
	})
}

func TestRunMetrics(t *testing.T) {
	m := kuberhealthy.NewRunMetrics()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	often := kuberhealthy.Check{API: kuberhealthy.V2, Interval: time.Minute}
	once := kuberhealthy.Check{API: kuberhealthy.V3, Once: true}
	m.Began(often, 20*time.Millisecond)
	m.Began(often, 150*time.Second)
	m.Began(once, -time.Second)
	m.Ended(often, "", 22*time.Second)
	for _, took := range []time.Duration{time.Second, 4 * time.Second, 90 * time.Second, 400 * time.Second} {
		m.Ended(once, "", took)
	}
	m.Ended(once, "Deadline", 30*time.Second)
	m.Reaped(kuberhealthy.ReapedFailed)
	var none *kuberhealthy.RunMetrics
	none.Began(often, 0)
	none.Ended(often, "", 0)
	none.Reaped(kuberhealthy.ReapedTimeout)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "testdata/metrics/runs.txt", text.String())
}

// TestCostIsLinear counts what is allocated, which, unlike time, is the same on every machine.
func TestCostIsLinear(t *testing.T) {
	for name, render := range map[string]func(kuberhealthy.Status){
		"metrics": func(s kuberhealthy.Status) { s.Metrics(kuberhealthy.DefaultMetricLabels()) },
		"v2":      func(s kuberhealthy.Status) { _, _ = s.DocumentV2() },
		"v3":      func(s kuberhealthy.Status) { _, _ = s.DocumentV3() },
	} {
		t.Run(name, func(t *testing.T) {
			small, large := many(500), many(1000)
			half := testing.AllocsPerRun(3, func() { render(small) })
			whole := testing.AllocsPerRun(3, func() { render(large) })
			if ratio := whole / half; ratio > 2.2 {
				t.Errorf("twice the checks take %.2f times the allocations", ratio)
			}
		})
	}
}

// many is a cluster of so many checks, a tenth of which fail.
func many(checks int) kuberhealthy.Status {
	status := kuberhealthy.Status{Standing: master, Now: noon}
	for i := range checks {
		name := "team-" + strconv.Itoa(i%50) + "/check-" + strconv.Itoa(i)
		e := v2(name)
		if i%2 == 0 {
			e = v3(name, labelled(map[string]string{"kuberhealthy.io/severity": "critical"}))
		}
		if i%10 == 0 {
			failed("Check execution error: timed out waiting for checker pod to report in")(&e)
		}
		status.Entries = append(status.Entries, e)
	}
	return status
}

func BenchmarkStatus(b *testing.B) {
	for _, checks := range []int{1250, 2500, 5000, 10000} {
		status := many(checks)
		b.Run("metrics/"+strconv.Itoa(checks), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var text bytes.Buffer
				for _, family := range status.Metrics(kuberhealthy.DefaultMetricLabels()) {
					if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		for version, render := range map[string]func() ([]byte, error){"v2": status.DocumentV2, "v3": status.DocumentV3} {
			b.Run(version+"/"+strconv.Itoa(checks), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := render(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
