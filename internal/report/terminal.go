package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

const (
	// indent of what stands below an incident's first line.
	indent = "   "
	// labelColumns is the width of the label before a part of an incident ("do now", "effect").
	labelColumns = 9
	// notesShown is how many findings without an incident are named before the rest is counted.
	notesShown = 3
	// sourcesShown is how many sources of the root's evidence are named.
	sourcesShown = 3
)

// page is one terminal report in the making.
type page struct {
	layout

	words   words
	options Options
	now     time.Time
}

// header names the cluster and what was looked at.
func (p *page) header(d v1alpha1.Diagnosis) {
	if d.Machine != nil {
		p.machineHeader(d)
		return
	}
	left := line{{clean(d.Cluster.Name), bold}}
	if v := d.Cluster.Version; v != "" {
		left = append(left, span{"  " + clean(v), plain})
	} else if s := d.Cluster.Server; s != "" && s != d.Cluster.Name {
		left = append(left, span{"  " + clean(s), plain})
	}
	if d.Cluster.Nodes > 0 || d.Cluster.Pods > 0 {
		left = append(left, span{"  " + p.words.nodes(d.Cluster.Nodes) + "  " + p.words.pods(d.Cluster.Pods), plain})
	}
	what := p.lookedAt(d)
	looked := p.words.looked(what, d.Stats.Seconds)
	switch {
	case p.options.Recorded && p.now.Unix() <= 0:
		looked = p.words.undated(what)
	case p.options.Recorded:
		looked = p.words.recorded(p.now.In(p.options.location()), what)
	}
	right := span{looked, dim}
	if !p.ends(left, right) {
		p.put(left...)
		p.put(right)
	}
	if p.options.NoAgents {
		p.put(span{p.words.noAgents(p.options.Program + " install --agent"), dim})
	}
	p.put()
}

// lookedAt counts kinds, and machines where any were asked.
func (p *page) lookedAt(d v1alpha1.Diagnosis) string {
	what := p.words.kinds(d.Stats.Kinds)
	if m := d.Stats.Machines; m != nil && *m > 0 {
		what += ", " + p.words.machines(*m, d.Cluster.Nodes)
	}
	return what
}

// verdict is the answer in one line, followed by what is no incident and yet worth a line.
func (p *page) verdict(d v1alpha1.Diagnosis) {
	w := p.words
	var settling, noted []string
	for _, f := range d.Findings {
		switch {
		case f.Incident != "":
		case f.Severity == v1alpha1.SeverityInfo:
			// Beside an incident it is in the way of whoever was woken by that.
			if !f.Settling && len(d.Incidents) == 0 {
				noted = append(noted, f.Text)
			}
		case f.Settling:
			settling = append(settling, f.Text)
		}
	}
	p.headline(d, len(settling) > 0)
	if d.Scope != nil && d.Scope.OtherIncidents > 0 {
		p.paragraph(line{{"  + ", dim}}, w.elsewhere(d.Scope.OtherIncidents), plain)
	}
	p.notes("  ~ ", w.settling, settling)
	p.notes("  ! ", w.noted, noted)
	if len(d.Incidents) == 0 {
		p.ahead(d.Risks)
	}
	if n := len(d.Ignored); n > 0 {
		p.paragraph(line{{"  - ", dim}}, fmt.Sprintf("%s: %s", w.ignored, grouped(n)), dim)
	}
}

// headline is the verdict in one line.
func (p *page) headline(d v1alpha1.Diagnosis, begun bool) {
	w, scope := p.words, ""
	if d.Scope != nil {
		scope = w.scope(clean(d.Scope.Namespace), clean(d.Scope.Selector))
	}
	switch {
	case d.Verdict == v1alpha1.VerdictHealthy && begun:
		p.paragraph(line{{"✓ ", green}}, w.healthySoFar, bold)
	case d.Verdict == v1alpha1.VerdictHealthy && scope != "":
		p.paragraph(line{{"✓ ", green}}, w.healthyIn(scope), bold)
	case d.Verdict == v1alpha1.VerdictHealthy:
		p.paragraph(line{{"✓ ", green}}, w.healthy, bold)
	case d.Verdict == v1alpha1.VerdictUnknown && scope != "":
		p.paragraph(line{{"? ", yellow}}, w.unknownIn(scope), bold)
	case d.Verdict == v1alpha1.VerdictUnknown:
		p.paragraph(line{{"? ", yellow}}, w.unknown, bold)
	default:
		text := fmt.Sprintf("%s: %s", w.verdict[d.Verdict], w.incidents(len(d.Incidents)))
		if scope != "" {
			text += " · " + scope
		}
		p.paragraph(line{{"✗ ", verdictStyle(d.Verdict)}}, text, bold)
	}
}

func (p *page) notes(mark, label string, texts []string) {
	if len(texts) == 0 {
		return
	}
	shown := texts[:min(len(texts), notesShown)]
	if rest := len(texts) - len(shown); rest > 0 {
		shown = append(slices.Clone(shown), p.words.andMore(rest, ""))
	}
	p.paragraph(line{{mark, yellow}}, label+": "+strings.Join(shown, " · "), plain)
}

// incident is one block: what, since when, why, what it does, what to do.
func (p *page) incident(n int, i v1alpha1.IncidentDetails) {
	p.put()
	p.title(n, i)
	p.part(p.words.why, p.reason(i))
	p.effects(i.Chain)
	p.remedies(p.words.now, i.Remedies.Now)
	p.remedies(p.words.later, i.Remedies.Later)
	var out []string
	for _, s := range i.RuledOut {
		out = append(out, s.Text)
	}
	p.part(p.words.ruledOut, strings.Join(out, " · "))
}

func (p *page) title(n int, i v1alpha1.IncidentDetails) {
	left := line{
		{fmt.Sprintf("%d  ", n), bold},
		{p.words.severity[i.Severity] + "  ", severityStyle(i.Severity)},
	}
	if i.Since != nil {
		left = append(left, span{p.words.since(p.clock(i.Since.Time), p.words.age(p.now.Sub(i.Since.Time))) + "   ", plain})
	}
	title, code := clean(i.Title), span{clean(i.Code), dim}
	if p.ends(append(slices.Clone(left), span{title, bold}), code) {
		return
	}
	if !p.ends(left, code) {
		p.put(left...)
		p.put(span{indent, plain}, code)
	}
	p.paragraph(line{{indent, plain}}, title, bold)
}

// clock writes a time as people say it: the hour today, with the date when it was another day.
func (p *page) clock(t time.Time) string {
	t, now := t.In(p.options.location()), p.now.In(p.options.location())
	switch {
	case t.Year() != now.Year():
		return t.Format("2006-01-02")
	case t.YearDay() != now.YearDay():
		return t.Format("01-02 15:04")
	default:
		return t.Format("15:04")
	}
}

// reason is how the cause is known, how firmly, and from where.
func (p *page) reason(i v1alpha1.IncidentDetails) string {
	parts := []string{i.Why}
	if c := p.words.confidence[i.Confidence]; c != "" {
		parts = append(parts, c)
	}
	var sources []string
	for _, e := range i.Evidence {
		if len(sources) < sourcesShown && !slices.Contains(sources, e.Source) {
			sources = append(sources, e.Source)
		}
	}
	if len(sources) > 0 {
		parts = append(parts, "["+strings.Join(sources, ", ")+"]")
	}
	return strings.Join(parts, " ")
}

func (p *page) label(name string) line { return line{{indent + pad(name, labelColumns), dim}} }

func (p *page) part(name, text string) {
	if strings.TrimSpace(text) != "" {
		p.paragraph(p.label(name), text, plain)
	}
}

// remedies are commands with what each does beside it where the line is wide enough, and below it
// where it is not. A command is never broken: it is there to be pasted.
func (p *page) remedies(name string, remedies []v1alpha1.Remedy) {
	prefix := p.label(name)
	room := p.width - prefix.columns()
	beside := 0
	for _, r := range remedies {
		if c := columns(command(r)); c+columns(clean(r.Text))+4 <= room {
			beside = max(beside, c)
		}
	}
	for _, r := range remedies {
		cmd, text := command(r), clean(r.Text)
		switch {
		case cmd == "":
			p.paragraph(prefix, text, plain)
		case text == "":
			p.put(append(prefix, span{cmd, cyan})...)
		case max(beside, columns(cmd))+4+columns(text) <= room:
			p.put(append(prefix, span{pad(cmd, beside) + "    ", cyan}, span{text, plain})...)
		default:
			p.put(append(prefix, span{cmd, cyan})...)
			p.paragraph(line{{indent + pad("", labelColumns) + "  ", plain}}, text, plain)
		}
		prefix = p.label("")
	}
}

func command(r v1alpha1.Remedy) string {
	if r.Command != "" && r.Machine != "" {
		return clean(r.Machine + "$ " + r.Command)
	}
	return clean(r.Command)
}

func severityStyle(s v1alpha1.Severity) style {
	switch s {
	case v1alpha1.SeverityCritical:
		return red
	case v1alpha1.SeverityWarning:
		return yellow
	default:
		return dim
	}
}

func verdictStyle(v v1alpha1.Verdict) style {
	if v == v1alpha1.VerdictCritical {
		return red
	}
	return yellow
}
