// Package finding holds the words in which Maek speaks of trouble: a Finding is one thing wrong
// with one subject, an Incident is a root finding with all that it explains, a Skip is a place
// where nobody could look. It has no I/O and no clock, and knows neither rules nor renderers.
package finding

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// The words that the API's documents share with the code.
type (
	// Severity says how much a finding matters.
	Severity = v1alpha1.Severity
	// Verdict is the one-word answer about a cluster.
	Verdict = v1alpha1.Verdict
	// Confidence says how firmly evidence carries a cause.
	Confidence = v1alpha1.Confidence
	// Mechanism is the stable word for the way in which a subject fails.
	Mechanism = v1alpha1.Mechanism
	// Subject is what a finding is about.
	Subject = v1alpha1.Subject
	// Evidence is a value seen at a source at a time.
	Evidence = v1alpha1.Evidence
)

// The severities, worst first.
const (
	Critical = v1alpha1.SeverityCritical
	Warning  = v1alpha1.SeverityWarning
	Info     = v1alpha1.SeverityInfo
)

// Code is a rule's stable name, PascalCase, unique among all rules. It is also the reason of the
// condition or event that tells of the finding.
type Code string

// Statement is a sentence with the evidence that it stands on.
type Statement struct {
	Text     Text
	Evidence []Evidence
}

// Remedy is one thing to do.
type Remedy struct {
	// Text says what to do, or what Command does.
	Text Text
	// Command to paste, with every name filled in; empty where there is none.
	Command string
	// Machine on which to run Command; empty means wherever kubectl works.
	Machine string
}

// Remedies are in two parts.
type Remedies struct {
	// Now ends the trouble.
	Now []Remedy
	// Later keeps it from coming back.
	Later []Remedy
}

// Finding is one thing wrong with one subject, as one rule found it.
type Finding struct {
	// Code of the rule; filled in by the evaluation.
	Code Code
	// Severity; the rule's own where the finding does not say otherwise.
	Severity Severity
	// Subject that is wrong. A rule says all that it finds wrong with one subject in one finding: Code
	// and Subject together are unique.
	Subject Subject
	// Mechanism by which it is wrong.
	Mechanism Mechanism
	// Field, flag or file that is wrong, where there is one.
	Field string
	// Since is when it began; zero where the evidence does not say.
	Since time.Time
	// Title is one line: the subject first, then what happened to it.
	Title Text
	// Why says how that is known.
	Why Text
	// Evidence for it.
	Evidence []Evidence
	// Explains names the subjects whose trouble this finding proves to be its own doing, beyond
	// what topology says: the very pods that cannot start because of it, say.
	Explains []Subject
	// WaitsFor names the subjects that its own evidence says it waits for or calls in vain: the Service
	// whose name its log tells. A finding about one of them that is no younger explains this one.
	WaitsFor []Subject
	// RuledOut names causes that the evidence excludes.
	RuledOut []Statement
	// Remedies for it, used when the finding turns out to be a root.
	Remedies Remedies
	// Confidence in Mechanism; empty means high.
	Confidence Confidence
	// Settling marks a finding younger than its rule requires. It can be an effect, and is a root
	// only of what has lasted longer than itself.
	Settling bool
}

// Skip says that a rule was not, or not wholly, evaluated, and why. It is never the same as healthy.
type Skip struct {
	// Code of the rule; empty where the gap concerns no single rule.
	Code Code
	// Reason says what could not be looked at and why.
	Reason Text
}

// Failure is a rule that broke: a fault of Maek's, never of the cluster's.
type Failure struct {
	// Code of the rule.
	Code Code
	// Err is what happened.
	Err error
}
