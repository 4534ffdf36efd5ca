// Package diagnosis turns findings into incidents: few roots, each with everything that it
// explains. Findings are nodes of a graph whose edges say "explains"; an edge is drawn only where
// topology and the rules' own statements, held against the snapshot, allow it. What nothing
// explains is a root. The same snapshot gives the same incidents, byte for byte.
package diagnosis

import (
	"cmp"
	"slices"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Diagnosis is the answer about a cluster.
type Diagnosis struct {
	// Snapshot that was judged, with every answer that was given.
	Snapshot *snapshot.Snapshot
	// Verdict about the whole cluster, or about Scope.
	Verdict finding.Verdict
	// Scope that the diagnosis was confined to; zero means the whole cluster.
	Scope Scope
	// Incidents, the most severe first.
	Incidents []finding.Incident
	// Findings in a fixed order, each with the incident that it belongs to.
	Findings []Placed
	// Skips are what could not be checked.
	Skips []finding.Skip
	// Failures are rules that broke.
	Failures []finding.Failure
	// Risks are findings about what the next loss would take, the gravest and widest first.
	Risks []finding.Finding
	// RiskSkips are what could not be looked at for Risks.
	RiskSkips []finding.Skip
	// Ignored are the findings that somebody asked not to be shown.
	Ignored []Ignored
	// Unanswered is the number of questions that rules asked in vain.
	Unanswered int
}

// Placed is a finding with its place.
type Placed struct {
	finding.Finding

	// Incident is the id of the first incident that it belongs to; empty when it belongs to none.
	Incident string
}

// Diagnose joins the findings of an evaluation into incidents, and leaves out those that annotations
// in the cluster, or the requests given, ask not to be shown.
func Diagnose(res rule.Result, rules []rule.Rule, ignore ...Ignore) Diagnosis {
	d := Diagnosis{Snapshot: res.Snapshot, Failures: res.Failures, Unanswered: res.Unanswered}
	requests := requestsIn(res.Snapshot, ignore, rules)
	d.Skips = requests.skips
	res = d.setRisksApart(res, rules, requests)
	d.Skips = append(d.Skips, res.Skips...)
	g := newGraph(res.Snapshot, res.Findings, rules)
	roots := map[string]int{}
	for _, root := range g.roots() {
		incident := g.incident(root)
		roots[incident.ID] = root
		d.Incidents = append(d.Incidents, incident)
	}
	slices.SortStableFunc(d.Incidents, compareIncidents)
	quiet := d.ignoreIncidents(requests)
	place := make([]string, len(res.Findings))
	put := func(incidents []finding.Incident) {
		for _, incident := range incidents {
			for _, i := range g.reach(roots[incident.ID]) {
				if place[i] == "" {
					place[i] = incident.ID
				}
			}
		}
	}
	put(d.Incidents)
	put(quiet)
	silenced := map[string]bool{}
	for _, incident := range quiet {
		silenced[incident.ID] = true
	}
	d.Findings = make([]Placed, 0, len(res.Findings))
	for i, f := range res.Findings {
		if silenced[place[i]] {
			continue
		}
		if request, ok := requests.find(res.Snapshot, f); ok && place[i] == "" {
			d.Ignored = append(d.Ignored, Ignored{Finding: f, Request: request})
			continue
		}
		d.Findings = append(d.Findings, Placed{Finding: f, Incident: place[i]})
	}
	slices.SortStableFunc(d.Ignored, func(a, b Ignored) int { return finding.Compare(a.Finding, b.Finding) })
	d.Verdict = verdict(d, rules)
	return d
}

// setRisksApart takes what risk rules said out of a result: it is no part of any incident.
func (d *Diagnosis) setRisksApart(res rule.Result, rules []rule.Rule, r requests) rule.Result {
	risk := map[finding.Code]bool{}
	for _, one := range rules {
		risk[one.Code] = one.Risk
	}
	findings := make([]finding.Finding, 0, len(res.Findings))
	for _, f := range res.Findings {
		if !risk[f.Code] {
			findings = append(findings, f)
			continue
		}
		if request, ok := r.find(res.Snapshot, f); ok {
			d.Ignored = append(d.Ignored, Ignored{Finding: f, Request: request})
			continue
		}
		d.Risks = append(d.Risks, f)
	}
	var skips []finding.Skip
	for _, s := range res.Skips {
		if risk[s.Code] {
			d.RiskSkips = append(d.RiskSkips, s)
		} else {
			skips = append(skips, s)
		}
	}
	slices.SortStableFunc(d.Risks, func(a, b finding.Finding) int {
		return cmp.Or(cmp.Compare(finding.Rank(a.Severity), finding.Rank(b.Severity)), cmp.Compare(len(b.Explains), len(a.Explains)), finding.Compare(a, b))
	})
	res.Findings, res.Skips = findings, skips
	return res
}

// compareIncidents puts the most severe first, then the one with the widest effect, then the oldest.
func compareIncidents(a, b finding.Incident) int {
	oldest := func(i finding.Incident) int64 {
		if i.Root.Since.IsZero() {
			return 1<<63 - 1
		}
		return i.Root.Since.Unix()
	}
	return cmp.Or(
		cmp.Compare(finding.Rank(a.Severity), finding.Rank(b.Severity)),
		cmp.Compare(reachOf(b), reachOf(a)),
		cmp.Compare(oldest(a), oldest(b)),
		finding.Compare(a.Root, b.Root),
	)
}

func reachOf(i finding.Incident) int {
	n := 0
	for _, names := range i.Affected {
		n += len(names)
	}
	return n
}
