package report

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Markdown writes a document for a ticket: everything that the terminal says, with whole dates, the
// whole chain of effects and the evidence. What comes from the cluster cannot become markup.
func Markdown(w io.Writer, d v1alpha1.Diagnosis, o Options) error {
	m := &markdown{words: wordsOf(o.Language), options: o, now: d.ObservedAt.Time}
	m.document(d)
	_, err := io.WriteString(w, m.String())
	return err
}

type markdown struct {
	strings.Builder

	words   words
	options Options
	now     time.Time
}

func (m *markdown) linef(format string, args ...any) { fmt.Fprintf(m, format+"\n", args...) }

func (m *markdown) document(d v1alpha1.Diagnosis) {
	w := m.words
	m.linef("# %s: %s\n", literal(d.Cluster.Name), literal(headline(w, d)))
	var facts []string
	for _, f := range []string{d.Cluster.Version, d.Cluster.Server} {
		if f != "" {
			facts = append(facts, literal(f))
		}
	}
	m.linef("%s\n", strings.Join(append(facts, w.nodes(d.Cluster.Nodes), w.pods(d.Cluster.Pods), m.moment(d.ObservedAt.Time)), " · "))
	for n, i := range d.Incidents {
		m.incident(n+1, i)
	}
	m.notes(d)
	m.changes(d)
	m.risks(d.Risks)
	m.timeline(d.Timeline)
	m.gaps(w.gaps, d.Skipped)
	m.gaps(w.errors, d.Errors)
}

func (m *markdown) moment(t time.Time) string {
	if t.Unix() <= 0 {
		return "?"
	}
	return t.In(m.options.location()).Format("2006-01-02 15:04:05 MST")
}

func (m *markdown) incident(n int, i v1alpha1.IncidentDetails) {
	w := m.words
	m.linef("## %d. %s: %s\n", n, w.severity[i.Severity], literal(i.Title))
	facts := []string{code(i.Code), "`" + i.ID + "`"}
	if i.Since != nil {
		facts = append(facts, w.since(m.moment(i.Since.Time), w.age(m.now.Sub(i.Since.Time))))
	}
	if c := w.confidence[i.Confidence]; c != "" {
		facts = append(facts, c)
	}
	m.linef("%s\n", strings.Join(facts, " · "))
	m.linef("**%s** %s\n", w.why, literal(i.Why))
	if len(i.Chain) > 0 {
		m.linef("**%s**\n", w.effect)
		m.effects(tree(i.Chain), "")
		m.linef("")
	}
	m.remedies(w.now, i.Remedies.Now)
	m.remedies(w.later, i.Remedies.Later)
	if len(i.RuledOut) > 0 {
		m.linef("**%s**\n", w.ruledOut)
		for _, s := range i.RuledOut {
			m.linef("- %s", literal(s.Text))
		}
		m.linef("")
	}
	if len(i.Evidence) > 0 {
		m.linef("<details><summary>%s</summary>\n", w.evidence)
		for _, e := range i.Evidence {
			at := ""
			if e.At != nil {
				at = " (" + m.moment(e.At.Time) + ")"
			}
			m.linef("- %s %s: %s%s", literal(e.Source), literal(e.Path), code(e.Value), at)
		}
		m.linef("\n</details>\n")
	}
}

func (m *markdown) effects(effects []*effect, indent string) {
	for _, e := range effects {
		m.linef("%s- %s", indent, literal(e.link.Text))
		m.effects(e.below, indent+"  ")
	}
}

// remedies are one block to paste from, what each command does above it.
func (m *markdown) remedies(label string, remedies []v1alpha1.Remedy) {
	if len(remedies) == 0 {
		return
	}
	m.linef("**%s**\n", label)
	for _, r := range remedies {
		if r.Command == "" {
			m.linef("- %s", literal(r.Text))
			continue
		}
		where := ""
		if r.Machine != "" {
			where = " (" + literal(r.Machine) + ")"
		}
		m.linef("- %s%s", literal(r.Text), where)
		m.linef("  %s", code(r.Command))
	}
	m.linef("")
}

func (m *markdown) notes(d v1alpha1.Diagnosis) {
	p := page{words: m.words, options: m.options, now: m.now}
	lines := p.noteLines(d)
	for _, l := range lines {
		m.linef("- %s", literal(l))
	}
	if len(lines) > 0 {
		m.linef("")
	}
}

func (m *markdown) changes(d v1alpha1.Diagnosis) {
	if d.Changes == nil {
		return
	}
	p := page{words: m.words, options: m.options, now: m.now}
	m.linef("## %s\n", literal(p.compared(d.Changes)))
	for _, i := range d.Incidents {
		if slices.Contains(d.Changes.New, i.ID) {
			m.linef("- %s: %s", m.words.fresh, literal(i.Title))
		}
	}
	for _, i := range d.Changes.Gone {
		m.linef("- %s: %s", m.words.gone, literal(i.Title))
	}
	for _, i := range d.Changes.Unseen {
		m.linef("- %s: %s", m.words.unseen, literal(i.Title))
	}
	m.linef("")
}

func (m *markdown) risks(risks []v1alpha1.Risk) {
	if len(risks) == 0 {
		return
	}
	m.linef("## %s\n", m.words.risks)
	m.eachRisk(risks)
}

func (m *markdown) eachRisk(risks []v1alpha1.Risk) {
	for _, r := range risks {
		m.linef("### %s\n", literal(r.Title))
		m.linef("%s · %s\n", code(r.Code), literal(r.Why))
		m.remedies(m.words.later, r.Remedies)
	}
}

func (m *markdown) timeline(moments []v1alpha1.Moment) {
	if len(moments) == 0 {
		return
	}
	p := page{words: m.words, options: m.options, now: m.now}
	m.linef("## %s\n", m.words.timeline)
	for _, moment := range moments {
		m.linef("- %s %s", m.moment(moment.At.Time), literal(p.momentText(moment)))
	}
	m.linef("")
}

func (m *markdown) gaps(label string, skips []v1alpha1.SkippedRule) {
	if len(skips) == 0 {
		return
	}
	p := page{words: m.words}
	m.linef("**%s**\n", label)
	for _, g := range gather(skips) {
		m.linef("- %s", literal(p.describe(g)))
	}
	m.linef("")
}

// markup are the characters with which markup can begin (https://spec.commonmark.org/0.31.2/#backslash-escapes).
var markup = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`, "|", `\|`, "#", `\#`, "~", `\~`, "!", `\!`,
)

// mention is an @ at the beginning of a word, which calls people in most trackers.
var mention = regexp.MustCompile(`(^|[^0-9A-Za-z])@`)

// literal makes text mean nothing but itself in Markdown.
func literal(s string) string { return mention.ReplaceAllString(markup.Replace(clean(s)), "$1&#64;") }

// code writes text as a code span whose fence is longer than any run of backticks in it
// (https://spec.commonmark.org/0.31.2/#code-spans).
func code(s string) string {
	s = clean(s)
	longest, run := 0, 0
	for _, r := range s {
		if r == '`' {
			run++
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	fence := strings.Repeat("`", longest+1)
	if longest > 0 {
		return fence + " " + s + " " + fence
	}
	return fence + s + fence
}
