package statuspage_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

func TestReports(t *testing.T) {
	const good, bad = `{"OK":true,"Errors":[]}`, `{"ok":false,"errors":["no"]}`
	for name, tc := range map[string]struct {
		method, path, body string
		header             map[string]string
		down, known        bool
		want               int
		wantBody           string
		wantTaken          bool
	}{
		"version 2":                            {path: "/externalCheckStatus", body: good, header: run(runID), want: 200, wantTaken: true},
		"version 2 by PUT, without a type":     {method: "PUT", path: "/externalCheckStatus", body: bad, header: map[string]string{"kh-run-uuid": runID}, want: 200, wantTaken: true},
		"version 2 by address":                 {path: "/externalCheckStatus", body: good, known: true, want: 200, wantTaken: true},
		"version 2 by address, a wrong run":    {path: "/externalCheckStatus", body: good, header: run("wrong"), known: true, want: 200, wantTaken: true},
		"version 2 by a forwarded address":     {path: "/externalCheckStatus", body: good, header: map[string]string{"X-Forwarded-For": "10.0.0.7"}, want: 400},
		"version 2 by an unknown address":      {path: "/externalCheckStatus", body: good, want: 400},
		"version 2, no errors":                 {path: "/externalCheckStatus", body: `{"OK":false}`, header: run(runID), want: 400},
		"version 2, OK with errors":            {path: "/externalCheckStatus", body: `{"OK":true,"Errors":["no"]}`, header: run(runID), want: 200, wantTaken: true},
		"version 2, not JSON":                  {path: "/externalCheckStatus", body: "OK", header: run(runID), want: 400},
		"version 2, nobody stores":             {path: "/externalCheckStatus", body: good, header: run(runID), down: true, want: 503},
		"version 2, asked whether it is there": {method: "GET", path: "/externalCheckStatus", want: 200, wantBody: "checker pods report here"},
		"version 3":                            {path: "/check", body: bad, header: run(runID), want: 200, wantTaken: true},
		"version 3, an old run":                {path: "/check", body: good, header: run("00000000-old"), want: 400, wantBody: "run uuid 00000000-old is invalid or expired"},
		"version 3, no run":                    {path: "/check", body: good, header: map[string]string{"Content-Type": "application/json"}, known: true, want: 400},
		"version 3, no type":                   {path: "/check", body: good, header: map[string]string{"kh-run-uuid": runID}, want: 415},
		"version 3 by PUT":                     {method: "PUT", path: "/check", body: good, header: run(runID), want: 405},
		"version 3, OK with errors":            {path: "/check", body: `{"OK":true,"Errors":["no"]}`, header: run(runID), want: 400},
		"version 3, nobody stores":             {path: "/check", body: good, header: run(runID), down: true, want: 503},
		"version 3, asked whether it is there": {method: "GET", path: "/check", want: 200},
		"version 3, asked by HEAD":             {method: "HEAD", path: "/check", want: 200},
		"ten megabytes":                        {path: "/check", body: `{"ok":false,"errors":["` + strings.Repeat("x", 10<<20) + `"]}`, header: run(runID), want: 413},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.down = tc.down
			w.pods[netip.MustParseAddr("10.0.0.7")] = "daemonset"
			if tc.known {
				w.pods[netip.MustParseAddr("127.0.0.1")] = "daemonset"
			}
			method := tc.method
			if method == "" {
				method = "POST"
			}
			got := ask(t, method, serve(t, w.options()), tc.path, tc.body, tc.header)
			if got.status != tc.want || !strings.Contains(got.body, tc.wantBody) {
				t.Errorf("answered %d %q, want %d %q", got.status, got.body, tc.want, tc.wantBody)
			}
			if got.status == 200 && method != "GET" && got.body != "" {
				t.Errorf("a report that is taken is answered with a body: %q", got.body)
			}
			if (got.header.Get("Retry-After") != "") != (got.status == 503) {
				t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
			}
			if taken := len(w.reports) > 0; taken != tc.wantTaken {
				t.Errorf("taken: %v", taken)
			}
			if logged := w.logged(); strings.Contains(logged, runID) || strings.Contains(logged, "Errors") {
				t.Errorf("the log tells the token or the report:\n%s", logged)
			}
		})
	}
}

// TestAReportIsSeen holds that what is reported is in the documents and metrics of its version at once.
func TestAReportIsSeen(t *testing.T) {
	w := newWorld()
	address := serve(t, w.options())
	post(t, address, "/check", `{"ok":false,"errors":["the disk is \"full\""]}`, run(runID))
	if got := get(t, address, "/json", "").body; !strings.Contains(got, `"the disk is \"full\""`) || !strings.Contains(got, `"OK": false`) {
		t.Errorf("the document does not tell it:\n%s", got)
	}
	if got := get(t, address, "/metrics", "").body; !strings.Contains(got, `kuberhealthy_check{check="dns",error="the disk is 'full'",namespace="kuberhealthy",status="0"} 0`) {
		t.Errorf("the metrics do not tell it:\n%s", got)
	}
	// Version 3 takes one report.
	if again := post(t, address, "/check", `{"ok":true}`, run(runID)); again.status != 400 {
		t.Errorf("the second report was answered %d", again.status)
	}
}

// TestWithoutCompatibilityAReportNeedsItsRun is about version 2; version 3 always does.
func TestWithoutCompatibilityAReportNeedsItsRun(t *testing.T) {
	w := newWorld()
	w.pods[netip.MustParseAddr("127.0.0.1")] = "daemonset"
	address := serve(t, w.locked())
	for id, want := range map[string]int{"": 400, "wrong": 400, runID: 200} {
		if got := post(t, address, "/externalCheckStatus", `{"OK":true}`, run(id)); got.status != want {
			t.Errorf("run %q: %d %s, want %d", id, got.status, got.body, want)
		}
	}
}

func run(id string) map[string]string {
	return map[string]string{kuberhealthy.HeaderRunID: id, "Content-Type": "application/json"}
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs.String()
}
