package diagnosis

import (
	"slices"
	"strings"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

// Scope is the part of a cluster that a diagnosis speaks of. The whole cluster is judged all the
// same: what a namespace suffers from may lie outside it.
type Scope struct {
	// Namespace spoken of; empty means the whole cluster.
	Namespace string
	// Others is the number of incidents that do not touch Namespace and were left out.
	Others int
}

// In confines a diagnosis to the incidents that touch a namespace, and to the findings that lie in
// it or belong to one of those. The verdict becomes that of what is left.
func (d Diagnosis) In(namespace string, rules []rule.Rule) Diagnosis {
	kept := map[string]bool{}
	var incidents []finding.Incident
	for _, incident := range d.Incidents {
		if touches(incident, namespace) {
			incidents = append(incidents, incident)
			kept[incident.ID] = true
		}
	}
	var findings []Placed
	for _, f := range d.Findings {
		if kept[f.Incident] || (f.Incident == "" && inside(f.Subject, namespace)) {
			findings = append(findings, f)
		}
	}
	d.Scope = Scope{Namespace: namespace, Others: len(d.Incidents) - len(incidents)}
	d.Incidents, d.Findings = incidents, findings
	d.Verdict = verdict(d, rules)
	return d
}

func inside(s finding.Subject, namespace string) bool {
	return s.Namespace == namespace || (s.Kind == "Namespace" && s.Name == namespace)
}

func touches(i finding.Incident, namespace string) bool {
	if inside(i.Root.Subject, namespace) {
		return true
	}
	if slices.Contains(i.Affected["Namespace"], namespace) {
		return true
	}
	for _, names := range i.Affected {
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, namespace+"/") }) {
			return true
		}
	}
	return false
}
