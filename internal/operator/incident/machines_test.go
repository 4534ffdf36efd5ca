package incident

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

func TestWhatAgentsToldGetsOld(t *testing.T) {
	now := time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)
	rules := []rule.Rule{{Code: "DiskFull", Machine: []snapshot.EvidenceKey{"disk/*"}}, {Code: "PodSick", Needs: []rule.Need{rule.Optional[*corev1.Pod]()}}}
	news := 0
	m := newMachines(nil, nil, rules, func() time.Time { return now }, func() { news++ })
	s := snapshot.NewBuilder(now, snapshot.Source{}).Build()

	// Not asked: what reads machines says less.
	if got, skips := m.add(s); len(got.MachineReports()) > 0 || len(skips) != 1 || skips[0].Code != "DiskFull" {
		t.Errorf("before agents were asked: %v", skips)
	}
	// There are none: nobody is missing.
	m.take(agents.Reports{Looked: true})
	if got, skips := m.add(s); len(got.Unreported()) > 0 || len(skips) > 0 || news > 0 {
		t.Errorf("where there are no agents: %v, %v, news %d", got.Unreported(), skips, news)
	}
	m.take(agents.Reports{Looked: true, Installed: true, Reports: []snapshot.MachineReport{{Node: "w1"}}, Unreported: map[string]string{"w2": "no answer"}})
	now = now.Add(machinesTTL)
	if got, _ := m.add(s); len(got.MachineReports()) != 1 || len(got.Unreported()) != 1 || news != 1 {
		t.Errorf("reports %v, unreported %v, news %d", got.MachineReports(), got.Unreported(), news)
	}
	now = now.Add(time.Second)
	got, _ := m.add(s)
	if len(got.MachineReports()) > 0 || len(got.Unreported()) != 2 {
		t.Errorf("of old reports there are %v, unreported %v", got.MachineReports(), got.Unreported())
	}
}

func TestWhereNobodyReadsMachinesAgentsCountAsAsked(t *testing.T) {
	m := newMachines(nil, nil, nil, nil, nil)
	select {
	case <-m.asked:
	default:
		t.Error("agents are waited for")
	}
}
