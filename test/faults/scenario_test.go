package faults

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// scenariosAtLeast is how many there are; a test over none would be green.
const scenariosAtLeast = 70

func TestEveryScenarioCanBeRead(t *testing.T) {
	scenarios, err := Load(".", func(name string) string { return name })
	if err != nil {
		t.Fatal(err)
	}
	if len(scenarios) < scenariosAtLeast {
		t.Errorf("%d scenarios, want at least %d", len(scenarios), scenariosAtLeast)
	}
}

func TestJudge(t *testing.T) {
	w1 := v1alpha1.Subject{Kind: "Node", Name: "w1"}
	w2 := v1alpha1.Subject{Kind: "Node", Name: "w2"}
	truth := Truth{
		Roots:    []Root{{Code: "KubeletStopped", Subjects: []v1alpha1.Subject{w1}, Mechanism: v1alpha1.MechanismStopped}},
		Affected: []string{"Pod shop/a", "Pod shop/b"},
	}
	incident := func(subject v1alpha1.Subject, pods ...string) v1alpha1.IncidentDetails {
		return v1alpha1.IncidentDetails{
			Code: "KubeletStopped", Subject: subject, Mechanism: v1alpha1.MechanismStopped, Title: "it does not run",
			Affected: map[string][]string{"Pod": pods},
		}
	}
	tests := map[string]struct {
		truth Truth
		said  v1alpha1.Diagnosis
		want  Score
	}{
		"the whole truth": {
			truth: truth, said: v1alpha1.Diagnosis{Incidents: []v1alpha1.IncidentDetails{incident(w1, "shop/a", "shop/b")}},
			want: Score{Detected: true, RootFirst: true, ExactSet: true, AffectedFound: 1, Noise: 1},
		},
		"half of what suffers": {
			truth: truth, said: v1alpha1.Diagnosis{Incidents: []v1alpha1.IncidentDetails{incident(w1, "shop/a")}},
			want: Score{
				Detected: true, RootFirst: true, ExactSet: true, AffectedFound: 0.5, Noise: 1,
				Missing: []string{"not named as affected: Pod shop/b"},
			},
		},
		"fewer of a kind than suffer": {
			truth: Truth{Roots: truth.Roots, AffectedAtLeast: map[string]int{"Pod": 4}},
			said:  v1alpha1.Diagnosis{Incidents: []v1alpha1.IncidentDetails{incident(w1, "shop/a")}},
			want: Score{
				Detected: true, RootFirst: true, ExactSet: true, AffectedFound: 0.25, Noise: 1,
				Missing: []string{"only 1 affected of kind Pod, not 4"},
			},
		},
		"the wrong node first": {
			truth: truth, said: v1alpha1.Diagnosis{Incidents: []v1alpha1.IncidentDetails{incident(w2), incident(w1, "shop/a", "shop/b")}},
			want: Score{
				Detected: true, AffectedFound: 1, Noise: 2,
				Missing: []string{"an incident too many: KubeletStopped (stopped) {Node  w2 }: it does not run"},
			},
		},
		"healthy while it burns": {
			truth: Truth{Roots: truth.Roots}, said: v1alpha1.Diagnosis{Verdict: v1alpha1.VerdictHealthy},
			want: Score{
				FalseAllClear: true, AffectedFound: 1,
				Missing: []string{"no incident KubeletStopped (stopped) about [{Node  w1 }]"},
			},
		},
		"a false alarm": {
			said: v1alpha1.Diagnosis{Incidents: []v1alpha1.IncidentDetails{incident(w1)}},
			want: Score{
				AffectedFound: 1, Noise: 1,
				Missing: []string{"an incident too many: KubeletStopped (stopped) {Node  w1 }: it does not run"},
			},
		},
		"healthy where too little can be seen to say so": {
			truth: Truth{Verdict: v1alpha1.VerdictUnknown}, said: v1alpha1.Diagnosis{Verdict: v1alpha1.VerdictHealthy},
			want: Score{Detected: true, RootFirst: true, ExactSet: true, AffectedFound: 1, Missing: []string{"it says Healthy, not Unknown"}},
		},
		"rightly nothing": {
			said: v1alpha1.Diagnosis{Verdict: v1alpha1.VerdictHealthy},
			want: Score{Detected: true, RootFirst: true, ExactSet: true, AffectedFound: 1},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.truth.Judge(tc.said)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
