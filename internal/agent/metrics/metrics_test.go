package metrics

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/maek-dev/maek/internal/agent/condition"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/monitor"
)

func TestMetrics(t *testing.T) {
	h := Handler(Source{
		Version: "v1",
		Monitors: func() []monitor.State {
			return []monitor.State{
				{Monitor: "units", Looks: 3, Spent: 1500 * time.Millisecond, Read: time.Unix(1000, 0), Gaps: 1},
				{Monitor: "disks", Stuck: true},
			}
		},
		Diagnose: func() diagnosis.Diagnosis {
			f := diagnosis.Placed{Finding: finding.Finding{Code: "KubeletUnitStopped", Severity: finding.Critical}}
			return diagnosis.Diagnosis{Findings: []diagnosis.Placed{f, f}}
		},
		Problems: func() condition.Problems {
			return condition.Problems{
				Gauges: []condition.Gauge{{Type: "ReadonlyFilesystem", Reason: "FilesystemIsReadOnly", Present: true}, {Type: "KernelDeadlock", Reason: "KernelDeadlock"}},
				Counts: map[string]int64{"OOMKilling": 7},
			}
		},
		Rules:    func() (int, time.Duration) { return 4, 2 * time.Second },
		Requests: func() map[string]int64 { return map[string]int64{"WATCH": 5} },
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(w.Body.String()) {
		lines[strings.TrimSpace(line)] = true
	}
	for _, want := range []string{
		`maek_agent_build_info{version="v1"} 1`,
		`maek_agent_monitor_looks_total{monitor="units"} 3`,
		`maek_agent_monitor_seconds_total{monitor="units"} 1.5`,
		`maek_agent_monitor_gaps{monitor="units"} 1`,
		`maek_agent_monitor_stuck{monitor="units"} 0`,
		`maek_agent_monitor_stuck{monitor="disks"} 1`,
		`maek_agent_monitor_last_look_timestamp_seconds{monitor="units"} 1000`,
		`maek_agent_findings{code="KubeletUnitStopped",severity="critical"} 2`,
		`maek_agent_rules_runs_total 4`,
		`maek_agent_rules_seconds_total 2`,
		`maek_agent_apiserver_requests_total{verb="WATCH"} 5`,
		`problem_gauge{reason="FilesystemIsReadOnly",type="ReadonlyFilesystem"} 1`,
		`problem_gauge{reason="KernelDeadlock",type="KernelDeadlock"} 0`,
		`problem_counter{reason="OOMKilling"} 7`,
	} {
		if !lines[want] {
			t.Errorf("no line %s", want)
		}
	}
	if strings.Contains(w.Body.String(), `last_look_timestamp_seconds{monitor="disks"}`) {
		t.Error("a monitor that never answered has a time")
	}
}
