package diagnosis

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Scope is the part of a cluster that a diagnosis speaks of. The whole cluster is judged all the
// same: what a namespace suffers from may lie outside it.
type Scope struct {
	// Namespace spoken of; empty means every one.
	Namespace string
	// Labels that something in an incident must carry; nil means none.
	Labels labels.Selector
	// Others is the number of incidents that do not touch it and were left out.
	Others int
}

// IsZero tells whether the scope is the whole cluster.
func (s Scope) IsZero() bool { return s.Namespace == "" && s.Labels == nil }

// In confines a diagnosis to the incidents that touch a scope, and to the findings that lie in it or
// belong to one of those. The verdict becomes that of what is left.
func (d Diagnosis) In(scope Scope, rules []rule.Rule) Diagnosis {
	if scope.IsZero() {
		return d
	}
	in := inside(d.Snapshot, scope)
	kept := map[string]bool{}
	var incidents []finding.Incident
	for _, incident := range d.Incidents {
		if touches(incident, in) {
			incidents = append(incidents, incident)
			kept[incident.ID] = true
		}
	}
	var findings []Placed
	for _, f := range d.Findings {
		if kept[f.Incident] || (f.Incident == "" && in(f.Subject)) {
			findings = append(findings, f)
		}
	}
	d.Risks = slices.DeleteFunc(slices.Clone(d.Risks), func(f finding.Finding) bool { return !in(f.Subject) })
	scope.Others = len(d.Incidents) - len(incidents)
	d.Scope, d.Incidents, d.Findings = scope, incidents, findings
	d.Verdict = verdict(d, rules)
	return d
}

// inside makes the test of whether a subject lies in a scope. A workload carries the labels of its
// pods too: people select by what they see on either.
func inside(s *snapshot.Snapshot, scope Scope) func(finding.Subject) bool {
	var labeled map[finding.Subject]bool
	if scope.Labels != nil {
		labeled = map[finding.Subject]bool{}
		for _, k := range s.Kinds() {
			s.Each(k, func(o snapshot.Object) {
				if !scope.Labels.Matches(labels.Set(o.GetLabels())) {
					return
				}
				labeled[finding.Subject{Kind: k.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}] = true
				if p, ok := o.(*corev1.Pod); ok {
					labeled[s.Workload(p)] = true
				}
			})
		}
	}
	return func(subject finding.Subject) bool {
		ns := scope.Namespace
		return (ns == "" || subject.Namespace == ns || subject.Kind == "Namespace" && subject.Name == ns) &&
			(labeled == nil || labeled[subject])
	}
}

func touches(i finding.Incident, in func(finding.Subject) bool) bool {
	if in(i.Root.Subject) {
		return true
	}
	for kind, names := range i.Affected {
		for _, name := range names {
			subject := finding.Subject{Kind: kind, Name: name}
			if namespace, rest, ok := strings.Cut(name, "/"); ok {
				subject.Namespace, subject.Name = namespace, rest
			}
			if in(subject) {
				return true
			}
		}
	}
	return false
}
