package diagnose

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

func TestOneAnswerForAllWhoAskAtOneMoment(t *testing.T) {
	clock := testingclock.NewFakePassiveClock(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	runs, state := 0, "active"
	report := func() snapshot.MachineReport {
		runs++
		return snapshot.MachineReport{
			Node: "w1", Machine: "w1", ObservedAt: metav1.NewTime(clock.Now()),
			Evidence: []snapshot.MachineEvidence{{Key: "unit/kubelet.service/active-state", Value: state}},
		}
	}
	stopped := rule.Rule{Code: "Stopped", Severity: finding.Critical, Machine: []snapshot.EvidenceKey{"unit/*/active-state"}, Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			if m.Value("unit/kubelet.service/active-state") != "active" {
				p.Report(finding.Finding{Subject: m.Subject("Unit", "kubelet.service"), Mechanism: "stopped", Title: finding.Text{EN: "it stopped", KO: "중지되었습니다"}})
			}
		}
	}}
	// A rule that needs the API server is not run here.
	blind := rule.Rule{Code: "Blind", Severity: finding.Critical, Detect: func(*rule.Pass) { t.Error("a rule ran that reads no machine") }}
	d := New(monitor.Identity{Machine: "w1", Node: "w1"}, report, []rule.Rule{stopped, blind}, clock.Now)

	steps := []struct {
		what          string
		pass          time.Duration
		looked        bool
		wantIncidents int
		wantRuns      int
	}{
		{"the first", 0, false, 0, 1},
		{"at the same moment", 0, true, 0, 1},
		{"once it is not fresh, after a look", freshest, false, 1, 2},
		{"while nobody looked", stalest - time.Second, false, 1, 2},
		{"when it is stale", time.Second, false, 1, 3},
		{"after the clock was set back", -time.Hour, false, 1, 4},
	}
	for _, step := range steps {
		clock.SetTime(clock.Now().Add(step.pass))
		if step.looked {
			d.Looked()
			state = "inactive"
		}
		if got := len(d.Diagnose(t.Context()).Incidents); got != step.wantIncidents || runs != step.wantRuns {
			t.Errorf("%s: %d incidents after %d runs, want %d after %d", step.what, got, runs, step.wantIncidents, step.wantRuns)
		}
	}
	if n, _ := d.Spent(); n != 4 {
		t.Errorf("%d runs counted, want 4", n)
	}
}
