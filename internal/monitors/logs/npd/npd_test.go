package npd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func load(t *testing.T) *Detector {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	d, err := Load(monitor.Host{Root: root}, "/testdata")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func word(d *Detector, name string, at time.Time) Word {
	for _, s := range d.States(at) {
		if s.Name == name {
			return s.Word
		}
	}
	return ""
}

func kernel(d *Detector, at time.Time, lines ...string) {
	for _, l := range lines {
		d.Take(Line{At: at, Kernel: true, Text: l})
	}
}

func TestConditionsComeAndGo(t *testing.T) {
	d := load(t)
	if got := word(d, "XfsShutdown", noon); got != OK {
		t.Errorf("at first %q", got)
	}
	d.Take(Line{At: noon, Identifier: "app", Text: "XFS (sdb1): Shutting down filesystem."})
	if got := word(d, "XfsShutdown", noon); got != OK {
		t.Errorf("by the line of another writer %q", got)
	}
	kernel(d, noon, "XFS (sdb1): Log I/O Error. Shutting down filesystem. More words")
	want := State{Name: "XfsShutdown", Word: Problem, Reason: "XfsHasShutdown", Message: "XFS (sdb1): Log I/O Error. Shutting down filesystem. More words", Since: noon}
	states := d.States(noon)
	if i := slices.IndexFunc(states, func(s State) bool { return s.Name == "XfsShutdown" }); i < 0 || cmp.Diff(want, states[i]) != "" {
		t.Errorf("%+v", states)
	}
	if got := word(d, "XfsShutdown", noon.Add(2*time.Hour)); got != OK {
		t.Errorf("two hours later %q", got)
	}
	kernel(d, noon, "XFS (sdb1): Shutting down filesystem.")
	d.Rebooted()
	if got := word(d, "XfsShutdown", noon); got != OK {
		t.Errorf("after a reboot %q", got)
	}
}

func TestPatternsNeedNotReachTheEndOfTheirLine(t *testing.T) {
	d := load(t)
	kernel(d, noon, "divide error: 0000 [#1] PREEMPT SMP NOPTI")
	if got := word(d, "KernelOops", noon); got != Problem {
		t.Errorf("%q", got)
	}
	if got := word(d, "KernelOops", noon.Add(6*time.Minute)); got != OK {
		t.Errorf("later %q", got)
	}
}

func TestPatternsSpanLines(t *testing.T) {
	d := load(t)
	kernel(d, noon, "first half", "something else", "second half")
	if got := word(d, "TwoLines", noon); got == Problem {
		t.Error("lines that do not follow each other fit")
	}
	kernel(d, noon, "first half", "second half")
	if got := word(d, "TwoLines", noon); got != Problem {
		t.Errorf("%q", got)
	}
	kernel(d, noon.Add(10*time.Minute), "later")
	if got := word(d, "TwoLines", noon.Add(10*time.Minute)); got != OK {
		t.Errorf("told again by a later line: %q", got)
	}
}

func TestCountersCountAndRevert(t *testing.T) {
	const started, stopping = "Started Kubernetes kubelet.", "Stopping Kubernetes kubelet..."
	for name, tc := range map[string]struct {
		lines []string
		step  time.Duration
		want  Word
	}{
		"often":            {[]string{started, started, started}, time.Minute, Problem},
		"slowly":           {[]string{started, started, started}, 15 * time.Minute, OK},
		"by order":         {[]string{started, stopping, started, stopping, started}, time.Minute, OK},
		"not often enough": {[]string{started, started}, time.Minute, OK},
	} {
		d, at := load(t), noon
		for _, l := range tc.lines {
			d.Take(Line{At: at, Identifier: "systemd", Text: l})
			at = at.Add(tc.step)
		}
		if got := word(d, "FrequentKubeletRestart", at); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestWhatIsNoConfigurationIsToldAndTheRestStands(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"bad.json": "{", "unknown.json": `{"plugin":"magic"}`, "README.md": "no configuration",
		"pattern.json": `{"plugin":"kmsg","rules":[{"type":"temporary","reason":"A","pattern":"("},{"type":"temporary","reason":"B","pattern":"b"}]}`,
		"time.json":    `{"plugin":"custom","pluginConfig":{"timeout":"soon"}}`,
		"flag.json":    `{"plugin":"custom","rules":[{"type":"temporary","reason":"C","path":"log-counter","args":["--what=1"]}]}`,
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Load(monitor.Host{Root: root}, "/")
	for _, want := range []string{"bad.json", "unknown.json", "pattern.json", "time.json", "flag.json"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not told: %v", want, err)
		}
	}
	kernel(d, noon, "b")
	if got := word(d, "B", noon); got != Problem {
		t.Errorf("the rule that stands says %q", got)
	}
	if _, err := Load(monitor.Host{Root: root}, "/none"); err == nil {
		t.Error("a folder that is not there is not told")
	}
}
