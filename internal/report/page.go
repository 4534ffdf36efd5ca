package report

import (
	"io"
	"strings"
)

// Tone is how something stands, for those who see colours.
type Tone int

// The tones.
const (
	Plain Tone = iota
	Strong
	Faint
	Good
	Odd
	Bad
)

var tones = map[Tone]style{Plain: plain, Strong: bold, Faint: dim, Good: green, Odd: yellow, Bad: red}

// Page is text for people laid out as reports are, for commands whose output is no diagnosis. Whatever is put
// on it is made harmless to terminals.
type Page struct {
	layout layout
}

// NewPage makes an empty page.
func NewPage(o Options) *Page {
	return &Page{layout{width: o.width(), color: o.Color}}
}

// Blank puts an empty line, but not at the top.
func (p *Page) Blank() {
	if len(p.layout.out) > 0 {
		p.layout.put()
	}
}

// Text puts text after an indent in columns, wrapped under itself.
func (p *Page) Text(indent int, text string, tone Tone) {
	p.layout.paragraph(line{{strings.Repeat(" ", indent), plain}}, text, tones[tone])
}

// Labelled puts text after an indent and a label in a column of a width, wrapped under itself. A longer label is
// followed by two spaces.
func (p *Page) Labelled(indent, width int, label string, labelTone Tone, text string, tone Tone) {
	label = clean(label)
	if columns(label) >= width {
		width = columns(label) + len(between)
	}
	prefix := line{{strings.Repeat(" ", indent), plain}, {pad(label, width), tones[labelTone]}}
	p.layout.paragraph(prefix, text, tones[tone])
}

// Command puts a command on one line, however long: one that is broken cannot be pasted.
func (p *Page) Command(indent int, command string) {
	p.layout.put(span{strings.Repeat(" ", indent), plain}, span{clean(command), cyan})
}

// Write writes the page.
func (p *Page) Write(w io.Writer) error {
	_, err := w.Write(p.layout.out)
	return err
}
