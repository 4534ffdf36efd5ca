package report

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Unknown stands in a table where there is no value.
const Unknown = "-"

// Table is values under headings, as people read them beside the output of other tools.
type Table struct {
	// Title above it.
	Title string
	// Headings of the columns.
	Headings []string
	// Rows of as many cells each. A cell may hold several lines.
	Rows [][]string
}

// Tables writes tables, and below them what could not be read. Columns in which no row has a value are
// left out, and so are tables without rows.
func Tables(w io.Writer, tables []Table, gaps []v1alpha1.SkippedRule, o Options) error {
	p := &page{layout: layout{width: o.width(), color: o.Color}, words: wordsOf(o.Language), options: o}
	for _, t := range tables {
		if len(t.Rows) == 0 {
			continue
		}
		if len(p.out) > 0 {
			p.put()
		}
		p.table(t)
	}
	if len(gaps) > 0 {
		if len(p.out) > 0 {
			p.put()
		}
		for _, g := range gather(gaps) {
			p.paragraph(line{{p.words.gaps + "  ", yellow}}, p.describe(g), plain)
		}
	}
	_, err := w.Write(p.out)
	return err
}

// between is what separates columns.
const between = "  "

// leastLast is the least width in columns to which the last cell of a row is wrapped.
const leastLast = 24

func (p *page) table(t Table) {
	t = t.filled()
	p.put(span{t.Title, bold})
	widths := make([]int, len(t.Headings))
	for _, row := range append([][]string{t.Headings}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	last := len(widths) - 1
	fixed := 0
	for _, w := range widths[:last] {
		fixed += w + columns(between)
	}
	if fixed+min(widths[last], leastLast) > p.width {
		p.records(t)
		return
	}
	write := func(row []string, s style) {
		var prefix line
		for i, cell := range row[:last] {
			prefix = append(prefix, span{pad(cell, widths[i]) + between, s})
		}
		if prefix.columns()+columns(row[last]) <= p.width || p.width-prefix.columns() < leastLast {
			p.put(append(prefix, span{row[last], s})...)
			return
		}
		p.paragraph(prefix, row[last], s)
	}
	write(t.Headings, dim)
	for _, row := range t.Rows {
		write(row, plain)
	}
}

// records writes a table that is too wide for the page: each row by itself, its values behind their headings.
func (p *page) records(t Table) {
	for _, row := range t.Rows {
		p.put(span{row[0], cyan})
		var values []string
		for i, cell := range row[1:] {
			if cell != Unknown {
				values = append(values, t.Headings[i+1]+" "+cell)
			}
		}
		for _, text := range fold(values, " ·", p.width-columns(between)) {
			p.paragraph(line{{between, plain}}, text, plain)
		}
	}
}

// fold puts items on lines of at most limit columns, so that a heading stays with its value. An item that
// is longer has a line of its own.
func fold(items []string, mark string, limit int) []string {
	var lines []string
	for i, item := range items {
		if i < len(items)-1 {
			item += mark
		}
		if last := len(lines) - 1; last >= 0 && columns(lines[last])+1+columns(item) <= limit {
			lines[last] += " " + item
		} else {
			lines = append(lines, item)
		}
	}
	return lines
}

// filled leaves out columns without values, and puts Unknown where a cell is empty.
func (t Table) filled() Table {
	var kept []int
	for i := range t.Headings {
		if slices.ContainsFunc(t.Rows, func(row []string) bool { return row[i] != "" && row[i] != Unknown }) {
			kept = append(kept, i)
		}
	}
	pick := func(row []string, text func(string) string) []string {
		out := make([]string, 0, len(kept))
		for _, i := range kept {
			out = append(out, text(row[i]))
		}
		return out
	}
	out := Table{Title: clean(t.Title), Headings: pick(t.Headings, clean)}
	for _, row := range t.Rows {
		out.Rows = append(out.Rows, pick(row, func(cell string) string {
			if strings.TrimSpace(cell) == "" {
				return Unknown
			}
			return clean(cell)
		}))
	}
	if len(kept) == 0 {
		out.Headings, out.Rows = []string{""}, nil
	}
	return out
}

// Moment writes a time as people say it, with its age at another time: "19:17 (32 min)".
func (o Options) Moment(t, now time.Time) string {
	if t.IsZero() {
		return Unknown
	}
	p := &page{words: wordsOf(o.Language), options: o, now: now}
	if t.After(now) {
		return t.In(o.location()).Format("2006-01-02 15:04") + parenthesis("+"+p.words.age(t.Sub(now)))
	}
	return p.clock(t) + parenthesis(p.words.age(now.Sub(t)))
}

// writerColumns is the width of the column that says who wrote a log line; longer names push it.
const writerColumns = 16

// LogLine writes a line of a log: when, who, what. Severity is F, E, W or I; 0 where the line says none.
func (o Options) LogLine(at time.Time, writer string, severity byte, text string) []byte {
	s := plain
	switch severity {
	case 'F', 'E':
		s = red
	case 'W':
		s = yellow
	}
	l := layout{color: o.Color}
	l.put(span{at.In(o.location()).Format("15:04:05.000") + between, dim}, span{pad(clean(writer), writerColumns) + between, cyan}, span{clean(text), s})
	return l.out
}
