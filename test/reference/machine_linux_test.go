package reference

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/maek-dev/maek/internal/agent/cluster"
	"github.com/maek-dev/maek/internal/agent/mesh"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

const machinePreface = `# What is read on a machine

Monitors read machines, and rules judge what they read. A monitor runs in the agent and in ` + "`kubectl-maek machine`" + `, where
` + "`--show`" + ` prints its values. What it needs beyond a process of root in the host's network namespace stands beside it; what
it lacks it says in the report, and nothing is called healthy for it. ` + "`*`" + ` in a key stands for a name.

Generated from the monitors.
`

// watchers are all monitors that there are, on machines and in agents.
func watchers() []monitor.Monitor {
	return append(monitors.All(monitor.Host{Root: "/", Node: "w1", Now: time.Now}), (&cluster.View{}).Monitor(), (&mesh.Mesh{}).Monitor())
}

func TestMachineReferenceIsCurrent(t *testing.T) {
	var page strings.Builder
	page.WriteString(machinePreface)
	page.WriteString("\n| monitor | looks every | needs |\n|---|---|---|\n")
	for _, m := range watchers() {
		var needs []string
		for _, p := range m.Requires {
			needs = append(needs, string(p))
		}
		interval := m.Interval
		if interval == 0 {
			interval = monitor.DefaultInterval
		}
		fmt.Fprintf(&page, "| [%s](#%[1]s) | %s | %s |\n", m.Name, interval, cell(strings.Join(needs, ", ")))
	}
	for _, m := range watchers() {
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n| key | value |\n|---|---|\n", m.Name, m.Doc)
		for _, k := range m.Keys {
			fmt.Fprintf(&page, "| `%s` | %s |\n", k.Pattern, cell(k.Doc))
		}
	}
	current(t, "docs/machine.md", page.String())
}

// TestMonitors holds what every monitor must say of itself.
func TestMonitors(t *testing.T) {
	owner := map[string]string{}
	names := map[string]bool{}
	for _, m := range watchers() {
		if m.Name == "" || m.Doc == "" || m.Observe == nil || len(m.Keys) == 0 {
			t.Errorf("monitor %q lacks a name, a sentence about itself, keys or a way to observe", m.Name)
		}
		if names[m.Name] {
			t.Errorf("monitor %s is there twice", m.Name)
		}
		names[m.Name] = true
		for _, k := range m.Keys {
			if k.Doc == "" {
				t.Errorf("monitor %s does not say what %s is", m.Name, k.Pattern)
			}
			first, _, _ := strings.Cut(string(k.Pattern), "/")
			if other, ok := owner[first]; ok && other != m.Name {
				t.Errorf("both %s and %s give keys that begin with %s", other, m.Name, first)
			}
			owner[first] = m.Name
		}
	}
}

// TestRulesReadWhatMonitorsGive holds that no rule waits for evidence that nobody gives.
func TestRulesReadWhatMonitorsGive(t *testing.T) {
	var given []snapshot.EvidenceKey
	for _, m := range watchers() {
		for _, k := range m.Keys {
			given = append(given, k.Pattern)
		}
	}
	read := 0
	for _, r := range rules.All() {
		for _, pattern := range r.Machine {
			read++
			if !overlaps(pattern, given) {
				t.Errorf("rule %s reads %s, which no monitor gives", r.Code, pattern)
			}
		}
	}
	if read == 0 {
		t.Fatal("no rule reads machine evidence: the test looks in the wrong place")
	}
}

// overlaps tells whether any key can fit a pattern and one of others.
func overlaps(pattern snapshot.EvidenceKey, others []snapshot.EvidenceKey) bool {
	want := strings.Split(string(pattern), "/")
	for _, o := range others {
		have := strings.Split(string(o), "/")
		if len(have) != len(want) {
			continue
		}
		fits := true
		for i := range want {
			fits = fits && (want[i] == have[i] || want[i] == "*" || have[i] == "*")
		}
		if fits {
			return true
		}
	}
	return false
}
