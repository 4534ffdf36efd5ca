// Package roots holds which finding people read first where several rules see one fault, on the fixtures
// of those rules.
package roots

import (
	"cmp"
	"path/filepath"
	"slices"
	"testing"

	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/rules/ruletest"
)

// A rule about probes that names the field which is wrong must explain the rules that see the symptom,
// so that people read one incident and not two.
func TestRootsExplainSymptoms(t *testing.T) {
	for name, tc := range map[string]struct {
		fixture     string
		folder      string // of the fixture's rules; "probes" where it is empty
		wantRoot    finding.Code
		wantEffects []finding.Code
	}{
		"a port that does not exist explains that readiness fails": {
			fixture: "ProbePortNotFound.txtar", wantRoot: "ProbePortNotFound", wantEffects: []finding.Code{"PodNotReady", "ReadinessProbeFailing"},
		},
		"a wrong path explains that readiness fails": {
			fixture: "ProbeNeverSucceeded.txtar", wantRoot: "ProbeNeverSucceeded", wantEffects: []finding.Code{"PodNotReady", "ReadinessProbeFailing"},
		},
		"a liveness probe that kills a start explains the loop": {
			fixture: "ProbeKillsStart.txtar", wantRoot: "ProbeKillsStart", wantEffects: []finding.Code{"LivenessProbeFailing", "PodNotReady"},
		},
		"a startup probe that kills a start explains the loop": {
			fixture: "ProbeKillsStart.startup.txtar", wantRoot: "ProbeKillsStart", wantEffects: []finding.Code{"PodNotReady", "StartupProbeFailing"},
		},
		"arithmetic explains a loop of which no event is left": {
			fixture: "ProbeKillsStart.arithmetic.txtar", wantRoot: "ProbeKillsStart", wantEffects: []finding.Code{"ContainerCrashLoop", "PodNotReady"},
		},
		"a cascade is told under the probe that failed": {
			fixture: "ProbeCascade.txtar", wantRoot: "ReadinessProbeFailing", wantEffects: []finding.Code{"PodNotReady", "ProbeCascade"},
		},
		"a Service without endpoints explains the Check of it, and a wrong path both": {
			folder: "checks", fixture: "CheckFailing.endpoints.txtar", wantRoot: "ProbeNeverSucceeded",
			wantEffects: []finding.Code{"CheckFailing", "ServiceWithoutEndpoints", "PodNotReady", "ReadinessProbeFailing"},
		},
		"a wrong path is the one incident of a Check from the first minute on": {
			folder: "checks", fixture: "CheckFailing.fresh.txtar", wantRoot: "ProbeNeverSucceeded",
			wantEffects: []finding.Code{"CheckFailing", "ServiceWithoutEndpoints", "RolloutStuck", "WorkloadUnavailable", "PodNotReady"},
		},
		"a policy that keeps the kubelet out explains the pods": {
			fixture: "ProbeRefusedByPolicy.txtar", wantRoot: "ProbeRefusedByPolicy", wantEffects: []finding.Code{"PodNotReady", "ReadinessProbeFailing"},
		},
		"liveness probes that killed all replicas at once are one incident": {
			fixture: "ProbeCascade.liveness.txtar", wantRoot: "ProbeCascade",
		},
		"a gate that nobody sets explains the pods": {
			fixture: "ReadinessGateUnset.txtar", wantRoot: "ReadinessGateUnset", wantEffects: []finding.Code{"PodNotReady"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			all := rules.All()
			d := diagnosis.Diagnose(rule.Evaluate(t.Context(), ruletest.Objects(t, filepath.Join("..", "..", "internal", "rules", cmp.Or(tc.folder, "probes"), "testdata", tc.fixture)), all, nil, rule.Budget{}), all)
			var roots []finding.Code
			for _, i := range d.Incidents {
				roots = append(roots, i.Root.Code)
				for _, want := range tc.wantEffects {
					if !slices.ContainsFunc(i.Chain, func(l finding.Link) bool { return l.Code == want }) {
						t.Errorf("%s about %v does not explain %s", i.Root.Code, i.Root.Subject, want)
					}
				}
			}
			if len(roots) == 0 || slices.ContainsFunc(roots, func(c finding.Code) bool { return c != tc.wantRoot }) {
				t.Errorf("roots are %v, want %s", roots, tc.wantRoot)
			}
		})
	}
}
