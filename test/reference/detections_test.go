package reference

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/test/faults"
)

// section is a part of detections.yaml.
type section struct {
	Section string      `json:"section"`
	Rows    []detection `json:"rows"`
}

// detection is one thing that operators look for.
type detection struct {
	ID     string         `json:"id"`
	What   string         `json:"what"`
	Codes  []finding.Code `json:"codes,omitempty"`
	Reason string         `json:"reason,omitempty"`
}

const preface = `# What is detected

What operators look for, and which rules find it. Rows 1 to 131 are what Popeye, k8sgpt, Troubleshoot and others detect
between them; N1 to N33 is what none of them does; the rest is about machines, etcd and networks. A row without a code has
its reason. Fault scenarios (test/faults) are made on a real control plane whose nodes are code (controlplane), or on the lab, where they
are looked at by the API server alone (lab), with the reports of agents (agents), and by a machine for itself (machine).

Generated from test/reference/detections.yaml and the truths of test/faults.
`

func TestDetectionsAreCurrent(t *testing.T) {
	data, err := os.ReadFile("detections.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var sections []section
	if err := yaml.UnmarshalStrict(data, &sections); err != nil {
		t.Fatal(err)
	}
	folderOf := map[finding.Code]string{}
	for _, f := range rules.Folders() {
		for _, r := range f.Rules {
			folderOf[r.Code] = f.Name
		}
	}
	var page strings.Builder
	page.WriteString(preface)
	told := map[finding.Code]bool{}
	for _, s := range sections {
		fmt.Fprintf(&page, "\n## %s\n\n| # | what | found by |\n|---|---|---|\n", s.Section)
		for _, d := range s.Rows {
			if len(d.Codes) == 0 && d.Reason == "" {
				t.Errorf("row %s has neither a code nor a reason", d.ID)
			}
			var by []string
			for _, c := range d.Codes {
				told[c] = true
				if folderOf[c] == "" {
					t.Errorf("row %s names %s, which no rule finds", d.ID, c)
				}
				by = append(by, fmt.Sprintf("[%s](rules/%s.md#%s)", c, folderOf[c], strings.ToLower(string(c))))
			}
			found := strings.Join(by, ", ")
			if d.Reason != "" {
				found = strings.TrimPrefix(found+"; "+d.Reason, "; ")
			}
			fmt.Fprintf(&page, "| %s | %s | %s |\n", d.ID, cell(d.What), cell(found))
		}
	}
	scenarios(t, &page, folderOf, told)
	var rest []string
	for code, folder := range folderOf {
		if !told[code] {
			rest = append(rest, fmt.Sprintf("[%s](rules/%s.md#%s)", code, folder, strings.ToLower(string(code))))
		}
	}
	slices.Sort(rest)
	if len(rest) > 0 {
		fmt.Fprintf(&page, "\n## Beyond these\n\n%s\n", strings.Join(rest, ", "))
	}
	current(t, filepath.Join("docs", "detections.md"), page.String())
}

// scenarios writes which rule names each fault scenario's cause, from the truths that the suite holds
// every diagnosis against.
func scenarios(t *testing.T, page *strings.Builder, folderOf map[finding.Code]string, told map[finding.Code]bool) {
	t.Helper()
	all, err := faults.Load(filepath.Join(module, "test/faults"), strings.ToLower)
	if err != nil {
		t.Fatal(err)
	}
	page.WriteString("\n## Fault scenarios\n\n| scenario | what is done | cause named by | run on |\n|---|---|---|---|\n")
	for _, s := range all {
		var by, on []string
		for _, env := range []faults.Environment{faults.ControlPlane, faults.Lab, faults.Agents, faults.Machine} {
			truth, ok := s.Truth[env]
			if !ok {
				continue
			}
			on = append(on, string(env))
			for _, root := range truth.Roots {
				code := finding.Code(root.Code)
				told[code] = true
				if folderOf[code] == "" {
					t.Errorf("scenario %s names %s, which no rule finds", s.Name, code)
				}
				if link := fmt.Sprintf("[%s](rules/%s.md#%s)", code, folderOf[code], strings.ToLower(root.Code)); !slices.Contains(by, link) {
					by = append(by, link)
				}
			}
		}
		if len(by) == 0 {
			by = []string{"nothing: it only looks ill"}
		}
		fmt.Fprintf(page, "| %s | %s | %s | %s |\n", s.Name, cell(s.Title), strings.Join(by, ", "), strings.Join(on, ", "))
	}
}
