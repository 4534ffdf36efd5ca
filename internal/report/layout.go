package report

import (
	"slices"
	"strings"
)

// style is how a stretch of text looks on a terminal with colours.
type style string

// The styles, as SGR parameters (ECMA-48, 8.3.117). The sixteen basic colours follow the user's
// own theme.
const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "1;31"
	green  style = "1;32"
	yellow style = "1;33"
	cyan   style = "36"
)

// span is text in one style. Its text is clean.
type span struct {
	text  string
	style style
}

// line is what stands on one line.
type line []span

func (l line) columns() int {
	n := 0
	for _, s := range l {
		n += columns(s.text)
	}
	return n
}

// layout puts lines together. Only it writes control sequences.
type layout struct {
	out   []byte
	width int
	color bool
}

// put writes a line, without spaces at its end.
func (o *layout) put(spans ...span) {
	last := len(spans)
	for last > 0 && strings.TrimRight(spans[last-1].text, " ") == "" {
		last--
	}
	for i, s := range spans[:last] {
		text := s.text
		if i == last-1 {
			text = strings.TrimRight(text, " ")
		}
		if o.color && s.style != plain {
			text = "\x1b[" + string(s.style) + "m" + text + "\x1b[0m"
		}
		o.out = append(o.out, text...)
	}
	o.out = append(o.out, '\n')
}

// ends writes a line with one part at the left margin and one at the right; false, and nothing
// written, where they do not fit beside each other.
func (o *layout) ends(left line, right span) bool {
	gap := o.width - left.columns() - columns(right.text)
	if gap < 2 {
		return false
	}
	o.put(append(left, span{strings.Repeat(" ", gap), plain}, right)...)
	return true
}

// paragraph writes text after a first line's prefix, wrapped under itself.
func (o *layout) paragraph(prefix line, text string, s style) {
	o.hang(prefix, line{{strings.Repeat(" ", prefix.columns()), plain}}, text, s)
}

// hang writes text after a first line's prefix and the prefix of all lines below it, which must be
// equally wide.
func (o *layout) hang(first, below line, text string, s style) {
	lines := wrap(clean(text), o.width-first.columns())
	if len(lines) == 0 {
		lines = []string{""}
	}
	prefix := first
	for _, l := range lines {
		o.put(append(slices.Clone(prefix), span{l, s})...)
		prefix = below
	}
}
