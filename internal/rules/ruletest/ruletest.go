// Package ruletest runs rules against fixtures. A fixture is one txtar file in the rule's
// testdata folder, named CODE.txtar or CODE.CASE.txtar:
//
//	Why this case exists, in a sentence.
//	-- state.yaml --
//	Kubernetes objects as kubectl prints them, decoded strictly: a misspelt field fails.
//	-- snapshot.yaml --
//	Optional: the moment, what was not read, the API server, answers to questions.
//	-- want.yaml --
//	What the rule says. Written by `go test ./internal/rules/... -update`, read by people.
//
// Every rule has a fixture in which it fires and one in which it stays silent; a fixture without a
// rule fails. Rules see only the kinds that they declare, so a rule that reads another fails too.
package ruletest

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

// Update makes tests write what they saw instead of comparing it.
var update = flag.Bool("update", false, "rewrite the want.yaml of every fixture")

const (
	stateFile    = "state.yaml"
	snapshotFile = "snapshot.yaml"
	wantFile     = "want.yaml"
)

// Updating tells whether files are to be rewritten (-update).
func Updating() bool { return *update }

// Example is what a rule says about one of its fixtures.
type Example struct {
	// Case says in a sentence why the fixture exists.
	Case string
	// Findings of the rule; none in a fixture in which it stays silent.
	Findings []finding.Finding
}

// Examples are all fixtures of a rule in a folder's testdata: the one that bears its code alone first.
func Examples(t *testing.T, r rule.Rule, folder string) []Example {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "testdata", string(r.Code)+".*txtar"))
	if err != nil {
		t.Fatal(err)
	}
	plain := string(r.Code) + ".txtar"
	slices.SortFunc(paths, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case filepath.Base(a) == plain:
			return -1
		case filepath.Base(b) == plain:
			return 1
		default:
			return strings.Compare(a, b)
		}
	})
	var out []Example
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{}
		for _, f := range archive.Files {
			files[f.Name] = f.Data
		}
		s, err := load(files[stateFile], files[snapshotFile])
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		result := rule.Evaluate(t.Context(), s, []rule.Rule{r}, nil, rule.Budget{})
		out = append(out, Example{Case: strings.TrimSpace(string(archive.Comment)), Findings: result.Findings})
	}
	return out
}

// Run tests the rules of one folder against the fixtures in its testdata.
func Run(t *testing.T, rules []rule.Rule) {
	t.Helper()
	byCode := map[finding.Code]rule.Rule{}
	for _, r := range rules {
		byCode[r.Code] = r
	}
	paths, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	fires, silent := map[finding.Code]bool{}, map[finding.Code]bool{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		code, _, _ := strings.Cut(name, ".")
		r, ok := byCode[finding.Code(code)]
		if !ok {
			t.Errorf("%s: no rule %s in this folder", path, code)
			continue
		}
		t.Run(name, func(t *testing.T) {
			got := runFixture(t, path, r)
			fires[r.Code] = fires[r.Code] || len(got.Findings) > 0
			silent[r.Code] = silent[r.Code] || len(got.Findings) == 0
		})
	}
	for _, code := range slices.Sorted(maps.Keys(byCode)) {
		if !fires[code] {
			t.Errorf("rule %s has no fixture in which it fires: write testdata/%s.txtar", code, code)
		}
		if !silent[code] {
			t.Errorf("rule %s has no fixture in which it stays silent: write testdata/%s.CASE.txtar for a healthy state that looks like it", code, code)
		}
	}
}

func runFixture(t *testing.T, path string, r rule.Rule) said {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range archive.Files {
		switch f.Name {
		case stateFile, snapshotFile, wantFile:
			files[f.Name] = f.Data
		default:
			t.Fatalf("%s: a fixture has no file %s", path, f.Name)
		}
	}
	if strings.TrimSpace(string(archive.Comment)) == "" {
		t.Errorf("%s: say in the first line why this case exists", path)
	}
	s, err := load(files[stateFile], files[snapshotFile])
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	result := rule.Evaluate(t.Context(), s, []rule.Rule{r}, nil, rule.Budget{})
	for _, f := range result.Failures {
		t.Errorf("%s: %v", path, f.Err)
	}
	got := sayings(result)
	for _, f := range result.Findings {
		if f.Title.EN == "" || f.Title.KO == "" || f.Why.EN == "" || f.Why.KO == "" {
			t.Errorf("%s: a finding about %v lacks its title or its why in a language", path, f.Subject)
		}
		if f.Mechanism == "" {
			t.Errorf("%s: a finding about %v lacks its mechanism", path, f.Subject)
		}
	}
	if *update {
		write(t, path, archive, got)
		return got
	}
	var want said
	if err := yaml.UnmarshalStrict(files[wantFile], &want); err != nil {
		t.Fatalf("%s: %s: %v", path, wantFile, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
	return got
}

func write(t *testing.T, path string, archive *txtar.Archive, got said) {
	t.Helper()
	data, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == wantFile })
	archive.Files = append(archive.Files, txtar.File{Name: wantFile, Data: data})
	if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}
