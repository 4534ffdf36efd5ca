package diagnosis

import (
	"fmt"
	"maps"
	"slices"

	"github.com/maek-dev/maek/internal/finding"
)

// evidencePerLink bounds the evidence shown for one effect: the finding itself carries the rest.
const evidencePerLink = 2

// incident makes the incident of a root.
func (g *graph) incident(root int) finding.Incident {
	reach := g.reach(root)
	f := g.findings[root]
	incident := finding.Incident{
		ID: finding.IncidentID(f), Root: f, Severity: f.Severity,
	}
	for _, i := range reach {
		incident.Severity = finding.Worst(incident.Severity, g.findings[i].Severity)
	}
	incident.Affected = g.affected(root, reach)
	incident.Chain = g.chain(root, reach)
	return incident
}

// affected collects, by kind, the names of what suffers.
func (g *graph) affected(root int, reach []int) map[string][]string {
	names := map[string]map[string]bool{}
	add := func(s finding.Subject) {
		if s == g.findings[root].Subject {
			return
		}
		if names[s.Kind] == nil {
			names[s.Kind] = map[string]bool{}
		}
		names[s.Kind][finding.Qualified(s)] = true
	}
	for _, i := range reach {
		add(g.findings[i].Subject)
		for _, s := range g.findings[i].Explains {
			add(s)
		}
	}
	if len(names) == 0 {
		return nil
	}
	out := make(map[string][]string, len(names))
	for kind, set := range names {
		out[kind] = slices.Sorted(maps.Keys(set))
	}
	return out
}

// chain lays out the effects as a tree, each below the cause by which it is reached first, so that
// every chain is as short as it can be. Pods that suffer alike under one cause are one link: what
// people want to know is how many, and what they served.
func (g *graph) chain(root int, reach []int) []finding.Link {
	position := make(map[int]int, len(reach))
	for n, i := range reach {
		position[i] = n
	}
	children := map[int][]int{}
	for _, i := range reach[1:] {
		parent := g.parent(i, position)
		children[parent] = append(children[parent], i)
	}
	var links []finding.Link
	var visit func(parents []int, depth int32)
	visit = func(parents []int, depth int32) {
		var below []int
		for _, p := range parents {
			below = append(below, children[p]...)
		}
		for _, group := range g.alike(below) {
			links = append(links, g.link(group, depth))
			visit(group, depth+1)
		}
	}
	visit([]int{root}, 0)
	return links
}

// parent is the cause below which an effect is told: another finding about the same subject, if that
// is reached before it, else the one that is reached first.
func (g *graph) parent(effect int, position map[int]int) int {
	causes := g.within(g.causes[effect], position)
	for _, c := range causes {
		if g.findings[c].Subject == g.findings[effect].Subject && position[c] < position[effect] {
			return c
		}
	}
	return slices.MinFunc(causes, func(a, b int) int { return position[a] - position[b] })
}

func (g *graph) within(causes []int, position map[int]int) []int {
	return slices.DeleteFunc(slices.Clone(causes), func(c int) bool {
		_, ok := position[c]
		return !ok
	})
}

// alike groups findings that one link can tell: pods with the same code. The order of the first
// of each group is kept; everything else is a group of its own.
func (g *graph) alike(findings []int) [][]int {
	slices.Sort(findings)
	var groups [][]int
	pods := map[finding.Code]int{}
	for _, i := range findings {
		f := g.findings[i]
		if f.Subject.Kind != "Pod" {
			groups = append(groups, []int{i})
			continue
		}
		if n, ok := pods[f.Code]; ok {
			groups[n] = append(groups[n], i)
			continue
		}
		pods[f.Code] = len(groups)
		groups = append(groups, []int{i})
	}
	return groups
}

func (g *graph) link(group []int, depth int32) finding.Link {
	f := g.findings[group[0]]
	text := f.Title
	if len(group) > 1 {
		title := g.rules[f.Code].Title
		text = finding.Text{
			EN: fmt.Sprintf("%d pods: %s", len(group), title.EN),
			KO: fmt.Sprintf("Pod %d개: %s", len(group), title.KO),
		}
	}
	return finding.Link{
		Subject: f.Subject, Code: f.Code, Depth: depth, Text: text,
		Evidence: f.Evidence[:min(len(f.Evidence), evidencePerLink)],
	}
}
