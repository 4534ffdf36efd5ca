package report

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

var update = flag.Bool("update", false, "write what the renderers print into the goldens")

// seoul has a fixed offset, so that the goldens need no time zone database.
var seoul = time.FixedZone("KST", 9*60*60)

// TestGoldens renders each testdata/NAME.txtar, which holds one document in both languages (en.yaml
// and ko.yaml), in both widths, and compares the whole output. A name that begins with "recorded"
// is shown as a recording.
func TestGoldens(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, lang := range []finding.Language{finding.English, finding.Korean} {
				doc := document(t, archive, string(lang)+".yaml")
				for _, width := range []int{120, 80} {
					got := render(t, doc, Options{
						Language: lang, Width: width, Location: seoul, Program: "kubectl maek",
						Recorded: strings.HasPrefix(name, "recorded"),
					})
					compare(t, archive, fmt.Sprintf("%s-%d.txt", lang, width), got)
				}
				if everyFormat[name] {
					compareFormats(t, archive, doc, Options{Language: lang, Location: seoul, Rules: someRules})
				}
			}
			if *update {
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func document(t *testing.T, a *txtar.Archive, name string) v1alpha1.Diagnosis {
	t.Helper()
	var d v1alpha1.Diagnosis
	if err := yaml.UnmarshalStrict(file(t, a, name), &d); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

func file(t *testing.T, a *txtar.Archive, name string) []byte {
	t.Helper()
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return a.Files[i].Data
}

func render(t *testing.T, d v1alpha1.Diagnosis, o Options) string {
	t.Helper()
	var out bytes.Buffer
	if err := Terminal(&out, d, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func compare(t *testing.T, a *txtar.Archive, name, got string) {
	t.Helper()
	if *update {
		a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
		a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(got)})
		return
	}
	if diff := cmp.Diff(string(file(t, a, name)), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestLinesFitTheWidth(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/two-faults.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range []finding.Language{finding.English, finding.Korean} {
		doc := document(t, archive, string(lang)+".yaml")
		for width := 60; width <= 160; width++ {
			for l := range strings.Lines(render(t, doc, Options{Language: lang, Width: width})) {
				l = strings.TrimSuffix(l, "\n")
				if columns(l) > width && !unbreakable(l) {
					t.Errorf("%s, width %d: a line takes %d columns: %q", lang, width, columns(l), l)
				}
			}
		}
	}
}

// unbreakable tells whether a line is too long only because of what must stay whole: a command, or
// one word.
func unbreakable(l string) bool {
	return strings.Contains(l, "kubectl ") || strings.Contains(l, "$ ") || len(strings.Fields(l)) <= 2
}

func TestColourAddsOnlyControlSequences(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/two-faults.txtar")
	if err != nil {
		t.Fatal(err)
	}
	doc := document(t, archive, "en.yaml")
	coloured := render(t, doc, Options{Color: true})
	if !strings.Contains(coloured, "\x1b[1;31mCRITICAL") {
		t.Errorf("CRITICAL is not red:\n%q", coloured)
	}
	if diff := cmp.Diff(render(t, doc, Options{}), withoutStyles(coloured)); diff != "" {
		t.Errorf("without its control sequences the coloured text differs (-plain +coloured):\n%s", diff)
	}
}

func withoutStyles(s string) string {
	for _, st := range []style{bold, dim, red, green, yellow, cyan} {
		s = strings.ReplaceAll(s, "\x1b["+string(st)+"m", "")
	}
	return strings.ReplaceAll(s, "\x1b[0m", "")
}

// hostile is what somebody may write into an object's message to fool a reader.
const hostile = "\x1b]0;owned\x07\x1b[2J\x1b[1;1Hfine\r\n✓ Healthy\u009b31m\u202egnp.exe\xff\u2028end"

func hostileDocument() v1alpha1.Diagnosis {
	subject := v1alpha1.Subject{Kind: hostile, Namespace: hostile, Name: hostile}
	evidence := []v1alpha1.Evidence{{Source: hostile, Value: hostile}}
	return v1alpha1.Diagnosis{
		Cluster: v1alpha1.Cluster{Name: hostile, Version: hostile},
		Verdict: v1alpha1.VerdictCritical,
		Scope:   &v1alpha1.Scope{Namespace: hostile, OtherIncidents: 1},
		Incidents: []v1alpha1.IncidentDetails{{
			Code: hostile, Severity: v1alpha1.SeverityCritical, Title: hostile, Subject: subject, Why: hostile,
			Chain:    []v1alpha1.Link{{Subject: subject, Text: hostile}, {Subject: subject, Text: hostile, Depth: 9}, {Subject: subject, Depth: -3}},
			RuledOut: []v1alpha1.Statement{{Text: hostile}}, Evidence: evidence,
			Remedies: v1alpha1.Remedies{Now: []v1alpha1.Remedy{{Text: hostile, Command: hostile, Machine: hostile}}, Later: []v1alpha1.Remedy{{Text: hostile}}},
		}},
		Findings: []v1alpha1.FindingDetails{{Severity: v1alpha1.SeverityInfo, Text: hostile}, {Settling: true, Text: hostile}},
		Skipped:  []v1alpha1.SkippedRule{{Code: hostile, Reason: hostile + ": " + hostile}},
		Errors:   []v1alpha1.SkippedRule{{Code: hostile, Reason: hostile}},
	}
}

func TestTextFromObjectsNeverControlsTheTerminal(t *testing.T) {
	printers := map[string]func(*bytes.Buffer) error{
		"terminal": func(b *bytes.Buffer) error { return Terminal(b, hostileDocument(), Options{Program: "kubectl maek"}) },
		"json":     func(b *bytes.Buffer) error { return JSON(b, hostileDocument()) },
		"yaml":     func(b *bytes.Buffer) error { return YAML(b, hostileDocument()) },
	}
	for name, print := range printers {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := print(&out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), "owned") {
				t.Fatalf("the text is not there at all:\n%q", out.String())
			}
			for _, r := range out.String() {
				if r != '\n' && unsafe(r) {
					t.Fatalf("U+%04X reaches the terminal:\n%q", r, out.String())
				}
			}
			if name == "terminal" && strings.Contains(out.String(), "\n✓") {
				t.Errorf("an object's text begins a line of its own:\n%s", out.String())
			}
		})
	}
}

func TestProgramsReadBackWhatIsWritten(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/two-faults.txtar")
	if err != nil {
		t.Fatal(err)
	}
	want := document(t, archive, "ko.yaml")
	for name, print := range map[string]func(*bytes.Buffer) error{
		"json": func(b *bytes.Buffer) error { return JSON(b, want) },
		"yaml": func(b *bytes.Buffer) error { return YAML(b, want) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := print(&out); err != nil {
				t.Fatal(err)
			}
			var got v1alpha1.Diagnosis
			if err := yaml.UnmarshalStrict(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
