package report

import (
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

const (
	// gapsShown is how many reasons for not looking are written out.
	gapsShown = 5
	// headsShown is how many things that share a reason are named.
	headsShown = 6
	// codesShown is how many rules that share a reason are named.
	codesShown = 2
)

// gap is one reason why things could not be looked at, with all things and rules it holds for.
type gap struct {
	heads  []string
	reason string
	codes  []string
}

// gather groups skips: those with equal reasons are one gap, and so are those whose reasons differ
// only in the thing named before the first colon ("pods: could not be read: ...").
func gather(skips []v1alpha1.SkippedRule) []*gap {
	var gaps []*gap
	at := map[string]*gap{}
	for _, s := range skips {
		head, reason, found := strings.Cut(s.Reason, ": ")
		if !found {
			head, reason = "", s.Reason
		}
		g := at[reason]
		if g == nil {
			g = &gap{reason: reason}
			at[reason] = g
			gaps = append(gaps, g)
		}
		g.heads = include(g.heads, head)
		g.codes = include(g.codes, s.Code)
	}
	return gaps
}

func include(set []string, s string) []string {
	if s == "" || slices.Contains(set, s) {
		return set
	}
	return append(set, s)
}

// gaps says what could not be checked, and what failed in Maek itself.
func (p *page) gaps(d v1alpha1.Diagnosis) {
	if len(d.Skipped)+len(d.Errors) == 0 {
		return
	}
	p.put()
	p.list(p.words.gaps, d.Skipped)
	// The message of a rule that failed names it already.
	failures := slices.Clone(d.Errors)
	for i := range failures {
		failures[i].Code = ""
	}
	p.list(p.words.errors, failures)
}

func (p *page) list(label string, skips []v1alpha1.SkippedRule) {
	if len(skips) == 0 {
		return
	}
	gaps := gather(skips)
	var items []string
	for _, g := range gaps[:min(len(gaps), gapsShown)] {
		items = append(items, p.describe(g))
	}
	if rest := len(gaps) - len(items); rest > 0 {
		items = append(items, p.words.andMore(rest, "-o json"))
	}
	p.paragraph(line{{label + "  ", yellow}}, strings.Join(items, " · "), plain)
}

func (p *page) describe(g *gap) string {
	text := g.reason
	if len(g.heads) > 0 {
		text = p.some(g.heads, headsShown, "") + ": " + text
	}
	if len(g.codes) > codesShown+1 {
		return text + " (" + p.words.rules(len(g.codes)) + ")"
	}
	return text + parenthesis(strings.Join(g.codes, ", "))
}

func (p *page) some(names []string, limit int, detail string) string {
	if len(names) <= limit+1 {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:limit], ", ") + " " + p.words.andMore(len(names)-limit, detail)
}

// more says where to read on.
func (p *page) more(d v1alpha1.Diagnosis) {
	if p.options.Program == "" || len(d.Incidents) == 0 {
		return
	}
	if len(d.Skipped)+len(d.Errors) == 0 {
		p.put()
	}
	hints := []string{p.options.Program + " explain " + d.Incidents[0].Code}
	switch {
	case d.Machine != nil:
		hints = append(hints, p.options.Program+" machine --show all")
	case !p.options.Recorded:
		hints = append(hints, p.options.Program+" dump -o incident.tar.gz")
	}
	label := p.words.more + " "
	if joined := strings.Join(hints, " · "); columns(label)+columns(joined) <= p.width {
		hints = []string{joined}
	}
	for _, hint := range hints {
		p.put(span{label, dim}, span{clean(hint), dim})
		label = pad("", columns(label))
	}
}
