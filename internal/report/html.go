package report

import (
	"bytes"
	_ "embed" // the page's template
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

//go:embed report.html.tmpl
var htmlSource string

var htmlTemplate = template.Must(template.New("report").Parse(htmlSource))

// maxHTMLFindings bounds the table of all findings; -o json lists the rest.
const maxHTMLFindings = 2000

// htmlPage is what the template shows. Its texts are escaped where they are put in.
type htmlPage struct {
	Lang, Headline, Class, Counts, At string
	Words                             htmlWords
	Doc                               v1alpha1.Diagnosis
	Notes                             []string
	Incidents                         []htmlIncident
	Changes                           *htmlChanges
	Timeline                          []htmlMoment
	Gaps, Errors                      []string
}

// htmlWords are labels of the page.
type htmlWords struct {
	Why, Effect, Now, Later, RuledOut, Evidence, Fresh, Gone, Unseen, Risks, Timeline, Gaps, Errors, Findings, Subject, Found string
}

type htmlIncident struct {
	Details                            v1alpha1.IncidentDetails
	Severity, Since, Confidence, Fresh string
	Effects                            []htmlEffect
}

type htmlEffect struct {
	Text  string
	Below []htmlEffect
}

type htmlChanges struct {
	Text              string
	New, Gone, Unseen []string
}

type htmlMoment struct{ At, Text, Class string }

// HTML writes a document as one page that needs nothing else: no script, no other file, no network.
func HTML(w io.Writer, d v1alpha1.Diagnosis, o Options) error {
	words := wordsOf(o.Language)
	md := &markdown{words: words, options: o, now: d.ObservedAt.Time}
	p := &page{words: words, options: o, now: d.ObservedAt.Time, layout: layout{width: DefaultWidth}}
	view := htmlPage{
		Lang: string(o.Language), Headline: headline(words, d), Class: verdictClass(d.Verdict),
		Counts: words.nodes(d.Cluster.Nodes) + " · " + words.pods(d.Cluster.Pods), At: md.moment(d.ObservedAt.Time), Doc: d,
		Words: htmlWords{
			Why: words.why, Effect: words.effect, Now: words.now, Later: words.later, RuledOut: words.ruledOut, Evidence: words.evidence,
			Fresh: words.fresh, Gone: words.gone, Unseen: words.unseen, Risks: words.risks, Timeline: words.timeline, Gaps: words.gaps, Errors: words.errors,
			Findings: words.findings, Subject: words.subject, Found: words.found,
		},
		Notes: p.noteLines(d),
	}
	if o.Language == "" {
		view.Lang = string(finding.English)
	}
	view.Doc.Findings = d.Findings[:min(len(d.Findings), maxHTMLFindings)]
	for _, i := range d.Incidents {
		h := htmlIncident{Details: i, Severity: words.severity[i.Severity], Confidence: words.confidence[i.Confidence], Effects: htmlEffects(tree(i.Chain))}
		if i.Since != nil {
			h.Since = words.since(md.moment(i.Since.Time), words.age(md.now.Sub(i.Since.Time)))
		}
		if d.Changes != nil && slices.Contains(d.Changes.New, i.ID) {
			h.Fresh = words.fresh
		}
		view.Incidents = append(view.Incidents, h)
	}
	if c := d.Changes; c != nil {
		view.Changes = &htmlChanges{Text: p.compared(c)}
		for _, i := range d.Incidents {
			if slices.Contains(c.New, i.ID) {
				view.Changes.New = append(view.Changes.New, i.Title)
			}
		}
		for _, i := range c.Gone {
			view.Changes.Gone = append(view.Changes.Gone, i.Title)
		}
		for _, i := range c.Unseen {
			view.Changes.Unseen = append(view.Changes.Unseen, i.Title)
		}
	}
	for _, m := range d.Timeline {
		view.Timeline = append(view.Timeline, htmlMoment{At: md.moment(m.At.Time), Text: p.momentText(m), Class: momentClass(m)})
	}
	for _, g := range gather(d.Skipped) {
		view.Gaps = append(view.Gaps, p.describe(g))
	}
	for _, e := range d.Errors {
		view.Errors = append(view.Errors, e.Reason)
	}
	var buf bytes.Buffer
	if err := htmlTemplate.Execute(&buf, view); err != nil {
		return fmt.Errorf("rendering the page: %w", err)
	}
	_, err := w.Write(escape(buf.Bytes(), "<U+%04X>"))
	return err
}

func htmlEffects(effects []*effect) []htmlEffect {
	var out []htmlEffect
	for _, e := range effects {
		out = append(out, htmlEffect{Text: e.link.Text, Below: htmlEffects(e.below)})
	}
	return out
}

func verdictClass(v v1alpha1.Verdict) string {
	switch v {
	case v1alpha1.VerdictHealthy:
		return "good"
	case v1alpha1.VerdictCritical:
		return "critical"
	default:
		return "warning"
	}
}

func momentClass(m v1alpha1.Moment) string {
	switch {
	case m.Happening == v1alpha1.HappeningIncident:
		return "incident"
	case m.Recovered, !m.Warning:
		return "recovered"
	default:
		return ""
	}
}

// headline is the verdict in words, without marks of markup.
func headline(w words, d v1alpha1.Diagnosis) string {
	p := page{words: w, layout: layout{width: 1 << 20}}
	p.headline(d, false)
	return strings.TrimSpace(string(p.out))
}

// noteLines are findings that are no incident, and what was asked to be ignored, a line each.
func (p *page) noteLines(d v1alpha1.Diagnosis) []string {
	var lines []string
	for _, f := range d.Findings {
		switch {
		case f.Incident != "":
		case f.Settling:
			lines = append(lines, p.words.settling+": "+f.Text)
		case f.Severity == v1alpha1.SeverityInfo:
			lines = append(lines, p.words.noted+": "+f.Text)
		}
	}
	for _, i := range d.Ignored {
		text := p.words.ignored + ": " + i.Code + " " + named(i.Subject)
		if i.Reason != "" {
			text += ", " + i.Reason
		}
		if i.Until != nil {
			text += ", " + p.words.until(i.Until.In(p.options.location()).Format("2006-01-02 15:04 MST"))
		}
		lines = append(lines, text)
	}
	return lines
}
