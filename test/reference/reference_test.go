// Package reference writes the reference of rules in docs/ from the rules and from their fixtures,
// and holds it against them: what a rule is and why, what it says about a case, what looks like it
// and is left alone, and which rule finds what operators look for.
//
//	go test ./test/reference -update        what make generate runs
package reference

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	listing "github.com/maek-dev/maek/internal/cli/rules"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/rules/ruletest"
)

//go:generate go test . -update

// module is where the module's own files lie, seen from this folder.
const module = "../.."

// captions are the words around what the rules say, in one language.
type captions struct {
	title, preface, columns              string
	example, evidence, now, later, alike string
}

var captionsOf = map[finding.Language]captions{
	finding.English: {
		title: "Rules",
		preface: "What Maek can find, by the layer of the cluster. Generated from the rules and from the cases that test them; `kubectl maek explain CODE` shows one.\n" +
			"[detections.md](detections.md) tells which of them finds what operators look for.",
		columns: "| code | severity | what is wrong |\n|---|---|---|",
		example: "Example", evidence: "evidence", now: "do now", later: "later", alike: "Looks like it, and is left alone",
	},
	finding.Korean: {
		title: "규칙",
		preface: "Maek이 찾아낼 수 있는 문제를 클러스터의 계층별로 정리했습니다. 규칙과 그 테스트 사례에서 생성했습니다. `kubectl maek explain CODE --lang ko`로 하나씩 볼 수 있습니다.\n" +
			"운영자가 찾는 문제를 어느 규칙이 찾는지는 [detections.md](detections.md)에 있습니다(영어).",
		columns: "| 코드 | 심각도 | 문제 |\n|---|---|---|",
		example: "예", evidence: "근거", now: "조치", later: "예방",
	},
}

// suffix of the files in a language.
var suffix = map[finding.Language]string{finding.English: ".md", finding.Korean: ".ko.md"}

func TestReferenceIsCurrent(t *testing.T) {
	for language, words := range captionsOf {
		end := suffix[language]
		folderOf := map[finding.Code]string{}
		for _, f := range rules.Folders() {
			for _, r := range f.Rules {
				folderOf[r.Code] = f.Name
			}
		}
		var index strings.Builder
		fmt.Fprintf(&index, "# %s\n\n%s\n", words.title, words.preface)
		for _, f := range rules.Folders() {
			fmt.Fprintf(&index, "\n## [%s](rules/%s%s)\n\n%s\n", f.Name, f.Name, end, words.columns)
			var page strings.Builder
			fmt.Fprintf(&page, "# %s: %s\n", words.title, f.Name)
			for _, r := range f.Rules {
				severity := string(r.Severity)
				if r.Risk {
					severity = "risk"
				}
				fmt.Fprintf(&index, "| [%s](rules/%s%s#%s) | %s | %s |\n", r.Code, f.Name, end, strings.ToLower(string(r.Code)), severity, cell(r.Title.In(language)))
				listing.Entry(&page, r, language, func(code finding.Code) string {
					return folderOf[code] + end + "#" + strings.ToLower(string(code))
				})
				examples(&page, ruletest.Examples(t, r, filepath.Join(module, "internal/rules", f.Name)), words, language)
			}
			current(t, filepath.Join("docs/rules", f.Name+end), page.String())
		}
		current(t, "docs/rules"+end, index.String())
	}
}

// examples writes what a rule says about its first case in which it fires, and the cases in which it
// stays silent. Cases are named in English only; Korean readers find them in the rule's own text.
func examples(b *strings.Builder, all []ruletest.Example, words captions, l finding.Language) {
	told := false
	var silent []string
	for _, e := range all {
		switch {
		case len(e.Findings) == 0:
			silent = append(silent, e.Case)
		case !told:
			told = true
			example(b, e.Findings[0], words, l)
		}
	}
	if words.alike == "" || len(silent) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n\n", words.alike)
	for _, s := range silent {
		fmt.Fprintf(b, "- %s\n", strings.Join(strings.Fields(s), " "))
	}
}

func example(b *strings.Builder, f finding.Finding, words captions, l finding.Language) {
	fmt.Fprintf(b, "\n%s:\n\n> **%s**\n>\n> %s\n", words.example, f.Title.In(l), f.Why.In(l))
	if len(f.Evidence) > 0 {
		fmt.Fprintf(b, "\n%s:\n\n", words.evidence)
	}
	for _, e := range f.Evidence {
		path := ""
		if e.Path != "" {
			path = " `" + e.Path + "`"
		}
		fmt.Fprintf(b, "- %s%s: `%s`\n", e.Source, path, strings.ReplaceAll(e.Value, "`", "'"))
	}
	for _, part := range []struct {
		label    string
		remedies []finding.Remedy
	}{{words.now, f.Remedies.Now}, {words.later, f.Remedies.Later}} {
		if len(part.remedies) > 0 {
			fmt.Fprintf(b, "\n%s:\n\n", part.label)
		}
		for _, r := range part.remedies {
			fmt.Fprintf(b, "- %s", r.Text.In(l))
			if r.Command != "" {
				machine := ""
				if r.Machine != "" {
					machine = r.Machine + "$ "
				}
				fmt.Fprintf(b, ": `%s%s`", machine, r.Command)
			}
			b.WriteByte('\n')
		}
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// current compares a file of the module with what it should be, or writes it.
func current(t *testing.T, path, want string) {
	t.Helper()
	full := filepath.Join(module, path)
	if ruletest.Updating() {
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	is, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(is), want); diff != "" {
		t.Errorf("%s is out of date, run make generate (-is +should be):\n%s", path, diff)
	}
}

// TestNoFileIsLeftOver finds the page of a folder that is gone.
func TestNoFileIsLeftOver(t *testing.T) {
	known := map[string]bool{}
	for _, f := range rules.Folders() {
		for _, end := range suffix {
			known[f.Name+end] = true
		}
	}
	entries, err := os.ReadDir(filepath.Join(module, "docs/rules"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !known[e.Name()] {
			t.Errorf("docs/rules/%s belongs to no folder of rules", e.Name())
		}
	}
}
