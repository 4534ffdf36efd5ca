// Package bundles replays clusters that were recorded from the lab. A recording is a folder below
// this one with bundle.tar.gz, written by `kubectl maek dump`, and what is said about it, as a
// person reads it and as a program does: want.txt and want.json.
//
//	make test-faults RECORD=test/bundles        records the faults of test/faults anew
//	go test ./test/bundles -update              writes what is said; read it before you keep it
package bundles

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/collect/bundle"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
)

var update = flag.Bool("update", false, "rewrite what is said about every recording")

// recordedAtLeast is how many recordings there are; a test over none would be green.
const recordedAtLeast = 5

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
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
