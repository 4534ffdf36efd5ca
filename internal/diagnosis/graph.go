package diagnosis

import (
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// clockTolerance is how much later than its effect a cause may seem to begin: the two times come
// from different clocks, and some are kept to the second only.
const clockTolerance = time.Minute

// key finds a finding by what it says about whom.
type key struct {
	code    finding.Code
	subject finding.Subject
}

// machineKey finds findings of a rule about things on a machine.
type machineKey struct {
	code    finding.Code
	machine string
}

// graph holds who explains whom among findings, by their index.
type graph struct {
	snapshot *snapshot.Snapshot
	findings []finding.Finding
	rules    map[finding.Code]rule.Rule

	at map[key]int
	// on finds findings about things on a machine.
	on      map[machineKey][]int
	byCode  map[finding.Code][]int
	about   map[finding.Subject][]int
	claims  map[finding.Subject][]int
	causes  [][]int
	effects [][]int
}

func newGraph(s *snapshot.Snapshot, findings []finding.Finding, rules []rule.Rule) *graph {
	g := &graph{
		snapshot: s, findings: findings,
		rules:   make(map[finding.Code]rule.Rule, len(rules)),
		at:      make(map[key]int, len(findings)),
		on:      map[machineKey][]int{},
		byCode:  map[finding.Code][]int{},
		about:   map[finding.Subject][]int{},
		claims:  map[finding.Subject][]int{},
		causes:  make([][]int, len(findings)),
		effects: make([][]int, len(findings)),
	}
	for _, r := range rules {
		g.rules[r.Code] = r
	}
	for i, f := range findings {
		g.at[key{f.Code, f.Subject}] = i
		if f.Subject.Machine != "" {
			k := machineKey{f.Code, f.Subject.Machine}
			g.on[k] = append(g.on[k], i)
		}
		g.byCode[f.Code] = append(g.byCode[f.Code], i)
		g.about[f.Subject] = append(g.about[f.Subject], i)
		for _, subject := range f.Explains {
			g.claims[subject] = append(g.claims[subject], i)
		}
	}
	for i := range findings {
		g.causes[i] = g.causesOf(i)
		for _, c := range g.causes[i] {
			g.effects[c] = append(g.effects[c], i)
		}
	}
	return g
}

// causesOf returns the findings that explain a finding. What is tied to the subject itself goes
// before what reaches the whole cluster: a pod whose image does not exist does not need a dead
// DNS to be explained.
func (g *graph) causesOf(effect int) []int {
	r := g.rules[g.findings[effect].Code]
	own := g.awaited(effect)
	if r.Symptom {
		own = append(own, g.claiming(effect, func(int) bool { return true })...)
	}
	for _, cause := range r.Causes {
		switch cause.Via {
		case rule.Claimed:
			own = append(own, g.claiming(effect, func(c int) bool { return g.findings[c].Code == cause.Code && g.holds(cause, effect, c) })...)
		case rule.OnMachine:
			own = append(own, g.onMachine(effect, cause)...)
		case rule.Itself, rule.RunsOn, rule.HasPod, rule.Serves:
			own = append(own, g.tied(effect, cause)...)
		case rule.Cluster:
			// Below, and only where nothing else explains it.
		}
	}
	if len(own) == 0 {
		own = g.general(effect, r.Causes)
	}
	slices.Sort(own)
	return slices.Compact(own)
}

// general are the findings that explain another since they reach the whole cluster.
func (g *graph) general(effect int, causes []rule.Cause) []int {
	var out []int
	for _, cause := range causes {
		if cause.Via != rule.Cluster {
			continue
		}
		for _, c := range g.byCode[cause.Code] {
			if g.mayExplain(effect, c) && g.inOrder(effect, c) && g.holds(cause, effect, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// awaited are the findings about what a finding's own evidence says that it waits for.
func (g *graph) awaited(effect int) []int {
	f := g.findings[effect]
	var out []int
	for _, subject := range f.WaitsFor {
		if subject == f.Subject {
			continue
		}
		for _, c := range g.about[subject] {
			if g.mayExplain(effect, c) && g.inOrder(effect, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// claiming are the findings that claim the subject of another and that fit.
func (g *graph) claiming(effect int, fits func(cause int) bool) []int {
	var out []int
	for _, c := range g.claims[g.findings[effect].Subject] {
		if g.mayExplain(effect, c) && fits(c) {
			out = append(out, c)
		}
	}
	return out
}

// tied are the findings of a cause's rule about subjects to which its relation ties the effect's.
func (g *graph) tied(effect int, cause rule.Cause) []int {
	var out []int
	for _, subject := range related(g.snapshot, g.findings[effect].Subject, cause.Via) {
		c, ok := g.at[key{cause.Code, subject}]
		if !ok || !g.mayExplain(effect, c) || !g.holds(cause, effect, c) || cause.Via == rule.RunsOn && !g.inOrder(effect, c) {
			continue
		}
		out = append(out, c)
	}
	return out
}

// onMachine are the findings of a cause's rule about things on the machine on which the effect's subject is.
func (g *graph) onMachine(effect int, cause rule.Cause) []int {
	machine := machineOf(g.snapshot, g.findings[effect].Subject)
	if machine == "" {
		return nil
	}
	var out []int
	for _, c := range g.on[machineKey{cause.Code, machine}] {
		if g.mayExplain(effect, c) && g.inOrder(effect, c) && g.holds(cause, effect, c) {
			out = append(out, c)
		}
	}
	return out
}

// mayExplain refuses a finding as its own cause, and an info finding as the cause of something worse.
func (g *graph) mayExplain(effect, cause int) bool {
	return effect != cause &&
		(g.findings[cause].Severity != finding.Info || g.findings[effect].Severity == finding.Info)
}

// inOrder tells whether the cause began before the effect, as far as both say when.
func (g *graph) inOrder(effect, cause int) bool {
	e, c := g.findings[effect].Since, g.findings[cause].Since
	return e.IsZero() || c.IsZero() || !c.After(e.Add(clockTolerance))
}

func (g *graph) holds(cause rule.Cause, effect, c int) bool {
	return cause.Holds == nil || cause.Holds(g.snapshot, g.findings[effect], g.findings[c])
}

// roots returns the findings that nothing explains and that are worth an incident, in order. Where
// findings explain each other and nothing outside explains any of them, one of them is taken.
func (g *graph) roots() []int {
	groups, groupOf := g.circles()
	var roots []int
	for n, group := range groups {
		outside := func(c int) bool { return groupOf[c] != n }
		if slices.ContainsFunc(group, func(i int) bool { return slices.ContainsFunc(g.causes[i], outside) }) {
			continue
		}
		root := slices.MinFunc(group, g.compareInCircle)
		if g.worthAnIncident(root) {
			roots = append(roots, root)
		}
	}
	slices.Sort(roots)
	return roots
}

// compareInCircle puts the finding first that is taken as a circle's root: the one that began
// first, else the one that comes first in the order of findings.
func (g *graph) compareInCircle(i, j int) int {
	a, b := g.findings[i].Since, g.findings[j].Since
	if !a.IsZero() && !b.IsZero() && !a.Equal(b) {
		return a.Compare(b)
	}
	return i - j
}

// worthAnIncident refuses info findings, and settling ones that explain nothing but what settles too.
// A young cause of lasting trouble is an incident: a pod that is made anew every minute and never
// serves is always young.
func (g *graph) worthAnIncident(root int) bool {
	for _, i := range g.reach(root) {
		f := g.findings[i]
		if f.Severity != finding.Info && !f.Settling {
			return g.findings[root].Severity != finding.Info
		}
	}
	return false
}

// reach returns a finding and all that it explains, nearest first.
func (g *graph) reach(root int) []int {
	seen := map[int]bool{root: true}
	order := []int{root}
	for n := 0; n < len(order); n++ {
		for _, e := range g.effects[order[n]] {
			if !seen[e] {
				seen[e] = true
				order = append(order, e)
			}
		}
	}
	return order
}
