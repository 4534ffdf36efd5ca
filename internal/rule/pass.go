package rule

import (
	"fmt"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Pass is one run of one rule over one snapshot. It carries the snapshot, restricted to what the
// rule declares, and takes what the rule has to say.
type Pass struct {
	*snapshot.Snapshot

	rule      Rule
	findings  []finding.Finding
	skips     []finding.Skip
	questions []snapshot.Question
}

// futureTolerance is how far in the future a time may lie and still be one of now: condition times
// come from the clocks of nodes.
const futureTolerance = time.Minute

// Report takes a finding. The rule's code and severity are filled in where they are empty. A Since
// from the future says nothing and is dropped: taken for young, a finding would settle for as long
// as a node's clock is ahead.
func (p *Pass) Report(f finding.Finding) {
	f.Code = p.rule.Code
	if f.Severity == "" {
		f.Severity = p.rule.Severity
	}
	if worst := p.rule.Worst(); finding.Rank(f.Severity) < finding.Rank(worst) {
		panic(fmt.Sprintf("a finding is %s, and the rule says at most %s: set its Gravest", f.Severity, worst))
	}
	if f.Since.After(p.Now().Add(futureTolerance)) {
		f.Since = time.Time{}
	}
	if !f.Since.IsZero() && p.Now().Sub(f.Since) < p.rule.For {
		f.Settling = true
	}
	p.findings = append(p.findings, f)
}

// Skip says that the rule, or a part of it, could not be evaluated, and why.
func (p *Pass) Skip(reason finding.Text) {
	p.skips = append(p.skips, finding.Skip{Code: p.rule.Code, Reason: reason})
}

// Ask asks a question. The answer is there in a later round; false means that it is not there yet,
// or never will be, and the rule must say what it can without it.
func (p *Pass) Ask(q snapshot.Question) (snapshot.Answer, bool) {
	if a, ok := p.Answer(q); ok {
		return a, true
	}
	p.questions = append(p.questions, q)
	return snapshot.Answer{}, false
}

// twice finds a subject about which two findings were reported: one of them would be lost where
// incidents are told apart.
func (p *Pass) twice() (finding.Subject, bool) {
	seen := make(map[finding.Subject]bool, len(p.findings))
	for _, f := range p.findings {
		if seen[f.Subject] {
			return f.Subject, true
		}
		seen[f.Subject] = true
	}
	return finding.Subject{}, false
}
