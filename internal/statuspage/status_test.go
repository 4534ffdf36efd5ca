package statuspage_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

func TestDocuments(t *testing.T) {
	const text, object = kuberhealthy.ContentTypeV2, kuberhealthy.ContentTypeV3
	for name, tc := range map[string]struct {
		method, path, body string
		wantStatus         int
		wantType           string
		want               []string
		wantNot            string
	}{
		"version 2 at the root":                 {path: "/", wantStatus: 200, wantType: text, want: []string{`"kuberhealthy/daemonset": {`, `"JobDetails": {}`, `"CurrentMaster": "kuberhealthy-0"`}, wantNot: `"dns"`},
		"version 2 at any path":                 {path: "/status/page", wantStatus: 200, wantType: text, want: []string{`"CheckDetails"`}},
		"version 3 at /json":                    {path: "/json", wantStatus: 200, wantType: object, want: []string{`"dns": {`, `"podName": "dns-pod"`, `"currentUUID": ""`}, wantNot: "JobDetails"},
		"a namespace":                           {path: "/?namespace=kuberhealthy", wantStatus: 200, wantType: text, want: []string{"kuberhealthy/daemonset"}},
		"another namespace":                     {path: "/json?namespace=other", wantStatus: 200, wantType: object, want: []string{`"CheckDetails": {}`}},
		"namespaces with blanks":                {path: "/?namespace=,other,,kuberhealthy,", wantStatus: 200, wantType: text, want: []string{"kuberhealthy/daemonset"}},
		"nothing but blanks":                    {path: "/?namespace=,", wantStatus: 200, wantType: text, want: []string{"kuberhealthy/daemonset"}},
		"HEAD":                                  {method: "HEAD", path: "/", wantStatus: 200, wantType: text},
		"a report to the wrong path":            {method: "POST", path: "/", body: `{"OK":true}`, wantStatus: 400, want: []string{"KH_REPORTING_URL"}},
		"a report to the document":              {method: "POST", path: "/json", body: `{"OK":true}`, wantStatus: 400},
		"a body in a GET":                       {path: "/json", body: "x", wantStatus: 400},
		"another method":                        {method: "DELETE", path: "/", wantStatus: 405},
		"version 3's specification":             {path: "/openapi.json", wantStatus: 404},
		"an unknown path of version 3":          {path: "/api/unknown", wantStatus: 404},
		"its assets":                            {path: "/static/logo.png", wantStatus: 404},
		"metrics":                               {path: "/metrics", wantStatus: 200, wantType: "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", want: []string{"kuberhealthy_cluster_state 1", `kuberhealthy_check{check="dns"`}},
		"metrics by another method":             {method: "POST", path: "/metrics", wantStatus: 405},
		"a browser gets the document all alike": {path: "/", wantStatus: 200, wantType: text},
	} {
		t.Run(name, func(t *testing.T) {
			method := tc.method
			if method == "" {
				method = http.MethodGet
			}
			got := ask(t, method, serve(t, newWorld().options()), tc.path, tc.body, map[string]string{"Accept": "text/html,*/*"})
			if got.status != tc.wantStatus {
				t.Errorf("status %d, want %d: %s", got.status, tc.wantStatus, got.body)
			}
			if kind := got.header.Get("Content-Type"); tc.wantType != "" && kind != tc.wantType {
				t.Errorf("content type %q, want %q", kind, tc.wantType)
			}
			for _, want := range tc.want {
				if !strings.Contains(got.body, want) {
					t.Errorf("there is no %s in:\n%s", want, got.body)
				}
			}
			if tc.wantNot != "" && strings.Contains(got.body, tc.wantNot) {
				t.Errorf("there is %s in:\n%s", tc.wantNot, got.body)
			}
			if strings.Contains(got.body, runID) {
				t.Errorf("it tells a token:\n%s", got.body)
			}
			for header, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Referrer-Policy": "no-referrer",
			} {
				if got.header.Get(header) != want {
					t.Errorf("%s is %q", header, got.header.Get(header))
				}
			}
		})
	}
}

func TestWithoutCompatibilityATokenIsNeeded(t *testing.T) {
	address := serve(t, newWorld().locked())
	for _, path := range []string{"/", "/json", "/metrics"} {
		for token, want := range map[string]int{"": 401, "stolen": 401, "nobody": 403, "slow": 503, "admin": 200} {
			got := get(t, address, path, token)
			if got.status != want {
				t.Errorf("%s with the token %q: %d, want %d", path, token, got.status, want)
			}
			if want == 401 && !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s: the answer does not ask for a token", path)
			}
			if want != 200 && strings.Contains(got.body, "dns") {
				t.Errorf("%s tells of checks to the token %q", path, token)
			}
		}
	}
}

// TestAPathThatEverybodyMayGetIsNoWayIn holds that version 2's document, which is at every path, is not
// had by the right to another thing at one of them.
func TestAPathThatEverybodyMayGetIsNoWayIn(t *testing.T) {
	address := serve(t, newWorld().locked())
	for _, path := range []string{"/", "/version", "/apis/apps", "//version", "/json", "/metrics"} {
		if got := get(t, address, path, "anybody"); got.status == 200 || strings.Contains(got.body, "daemonset") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestMetricsBesideThoseOfChecks(t *testing.T) {
	runs := kuberhealthy.NewRunMetrics()
	runs.Ended(kuberhealthy.Check{API: kuberhealthy.V3}, "", 0)
	registry := prometheus.NewRegistry()
	registry.MustRegister(runs)
	twice := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, _ := registry.Gather()
		gauge := dto.MetricType_GAUGE
		return append(families, &dto.MetricFamily{
			Name: new("kuberhealthy_check"), Type: &gauge, Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: new(1.0)}}},
		}), errors.New("one of many failed")
	})
	for name, gatherer := range map[string]prometheus.Gatherer{"well": registry, "in part": twice} {
		t.Run(name, func(t *testing.T) {
			options := newWorld().options()
			options.Metrics = gatherer
			got := get(t, serve(t, options), "/metrics", "")
			parser := expfmt.NewTextParser(model.LegacyValidation)
			families, err := parser.TextToMetricFamilies(strings.NewReader(got.body))
			if err != nil {
				t.Fatalf("%v:\n%s", err, got.body)
			}
			for _, want := range []string{"kuberhealthy_check", "kuberhealthy_check_run_duration_seconds", "maek_check_runs_total"} {
				if families[want] == nil {
					t.Errorf("there is no %s", want)
				}
			}
			if n := len(families["kuberhealthy_check"].GetMetric()); n != 2 {
				t.Errorf("there are %d series of kuberhealthy_check", n)
			}
		})
	}
}
