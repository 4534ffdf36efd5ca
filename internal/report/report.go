// Package report renders a Diagnosis document for somebody: text for people at a terminal, in
// English and Korean, and JSON or YAML for programs. Its functions are pure: what is shown depends
// on the document and the options alone, never on a clock, a locale or the terminal it runs in.
//
// Everything in a document that comes from a cluster was written by somebody else. No text of it
// reaches a terminal as a control sequence.
package report

import (
	"io"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

// DefaultWidth is the width, in columns, of output that goes to no terminal.
const DefaultWidth = 120

// minWidth is the narrowest terminal that is laid out for; a narrower one wraps by itself.
const minWidth = 40

// Options say how text for people is to look. The zero value is English, UTC, plain, DefaultWidth
// columns.
type Options struct {
	// Language of Maek's own words. The document's texts are in the language that it was made in.
	Language finding.Language
	// Width in columns; 0 means DefaultWidth.
	Width int
	// Color asks for colours and weights.
	Color bool
	// Location in which clock times are shown; nil means UTC.
	Location *time.Location
	// Recorded tells that the document speaks of a recording, so that its time must be shown.
	Recorded bool
	// NoAgents tells that machines were not looked at, for the cluster has no agents.
	NoAgents bool
	// Program is what the user types to run this program; it stands in the hints.
	Program string
	// Rules that were evaluated, for formats that list what was checked as well as what was found.
	Rules []RuleInfo
}

// RuleInfo names a rule that was evaluated.
type RuleInfo struct {
	// Code of the rule.
	Code string
	// Title in the report's language.
	Title string
	// Severity of its findings.
	Severity v1alpha1.Severity
	// Link to read on.
	Link string
}

func (o Options) width() int {
	if o.Width == 0 {
		return DefaultWidth
	}
	return max(o.Width, minWidth)
}

func (o Options) location() *time.Location {
	if o.Location == nil {
		return time.UTC
	}
	return o.Location
}

// Terminal writes a document for people: the verdict first, then one block an incident, then what
// could not be checked. It says nothing about what is healthy.
func Terminal(w io.Writer, d v1alpha1.Diagnosis, o Options) error {
	p := &page{layout: layout{width: o.width(), color: o.Color}, words: wordsOf(o.Language), options: o, now: d.ObservedAt.Time}
	p.header(d)
	p.verdict(d)
	for i, incident := range d.Incidents {
		p.incident(i+1, incident)
	}
	p.changes(d)
	p.timeline(d.Timeline)
	p.stillRuns(d.Machine)
	p.gaps(d)
	p.more(d)
	_, err := w.Write(p.out)
	return err
}

// Incident writes one incident as Terminal does, for a command that speaks of that one alone. Now is the
// time by which ages are told.
func Incident(w io.Writer, i v1alpha1.IncidentDetails, now time.Time, o Options) error {
	p := &page{layout: layout{width: o.width(), color: o.Color}, words: wordsOf(o.Language), options: o, now: now}
	p.incident(1, i)
	_, err := w.Write(p.out)
	return err
}
