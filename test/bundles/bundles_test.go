// Package bundles replays clusters that were recorded while a scenario of test/faults was played. A
// recording is a folder below this one, named as its scenario (SCENARIO.agents with the reports of agents), with bundle.tar.gz, written by `kubectl
// maek dump`, and recorded.yaml: where, and with what names. It is judged by the truth of its scenario.
// Where there are want.txt, want.ko.txt and want.json, what is said is that to the letter.
//
//	make test-faults RECORD=test/bundles                 records the faults on the lab anew
//	make test-faults-controlplane RECORD=test/bundles    records those on control planes anew
//	go test ./test/bundles -update              writes what is said; read it before you keep it
package bundles

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/collect/bundle"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/test/faults"
)

var update = flag.Bool("update", false, "rewrite what is said about every recording")

// recordedAtLeast is how many recordings there are; a test over none would be green.
const recordedAtLeast = 70

func TestRecordings(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("*", "bundle.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < recordedAtLeast {
		t.Fatalf("%d recordings, want at least %d", len(paths), recordedAtLeast)
	}
	for _, path := range paths {
		dir := filepath.Dir(path)
		t.Run(dir, func(t *testing.T) {
			d := diagnose(t, path)
			judge(t, dir, d)
			compare(t, filepath.Join(dir, "want.json"), document(t, d))
			compare(t, filepath.Join(dir, "want.txt"), printed(t, d, finding.English))
			compare(t, filepath.Join(dir, "want.ko.txt"), printed(t, d, finding.Korean))
		})
		t.Run(dir+" written again says the same", func(t *testing.T) {
			first := diagnose(t, path)
			again := filepath.Join(t.TempDir(), "again")
			if err := bundle.Write(t.Context(), again, first.Snapshot, bundle.WriteOptions{Program: "test"}); err != nil {
				t.Fatal(err)
			}
			second := diagnose(t, again)
			if diff := cmp.Diff(incidents(t, first), incidents(t, second)); diff != "" {
				t.Errorf("(-recorded +written again):\n%s", diff)
			}
		})
	}
}

func diagnose(t *testing.T, path string) diagnosis.Diagnosis {
	t.Helper()
	b, err := bundle.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	all := rules.All()
	d := diagnosis.Diagnose(rule.Evaluate(t.Context(), b.Snapshot(), all, b, rule.DefaultBudget), all)
	for _, f := range d.Failures {
		t.Errorf("%v", f.Err)
	}
	return d
}

// judge holds what is said about a recording against the truth of its scenario: the root first, all
// roots, no other, and nothing about a control.
func judge(t *testing.T, dir string, d diagnosis.Diagnosis) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "recorded.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var how faults.Recorded
	if err := yaml.UnmarshalStrict(data, &how); err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(dir, ".")
	scenario, err := faults.Read(filepath.Join("..", "faults", name), func(name string) string { return how.Names[name] })
	if err != nil {
		t.Fatal(err)
	}
	truth, ok := scenario.Truth[how.Environment]
	if !ok {
		t.Fatalf("the scenario has no truth for the environment %q", how.Environment)
	}
	score := truth.Judge(d.Document(finding.English, v1alpha1.Stats{}))
	if !score.Right() || !score.RootFirst {
		t.Errorf("root first: %t; %s\n%s", score.RootFirst, strings.Join(score.Missing, "; "), printed(t, d, finding.English))
	}
}

func document(t *testing.T, d diagnosis.Diagnosis) []byte {
	t.Helper()
	data, err := json.MarshalIndent(d.Document(finding.English, v1alpha1.Stats{}), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

func incidents(t *testing.T, d diagnosis.Diagnosis) []v1alpha1.IncidentDetails {
	t.Helper()
	return d.Document(finding.English, v1alpha1.Stats{}).Incidents
}

func printed(t *testing.T, d diagnosis.Diagnosis, l finding.Language) []byte {
	t.Helper()
	var out bytes.Buffer
	err := report.Terminal(&out, d.Document(l, v1alpha1.Stats{Kinds: len(d.Snapshot.Kinds())}), report.Options{Language: l, Width: 120, Location: time.UTC, Recorded: true})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func compare(t *testing.T, path string, got []byte) {
	t.Helper()
	if _, err := os.Stat(path); *update && err == nil {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return // its truth is enough
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
