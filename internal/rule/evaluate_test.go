package rule

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

var now = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

func everyPod(p *Pass) {
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		p.Report(finding.Finding{Subject: snapshot.SubjectOf(pod), Since: pod.CreationTimestamp.Time})
	}
}

func world(podState snapshot.State, pods ...*corev1.Pod) *snapshot.Snapshot {
	b := snapshot.NewBuilder(now, snapshot.Source{})
	for _, p := range pods {
		b.Add(p)
	}
	b.SetCoverage(snapshot.KindOf[*corev1.Pod](), snapshot.Coverage{State: podState, Reason: "connection lost"})
	return b.Build()
}

func pod(name string, age time.Duration) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))}}
}

func TestEvaluateHoldsRulesToWhatTheyDeclare(t *testing.T) {
	tests := map[string]struct {
		rule         Rule
		state        snapshot.State
		wantFindings int
		wantSkips    []string
		wantFailures []string
	}{
		"a kind that was read whole": {
			rule:  Rule{Code: "R", Needs: []Need{Whole[*corev1.Pod]()}, Detect: everyPod},
			state: snapshot.Complete, wantFindings: 1,
		},
		"a forbidden kind is a skip": {
			rule:  Rule{Code: "R", Needs: []Need{Whole[*corev1.Pod]()}, Detect: everyPod},
			state: snapshot.Forbidden, wantSkips: []string{"pods: forbidden, needs list on pods"},
		},
		"a part is not enough for a rule that argues from absence": {
			rule:  Rule{Code: "R", Needs: []Need{Whole[*corev1.Pod]()}, Detect: everyPod},
			state: snapshot.Partial, wantSkips: []string{"pods: read in part only: connection lost"},
		},
		"a part is judged as far as it goes, and what is missing is said": {
			rule:  Rule{Code: "R", Needs: []Need{Any[*corev1.Pod]()}, Detect: everyPod},
			state: snapshot.Partial, wantFindings: 1, wantSkips: []string{"pods: read in part only: connection lost"},
		},
		"an optional kind that failed is no skip": {
			rule:  Rule{Code: "R", Needs: []Need{Optional[*corev1.Pod]()}, Detect: everyPod},
			state: snapshot.Failed, wantFindings: 1,
		},
		"reading what was not declared is a failure of the rule": {
			rule:  Rule{Code: "R", Detect: everyPod},
			state: snapshot.Complete, wantFailures: []string{"evaluating R: pods is read but not declared"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Evaluate(t.Context(), world(tc.state, pod("a", time.Hour)), []Rule{tc.rule}, nil, Budget{})
			if len(got.Findings) != tc.wantFindings {
				t.Errorf("%d findings, want %d", len(got.Findings), tc.wantFindings)
			}
			var skips, failures []string
			for _, s := range got.Skips {
				skips = append(skips, s.Reason.EN)
			}
			for _, f := range got.Failures {
				failures = append(failures, f.Err.Error())
			}
			if diff := cmp.Diff(tc.wantSkips, skips); diff != "" {
				t.Errorf("skips (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantFailures, failures); diff != "" {
				t.Errorf("failures (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvaluateGoesOnAfterARuleThatPanics(t *testing.T) {
	rules := []Rule{
		{Code: "A", Detect: func(*Pass) { panic("oh") }},
		{Code: "B", Needs: []Need{Any[*corev1.Pod]()}, Detect: everyPod},
	}
	got := Evaluate(t.Context(), world(snapshot.Complete, pod("a", time.Hour)), rules, nil, Budget{})
	if len(got.Findings) != 1 || len(got.Failures) != 1 {
		t.Errorf("%d findings and %d failures, want 1 and 1", len(got.Findings), len(got.Failures))
	}
}

func TestAFindingYoungerThanItsRuleAllowsIsSettling(t *testing.T) {
	r := Rule{Code: "R", For: time.Minute, Needs: []Need{Any[*corev1.Pod]()}, Detect: everyPod}
	got := Evaluate(t.Context(), world(snapshot.Complete, pod("new", 30*time.Second), pod("old", time.Hour)), []Rule{r}, nil, Budget{})
	settling := map[string]bool{}
	for _, f := range got.Findings {
		settling[f.Subject.Name] = f.Settling
	}
	if diff := cmp.Diff(map[string]bool{"new": true, "old": false}, settling); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// echo answers every question with its own name, and keeps what it was asked.
type echo struct{ rounds [][]snapshot.Question }

func (e *echo) Answer(_ context.Context, questions []snapshot.Question) map[snapshot.Question]snapshot.Answer {
	e.rounds = append(e.rounds, questions)
	out := map[snapshot.Question]snapshot.Answer{}
	for _, q := range questions {
		out[q] = snapshot.Answer{Outcome: snapshot.Answered, Text: q.Name}
	}
	return out
}

func log(name string) snapshot.Question {
	return snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "shop", Name: name}
}

// ask makes a rule that asks questions one after another, each once the one before is answered.
func ask(code finding.Code, questions ...snapshot.Question) Rule {
	return Rule{Code: code, Detect: func(p *Pass) {
		for _, q := range questions {
			a, ok := p.Ask(q)
			if !ok {
				return
			}
			p.Report(finding.Finding{Subject: finding.Subject{Kind: "Pod", Name: a.Text}})
		}
	}}
}

func TestEvaluateAsksInRounds(t *testing.T) {
	e := &echo{}
	got := Evaluate(t.Context(), world(snapshot.Complete), []Rule{
		ask("A", log("a"), log("b"), log("c")), ask("B", log("a")),
	}, e, Budget{Questions: 10, Logs: 10, Time: time.Minute})
	want := [][]snapshot.Question{{log("a")}, {log("b")}}
	if diff := cmp.Diff(want, e.rounds); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if len(got.Findings) != 3 {
		t.Errorf("%d findings, want a and b of A and a of B", len(got.Findings))
	}
}

func TestEvaluateKeepsToItsBudget(t *testing.T) {
	all := func(code finding.Code, questions ...snapshot.Question) Rule {
		return Rule{Code: code, Detect: func(p *Pass) {
			for _, q := range questions {
				p.Ask(q)
			}
		}}
	}
	connection := snapshot.Question{Kind: snapshot.KubeletConnection, Name: "w1"}
	e := &echo{}
	got := Evaluate(t.Context(), world(snapshot.Complete), []Rule{
		all("A", log("a1"), log("a2"), log("a3")), all("B", log("b1"), connection),
	}, e, Budget{Questions: 3, Logs: 2, Time: time.Minute})
	want := []snapshot.Question{log("a1"), log("b1"), connection}
	if diff := cmp.Diff([][]snapshot.Question{want}, e.rounds); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if got.Unanswered != 2 {
		t.Errorf("%d questions unanswered, want a2 and a3", got.Unanswered)
	}
}

func TestATimeFromTheFutureSaysNothing(t *testing.T) {
	r := Rule{Code: "R", For: time.Hour, Needs: []Need{Any[*corev1.Pod]()}, Detect: everyPod}
	got := Evaluate(t.Context(), world(snapshot.Complete, pod("ahead", -2*time.Hour), pod("a-little-ahead", -time.Second)), []Rule{r}, nil, Budget{})
	settling := map[string]bool{}
	for _, f := range got.Findings {
		settling[f.Subject.Name] = f.Settling
	}
	if diff := cmp.Diff(map[string]bool{"ahead": false, "a-little-ahead": true}, settling); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARuleSaysNothingGraverThanItDeclares(t *testing.T) {
	critical := func(p *Pass) {
		p.Report(finding.Finding{Severity: finding.Critical, Subject: finding.Subject{Kind: "Pod", Name: "a"}})
	}
	tests := map[string]struct {
		rule         Rule
		wantFailures int
	}{
		"a warning that speaks of something critical fails": {Rule{Code: "R", Severity: finding.Warning, Detect: critical}, 1},
		"one that says that it may does not":                {Rule{Code: "R", Severity: finding.Warning, Gravest: finding.Critical, Detect: critical}, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Evaluate(t.Context(), world(snapshot.Complete), []Rule{tc.rule}, nil, Budget{})
			if len(got.Failures) != tc.wantFailures {
				t.Errorf("failures %v, want %d", got.Failures, tc.wantFailures)
			}
		})
	}
}

// deaf answers the first question that it hears in each round, and no other.
type deaf struct{ heard []snapshot.Question }

func (d *deaf) Answer(_ context.Context, questions []snapshot.Question) map[snapshot.Question]snapshot.Answer {
	d.heard = append(d.heard, questions...)
	return map[snapshot.Question]snapshot.Answer{questions[0]: {Outcome: snapshot.Answered}}
}

func TestQuestionsInVainAreCountedAndNotPutAgain(t *testing.T) {
	all := Rule{Code: "R", Detect: func(p *Pass) {
		for _, name := range []string{"a", "b", "c"} {
			p.Ask(log(name))
		}
	}}
	budget := Budget{Questions: 10, Logs: 10, Time: time.Minute}
	tests := map[string]struct {
		answerer   *deaf
		wantHeard  []snapshot.Question
		wantInVain int
	}{
		"one of three is answered": {&deaf{}, []snapshot.Question{log("a"), log("b"), log("c")}, 2},
		"nobody is there":          {nil, nil, 3},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got Result
			if tc.answerer == nil {
				got = Evaluate(t.Context(), world(snapshot.Complete), []Rule{all}, nil, budget)
			} else {
				got = Evaluate(t.Context(), world(snapshot.Complete), []Rule{all}, tc.answerer, budget)
				if diff := cmp.Diff(tc.wantHeard, tc.answerer.heard); diff != "" {
					t.Errorf("put (-want +got):\n%s", diff)
				}
			}
			if got.Unanswered != tc.wantInVain {
				t.Errorf("%d unanswered, want %d", got.Unanswered, tc.wantInVain)
			}
		})
	}
}
