package rule

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// MaxRounds bounds the rounds of one evaluation: rules ask, answers come, rules look again.
const MaxRounds = 3

// Budget bounds what all questions of one evaluation may cost together.
type Budget struct {
	// Questions is the number of questions that may be asked.
	Questions int
	// Logs is how many of them may be ContainerLog.
	Logs int
	// Time that all answers may take.
	Time time.Duration
}

// DefaultBudget is what a diagnosis may spend on questions.
var DefaultBudget = Budget{Questions: 60, Logs: 20, Time: 15 * time.Second}

// Answerer answers questions about a cluster. It answers what it can within the context and leaves
// out the rest; it only reads.
type Answerer interface {
	Answer(ctx context.Context, questions []snapshot.Question) map[snapshot.Question]snapshot.Answer
}

// Result is what an evaluation found, in a fixed order.
type Result struct {
	// Snapshot with every answer that was given.
	Snapshot *snapshot.Snapshot
	// Findings sorted by severity, code and subject.
	Findings []finding.Finding
	// Skips sorted by code and reason.
	Skips []finding.Skip
	// Failures are rules that broke, sorted by code.
	Failures []finding.Failure
	// Unanswered is the number of questions that rules asked in vain: the budget did not reach them,
	// nobody was there to answer, or no answer came in time.
	Unanswered int
}

// outcome is what one rule said in its last round.
type outcome struct {
	findings  []finding.Finding
	skips     []finding.Skip
	questions []snapshot.Question
	err       error
}

// Evaluate runs rules over a snapshot. Where rules ask questions and answerer is not nil, they are
// answered within the budget and the rules that asked look again, at most MaxRounds times in all.
func Evaluate(ctx context.Context, s *snapshot.Snapshot, rules []Rule, answerer Answerer, budget Budget) Result {
	rules = slices.SortedFunc(slices.Values(rules), func(a, b Rule) int { return compareCodes(a.Code, b.Code) })
	if budget.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, budget.Time)
		defer cancel()
	}
	outcomes := make([]outcome, len(rules))
	pending := make([]bool, len(rules))
	for i := range rules {
		pending[i] = true
	}
	left := allowance{questions: budget.Questions, logs: budget.Logs, put: map[snapshot.Question]bool{}}
	for round := 1; ; round++ {
		for i, r := range rules {
			if pending[i] {
				outcomes[i] = run(r, s)
			}
		}
		if answerer == nil || round == MaxRounds || ctx.Err() != nil {
			break
		}
		questions := left.take(outcomes)
		if len(questions) == 0 {
			break
		}
		answers := answerer.Answer(ctx, questions)
		if len(answers) == 0 {
			break
		}
		s = s.With(answers)
		for i := range rules {
			pending[i] = slices.ContainsFunc(outcomes[i].questions, func(q snapshot.Question) bool {
				_, ok := answers[q]
				return ok
			})
		}
	}
	return collect(s, rules, outcomes)
}

// allowance is what is left of a budget.
type allowance struct {
	questions int
	logs      int
	// put are the questions that were put already; none is put twice.
	put map[snapshot.Question]bool
}

// take returns the questions that can still be afforded, each once. Rules take turns, so that one
// with many questions does not starve the others.
func (a *allowance) take(outcomes []outcome) []snapshot.Question {
	var questions []snapshot.Question
	for i := 0; ; i++ {
		more := false
		for _, o := range outcomes {
			if i >= len(o.questions) {
				continue
			}
			more = true
			q := o.questions[i]
			if a.put[q] || a.questions == 0 || (q.Kind == snapshot.ContainerLog && a.logs == 0) {
				continue
			}
			a.put[q] = true
			a.questions--
			if q.Kind == snapshot.ContainerLog {
				a.logs--
			}
			questions = append(questions, q)
		}
		if !more {
			slices.SortFunc(questions, snapshot.CompareQuestions)
			return questions
		}
	}
}

// unanswered counts the questions, each once, that rules still ask.
func unanswered(s *snapshot.Snapshot, outcomes []outcome) int {
	open := map[snapshot.Question]bool{}
	for _, o := range outcomes {
		for _, q := range o.questions {
			if _, ok := s.Answer(q); !ok {
				open[q] = true
			}
		}
	}
	return len(open)
}

// run evaluates one rule. A panic in it is the rule's failure and nobody else's.
func run(r Rule, s *snapshot.Snapshot) (out outcome) {
	kinds := make([]snapshot.Kind, 0, len(r.Needs))
	for _, n := range r.Needs {
		c := s.Coverage(n.Kind)
		if n.Demand.unmet(c) {
			return outcome{skips: []finding.Skip{{Code: r.Code, Reason: gap(n.Kind, c)}}}
		}
		if n.Demand == DemandAny && !c.Known() {
			out.skips = append(out.skips, finding.Skip{Code: r.Code, Reason: gap(n.Kind, c)})
		}
		kinds = append(kinds, n.Kind)
	}
	view := s.Restrict(kinds, r.Machine)
	if r.CustomResources {
		view = view.WithCustomResources()
	}
	p := &Pass{Snapshot: view, rule: r}
	defer func() {
		if v := recover(); v != nil {
			out = outcome{err: fmt.Errorf("evaluating %s: %v", r.Code, v)}
		}
	}()
	r.Detect(p)
	if twice, ok := p.twice(); ok {
		return outcome{err: fmt.Errorf("evaluating %s: it has two findings about %s", r.Code, finding.Named(twice))}
	}
	out.findings = p.findings
	out.skips = append(out.skips, p.skips...)
	out.questions = p.questions
	return out
}

// gap says in words why a kind could not be read whole.
func gap(k snapshot.Kind, c snapshot.Coverage) finding.Text {
	name := k.GroupResource()
	switch c.State {
	case snapshot.Forbidden:
		return finding.Textf("%s: forbidden, needs list on %[1]s", "%s: 권한이 없습니다. %[1]s에 대한 list 권한이 필요합니다", name)
	case snapshot.Partial:
		return finding.Textf("%s: read in part only: %s", "%s: 일부만 읽었습니다: %s", name, c.Reason)
	case snapshot.Failed:
		return finding.Textf("%s: could not be read: %s", "%s: 읽지 못했습니다: %s", name, c.Reason)
	default:
		return finding.Textf("%s: not collected", "%s: 수집되지 않았습니다", name)
	}
}

func collect(s *snapshot.Snapshot, rules []Rule, outcomes []outcome) Result {
	res := Result{Snapshot: s, Unanswered: unanswered(s, outcomes)}
	found := 0
	for _, o := range outcomes {
		found += len(o.findings)
	}
	res.Findings = make([]finding.Finding, 0, found)
	for i, o := range outcomes {
		res.Findings = append(res.Findings, o.findings...)
		res.Skips = append(res.Skips, o.skips...)
		if o.err != nil {
			res.Failures = append(res.Failures, finding.Failure{Code: rules[i].Code, Err: o.err})
		}
	}
	res.Skips = append(res.Skips, MachineGaps(s)...)
	res.Findings = finding.Sorted(res.Findings)
	slices.SortStableFunc(res.Skips, func(a, b finding.Skip) int {
		return cmp.Or(compareCodes(a.Code, b.Code), cmp.Compare(a.Reason.EN, b.Reason.EN))
	})
	return res
}

func compareCodes(a, b finding.Code) int { return cmp.Compare(a, b) }
