package report

import (
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// changes tells what differs from an earlier diagnosis: counts in one line, then what is gone. What
// is new stands above, as an incident of its own.
func (p *page) changes(d v1alpha1.Diagnosis) {
	c := d.Changes
	if c == nil {
		return
	}
	p.put()
	p.paragraph(line{}, p.compared(c), dim)
	for _, i := range c.Gone {
		p.paragraph(line{{"  ✓ " + p.words.gone + "  ", green}}, i.Title, plain)
	}
	for _, i := range c.Unseen {
		p.paragraph(line{{"  ? " + p.words.unseen + "  ", yellow}}, i.Title, plain)
	}
	for _, i := range d.Incidents {
		if slices.Contains(c.New, i.ID) {
			p.paragraph(line{{"  ✗ " + p.words.fresh + "  ", red}}, i.Title, plain)
		}
	}
}

func (p *page) compared(c *v1alpha1.Changes) string {
	return p.words.compared(p.clock(c.Since.Time), p.words.age(p.now.Sub(c.Since.Time)), len(c.New), len(c.Gone), len(c.Still))
}

// timeline prints moments one below the other, the clock at the margin.
func (p *page) timeline(moments []v1alpha1.Moment) {
	if len(moments) == 0 {
		return
	}
	p.put()
	p.put(span{p.words.timeline, bold})
	day := ""
	for _, m := range moments {
		at := m.At.In(p.options.location())
		if d := at.Format("2006-01-02"); d != day {
			day = d
			p.put(span{day, dim})
		}
		s, mark := plain, "  "
		switch {
		case m.Happening == v1alpha1.HappeningIncident:
			s, mark = bold, "✗ "
		case m.Happening == v1alpha1.HappeningChange:
			mark = "* "
		case m.Recovered:
			s, mark = dim, "~ "
		case m.Warning:
			mark = "! "
		}
		p.paragraph(line{{at.Format("15:04:05") + "  ", dim}, {mark, markStyle(m)}}, p.momentText(m), s)
	}
}

// momentText is what happened to whom, how often and for how long.
func (p *page) momentText(m v1alpha1.Moment) string {
	if m.Happening != v1alpha1.HappeningEvent {
		return m.Text
	}
	text := named(m.Subject) + "  " + m.Reason + "  " + m.Text
	var notes []string
	if m.Count > 1 {
		notes = append(notes, "×"+grouped(int(m.Count)))
	}
	if m.First != nil {
		notes = append(notes, p.words.since(p.clock(m.First.Time), p.words.age(m.At.Sub(m.First.Time))))
	}
	if m.Recovered {
		notes = append(notes, p.words.recovered)
	}
	return text + parenthesis(strings.Join(notes, ", "))
}

func markStyle(m v1alpha1.Moment) style {
	switch {
	case m.Happening == v1alpha1.HappeningIncident:
		return red
	case m.Warning && !m.Recovered:
		return yellow
	default:
		return dim
	}
}

// ahead says in one line that something would hurt at the next loss.
func (p *page) ahead(risks []v1alpha1.Risk) {
	if len(risks) == 0 {
		return
	}
	text := p.words.ahead(len(risks), risks[0].Title)
	if p.options.Program != "" {
		text += " (" + p.options.Program + " resilience)"
	}
	p.paragraph(line{{"  ! ", yellow}}, text, plain)
}

// risks print what the next loss would take.
func (p *page) risks(risks []v1alpha1.Risk) {
	if len(risks) == 0 {
		return
	}
	p.put(span{p.words.risks, bold})
	for _, r := range risks {
		p.put()
		if left := (line{{"!  ", yellow}, {clean(r.Title), bold}}); !p.ends(left, span{clean(r.Code), dim}) {
			p.put(span{indent, plain}, span{clean(r.Code), dim})
			p.paragraph(line{{"!  ", yellow}}, r.Title, bold)
		}
		p.part(p.words.why, r.Why)
		p.part(p.words.effect, p.counted(r.Affected))
		p.remedies(p.words.later, r.Remedies)
	}
}

// counted names what is affected: all of a few, the first of many.
func (p *page) counted(affected map[string][]string) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(affected)) {
		parts = append(parts, kind+" "+p.some(affected[kind], headsShown, ""))
	}
	return strings.Join(parts, " · ")
}

// named writes a subject as people type it.
func named(s v1alpha1.Subject) string {
	switch {
	case s.Machine != "":
		return s.Kind + " " + s.Machine + ":" + s.Name
	case s.Namespace != "":
		return s.Kind + " " + s.Namespace + "/" + s.Name
	default:
		return s.Kind + " " + s.Name
	}
}

// Resilience writes what the next loss would take for people.
func Resilience(w io.Writer, r v1alpha1.Resilience, o Options) error {
	p := &page{layout: layout{width: o.width(), color: o.Color}, words: wordsOf(o.Language), options: o, now: r.ObservedAt.Time}
	d := v1alpha1.Diagnosis{Cluster: r.Cluster, ObservedAt: r.ObservedAt, Risks: r.Risks, Skipped: r.Skipped, Stats: r.Stats}
	p.header(d)
	if len(r.Risks) == 0 {
		p.paragraph(line{{"✓ ", green}}, p.words.noRisks, bold)
	}
	p.risks(r.Risks)
	p.gaps(d)
	_, err := w.Write(p.out)
	return err
}

// ResilienceMarkdown writes what the next loss would take for a ticket.
func ResilienceMarkdown(w io.Writer, r v1alpha1.Resilience, o Options) error {
	m := &markdown{words: wordsOf(o.Language), options: o, now: r.ObservedAt.Time}
	m.linef("# %s: %s\n", literal(r.Cluster.Name), m.words.risks)
	m.linef("%s · %s · %s\n", m.words.nodes(r.Cluster.Nodes), m.words.pods(r.Cluster.Pods), m.moment(r.ObservedAt.Time))
	m.eachRisk(r.Risks)
	m.gaps(m.words.gaps, r.Skipped)
	_, err := io.WriteString(w, m.String())
	return err
}
