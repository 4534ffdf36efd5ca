// Package rule is the contract of detection rules. A rule is data and one pure function over a
// snapshot; it knows one thing that can be wrong. This package says what a rule declares, runs
// rules over a snapshot in rounds of questions and answers, and knows no rule by name.
package rule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Rule is one thing that can be wrong.
type Rule struct {
	// Code is the rule's stable name, unique among all rules, PascalCase.
	Code finding.Code
	// Title says what is wrong, in a few words and without names.
	Title finding.Text
	// Doc explains the fault for the reference: what it is, why it happens, which healthy states
	// look like it and are left alone.
	Doc finding.Text
	// Link to documentation of the thing that fails.
	Link string
	// Severity of its findings, where a finding does not say otherwise.
	Severity finding.Severity
	// Gravest is the worst severity that any of its findings has; empty means Severity. What a rule
	// needs that can say critical must be read before a cluster is called healthy.
	Gravest finding.Severity
	// Needs are the kinds that the rule reads.
	Needs []Need
	// CustomResources tells that the rule reads objects of kinds that CustomResourceDefinitions define.
	CustomResources bool
	// Machine names evidence from machines that the rule reads, as key patterns in which "*" stands
	// for one segment; it is always optional.
	Machine []snapshot.EvidenceKey
	// For is how long a finding must have lasted to be a root of its own. A younger one is an
	// effect if something explains it, and is settling otherwise.
	For time.Duration
	// Symptom marks a rule whose findings say that something suffers, not why: any finding that
	// claims their subject (Finding.Explains) explains them.
	Symptom bool
	// Risk marks a rule whose findings say what the next loss would take. They are no incidents and no
	// part of the verdict; nothing explains them, and they explain nothing.
	Risk bool
	// Causes are the other rules whose findings can explain a finding of this rule.
	Causes []Cause
	// Detect looks at the snapshot and reports what it finds. It must be a pure function of the
	// Pass: no I/O, no clock, no state, no map iteration order in its output.
	Detect func(*Pass)
}

// Worst is the worst severity that a finding of the rule has.
func (r Rule) Worst() finding.Severity {
	if r.Gravest == "" {
		return r.Severity
	}
	return finding.Worst(r.Severity, r.Gravest)
}

// Need is a kind that a rule reads.
type Need struct {
	// Kind that is read.
	Kind snapshot.Kind
	// Demand says what the rule makes of an incomplete kind.
	Demand Demand
}

// Demand says how much of a kind a rule must have.
type Demand int

const (
	// DemandWhole: without all objects of the kind the rule can say nothing, for it argues from
	// what is absent.
	DemandWhole Demand = iota
	// DemandAny: what is there can be judged one by one; what is missing is reported as a skip.
	DemandAny
	// DemandNone: the kind only adds evidence or names; the rule stands without it.
	DemandNone
)

// unmet tells whether a rule with this demand can say nothing about a kind so covered.
func (d Demand) unmet(c snapshot.Coverage) bool {
	switch d {
	case DemandWhole:
		return !c.Known()
	case DemandAny:
		return !c.Readable()
	default:
		return false
	}
}

// Whole demands every object of a type.
func Whole[T snapshot.Object]() Need { return Need{snapshot.KindOf[T](), DemandWhole} }

// Any demands whatever objects of a type could be read.
func Any[T snapshot.Object]() Need { return Need{snapshot.KindOf[T](), DemandAny} }

// Optional reads objects of a type where they are there.
func Optional[T snapshot.Object]() Need { return Need{snapshot.KindOf[T](), DemandNone} }

// Owners are what Snapshot.Workload reads, optionally.
func Owners() []Need {
	var needs []Need
	for _, k := range snapshot.OwnerKinds() {
		needs = append(needs, Need{k, DemandNone})
	}
	return needs
}

// Creations are what Snapshot.CreateFailures reads, optionally.
func Creations() []Need {
	var needs []Need
	for _, k := range snapshot.CreationKinds() {
		needs = append(needs, Need{k, DemandNone})
	}
	return needs
}

// Cause is a rule whose finding can explain a finding of this rule.
type Cause struct {
	// Code of the explaining rule.
	Code finding.Code
	// Via is how the explaining finding's subject is tied to this one's.
	Via Relation
	// Holds checks an edge against the data, beyond subject and time; nil means that the relation
	// says enough. It must be pure.
	Holds func(s *snapshot.Snapshot, effect, cause finding.Finding) bool
}

// Relation is how the subject of an effect is tied to the subject of its cause.
type Relation string

// The relations. Package diagnosis says how each is looked up.
const (
	// Itself: both findings are about one subject.
	Itself Relation = "itself"
	// RunsOn: the effect is a Pod on the cause's Node.
	RunsOn Relation = "runs on"
	// OnMachine: the effect is a Node, a Pod on it or a thing on its machine, and the cause is about a
	// thing on that machine.
	OnMachine Relation = "on machine"
	// HasPod: the effect is a workload or a Service, and the cause is about one of its Pods.
	HasPod Relation = "has pod"
	// Serves: the effect is a Service that selects pods of the cause's workload.
	Serves Relation = "serves"
	// Claimed: the cause claims the effect's subject (Finding.Explains). A Symptom is explained so by
	// every rule; others name whom they accept.
	Claimed Relation = "claimed"
	// Cluster: the cause reaches every subject, as the control plane does.
	Cluster Relation = "cluster"
)

// Catalog collects the rules of one folder, in the order of their files. It is filled by
// package-level variables only and read after.
type Catalog struct {
	rules []Rule
}

// Add takes a rule in. It panics on a second rule with the same code and on a rule that lacks what
// every rule must have, which any test of the folder shows. The result exists so that Add can
// stand in a package-level variable declaration.
func (c *Catalog) Add(r Rule) struct{} {
	if err := r.validate(); err != nil {
		panic(fmt.Sprintf("rule %q: %v", r.Code, err))
	}
	for _, other := range c.rules {
		if other.Code == r.Code {
			panic(fmt.Sprintf("rule %q is there twice", r.Code))
		}
	}
	c.rules = append(c.rules, r)
	return struct{}{}
}

// Rules of the catalog, sorted by code.
func (c *Catalog) Rules() []Rule {
	out := slices.Clone(c.rules)
	slices.SortFunc(out, func(a, b Rule) int { return compareCodes(a.Code, b.Code) })
	return out
}

func (r Rule) validate() error {
	switch {
	case r.Code == "":
		return errors.New("it has no code")
	case r.Title.EN == "" || r.Title.KO == "":
		return errors.New("its title lacks a language")
	case r.Doc.EN == "" || r.Doc.KO == "":
		return errors.New("its documentation lacks a language")
	case r.Link == "":
		return errors.New("it has no link")
	case r.Severity == "":
		return errors.New("it has no severity")
	case r.Detect == nil:
		return errors.New("it detects nothing")
	}
	return nil
}

// Kinds returns every kind that any of the rules reads, once each, in a fixed order.
func Kinds(rules []Rule) []snapshot.Kind {
	seen := map[snapshot.Kind]bool{}
	var out []snapshot.Kind
	for _, r := range rules {
		for _, n := range r.Needs {
			if !seen[n.Kind] {
				seen[n.Kind] = true
				out = append(out, n.Kind)
			}
		}
	}
	slices.SortFunc(out, snapshot.CompareKinds)
	return out
}

// CustomResources tells whether any of the rules reads custom resources.
func CustomResources(rules []Rule) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool { return r.CustomResources })
}
