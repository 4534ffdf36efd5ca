package probe

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules/probes"
	"github.com/maek-dev/maek/internal/rules/ruletest"
	"github.com/maek-dev/maek/internal/snapshot"
)

// cases are the clusters that the rules of probes are tested with.
func cases(t *testing.T, code finding.Code) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "rules", "probes", "testdata", string(code)+".*txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases of %s: %v", code, err)
	}
	return paths
}

// What a rule recommends must hold when it is played with what was observed in the very clusters that it is tested with.
func TestWhatRulesRecommendHoldsInItsSimulation(t *testing.T) {
	told := 0
	for _, r := range probes.Catalog.Rules() {
		for _, path := range cases(t, r.Code) {
			s := ruletest.Objects(t, path)
			for _, f := range rule.Evaluate(t.Context(), s, []rule.Rule{r}, nil, rule.Budget{}).Findings {
				before := slices.Concat(f.Remedies.Now, f.Remedies.Later)
				told += len(simulate(s, &f))
				if diff := cmp.Diff(before, slices.Concat(f.Remedies.Now, f.Remedies.Later)); diff != "" {
					t.Errorf("%s: not recommended after its simulation (-rule +simulated):\n%s", filepath.Base(path), diff)
				}
			}
		}
	}
	if told == 0 {
		t.Error("nothing was played")
	}
}

func TestSimulationsAreTold(t *testing.T) {
	tests := map[string]struct {
		file string
		want []string
	}{
		"a start that was measured": {"ProbeKillsStart.txtar", []string{
			"played with a start of 45 s, the longest of 1 pod: as it is, killed 30 to 40 s after each start; patched, never killed, and ready after 45 to 54 s",
		}},
		"none that was": {"ProbeKillsStart.arithmetic.txtar", []string{
			"no start was seen to its end: as it is, one of more than 30 s can be killed; patched, one of more than 5 min can be killed",
		}},
		"pauses": {"ReadinessFlapping.txtar", []string{
			"played with pauses: as it is, one of more than 21 s can take it out of its Services; patched, only one of more than 51 s",
		}},
		"a hang that is noticed sooner": {"ProbeTimingUnsuitable.timeout.txtar", []string{
			"played with pauses: as it is, one of more than 5 min can have it killed; patched, one of more than 120 s can already",
		}},
		"a liveness probe where there was none": {"HangsWithoutLivenessProbe.txtar", []string{
			"no start was seen to its end: as it is, no start is too long; patched, one of more than 5 min can be killed",
		}},
		"a patch that changes no numbers": {"ProbePortNotFound.txtar", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			code, _, _ := strings.Cut(tc.file, ".")
			s, f := found(t, tc.file, finding.Code(code))
			var got []string
			for _, text := range simulate(s, &f) {
				got = append(got, text.EN)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// found is what a rule finds first in one of its cases.
func found(t *testing.T, file string, code finding.Code) (*snapshot.Snapshot, finding.Finding) {
	t.Helper()
	rules := probes.Catalog.Rules()
	i := slices.IndexFunc(rules, func(r rule.Rule) bool { return r.Code == code })
	s := ruletest.Objects(t, filepath.Join("..", "..", "rules", "probes", "testdata", file))
	all := rule.Evaluate(t.Context(), s, rules[i:i+1], nil, rule.Budget{}).Findings
	if len(all) == 0 {
		t.Fatalf("%s finds nothing in %s", code, file)
	}
	return s, all[0]
}

func TestAPatchThatDoesNotHoldIsNotRecommended(t *testing.T) {
	const command = `kubectl -n shop patch deployment/api --type=strategic -p '{"spec":{"template":{"spec":{"containers":[{"name":"app","startupProbe":{"failureThreshold":FAILURES,"periodSeconds":10,"tcpSocket":{"port":8080}}}]}}}}'`
	tests := map[string]struct {
		file, failures string
		want           bool
	}{
		"too short for a start that was measured":   {"ProbeKillsStart.txtar", "4", false},
		"long enough for it":                        {"ProbeKillsStart.txtar", "6", true},
		"no more than what killed it, and none was": {"ProbeKillsStart.arithmetic.txtar", "4", false},
		"more than what killed it, though none was": {"ProbeKillsStart.arithmetic.txtar", "9", true},
		"what cannot be read is for the API server": {"ProbeKillsStart.txtar", `"many"`, true},
		"a startup probe that is taken away":        {"ProbeKillsStart.txtar", `1,"$patch":"delete"`, false},
		"nothing was ever killed or measured":       {"HangsWithoutLivenessProbe.txtar", "1", true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			code, _, _ := strings.Cut(tc.file, ".")
			s, f := found(t, tc.file, finding.Code(code))
			f.Remedies = finding.Remedies{Now: []finding.Remedy{{Text: finding.Verbatim("give it time"), Command: strings.Replace(command, "FAILURES", tc.failures, 1)}}}
			simulate(s, &f)
			if got := f.Remedies.Now[0].Command != ""; got != tc.want {
				t.Errorf("recommended: %t, want %t; %s", got, tc.want, f.Remedies.Now[0].Text.EN)
			}
		})
	}
}
