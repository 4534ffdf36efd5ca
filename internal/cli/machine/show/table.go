package show

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/snapshot"
)

// view is a machine with how its values are to be written.
type view struct {
	m        snapshot.Machine
	evidence []snapshot.MachineEvidence
	o        report.Options
	now      time.Time
}

// table shows things of one kind, a row each.
type table struct {
	title finding.Text
	// names are the things, as the machine calls them.
	names func(*view) []string
	// columns after each other; the last is the one that is wrapped.
	columns []column
}

type column struct {
	head finding.Text
	cell func(v *view, name string) string
}

func (t table) fill(v *view) report.Table {
	out := report.Table{Title: t.title.In(v.o.Language)}
	for _, c := range t.columns {
		out.Headings = append(out.Headings, c.head.In(v.o.Language))
	}
	for _, name := range t.names(v) {
		var row []string
		for _, c := range t.columns {
			row = append(row, c.cell(v, name))
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// The headings that several tables have.
var (
	headName    = finding.Text{EN: "NAME", KO: "이름"}
	headState   = finding.Text{EN: "STATE", KO: "상태"}
	headSince   = finding.Text{EN: "SINCE", KO: "시작"}
	headError   = finding.Text{EN: "ERROR", KO: "오류"}
	headKey     = finding.Text{EN: "KEY", KO: "키"}
	headValue   = finding.Text{EN: "VALUE", KO: "값"}
	headAnswer  = finding.Text{EN: "ANSWER", KO: "응답"}
	headTook    = finding.Text{EN: "TOOK", KO: "소요"}
	headFile    = finding.Text{EN: "FILE", KO: "파일"}
	headChanged = finding.Text{EN: "CHANGED", KO: "변경"}
	headType    = finding.Text{EN: "TYPE", KO: "종류"}
	headSize    = finding.Text{EN: "SIZE", KO: "크기"}
	headAddress = finding.Text{EN: "ADDRESS", KO: "주소"}
	headDevice  = finding.Text{EN: "DEVICE", KO: "장치"}
	headVersion = finding.Text{EN: "VERSION", KO: "버전"}
	headPod     = finding.Text{EN: "POD", KO: "Pod"}
	headNode    = finding.Text{EN: "NODE", KO: "노드"}
)

// itself is a column of the names.
func itself(head finding.Text) column {
	return column{head, func(_ *view, name string) string { return name }}
}

// under names what stands for the first "*" in keys that fit any of the patterns.
func under(patterns ...snapshot.EvidenceKey) func(*view) []string {
	return func(v *view) []string {
		var out []string
		for _, p := range patterns {
			out = append(out, v.m.Names(p)...)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
}

// once is a table of one row where any of the keys has a value.
func once(keys ...snapshot.EvidenceKey) func(*view) []string {
	return func(v *view) []string {
		for _, k := range keys {
			if len(v.m.Select(k)) > 0 {
				return []string{""}
			}
		}
		return nil
	}
}

// at is the key that a pattern makes with a name.
func at(pattern, name string) snapshot.EvidenceKey {
	segments := strings.Split(pattern, "/")
	for i, s := range segments {
		if s == "*" {
			segments[i] = name
		}
	}
	return snapshot.KeyOf(segments...)
}

// text is a column of values as they are.
func text(head finding.Text, pattern string) column {
	return column{head, func(v *view, name string) string { return v.m.Value(at(pattern, name)) }}
}

// firstOf is a column of the first of several values that is there.
func firstOf(head finding.Text, patterns ...string) column {
	return column{head, func(v *view, name string) string {
		for _, p := range patterns {
			if value := v.m.Value(at(p, name)); value != "" {
				return value
			}
		}
		return ""
	}}
}

// since is a column of when values came to be so.
func since(head finding.Text, pattern string) column {
	return column{head, func(v *view, name string) string { return v.o.Moment(v.m.Since(at(pattern, name)), v.now) }}
}

// moment is a column of values that are times.
func moment(head finding.Text, pattern string) column {
	return column{head, func(v *view, name string) string { return v.o.Moment(v.m.Time(at(pattern, name)), v.now) }}
}

// size is a column of bytes.
func size(head finding.Text, pattern string) column {
	return column{head, func(v *view, name string) string {
		n, ok := v.m.Int(at(pattern, name))
		if !ok {
			return ""
		}
		return humanBytes(n)
	}}
}

// seconds is a column of short durations.
func seconds(head finding.Text, pattern string) column {
	return column{head, func(v *view, name string) string {
		f, ok := v.m.Float(at(pattern, name))
		if !ok {
			return ""
		}
		return short(f)
	}}
}

// percent is a column of one value as a part of another; left tells that the first is what is left.
func percent(head finding.Text, pattern, of string, left bool) column {
	return column{head, func(v *view, name string) string {
		part, ok := v.m.Float(at(pattern, name))
		whole, known := v.m.Float(at(of, name))
		if !ok || !known || whole <= 0 {
			return ""
		}
		if left {
			part = whole - part
		}
		return percentOf(part, whole)
	}}
}

// yes is a column that has a word where a value is true.
func yes(head finding.Text, pattern string, word finding.Text) column {
	return column{head, func(v *view, name string) string {
		if v.m.True(at(pattern, name)) {
			return word.In(v.o.Language)
		}
		return ""
	}}
}

// notes is a last column of whatever is worth a word, joined.
func notes(head finding.Text, cells ...column) column {
	return column{head, func(v *view, name string) string {
		var out []string
		for _, c := range cells {
			value := c.cell(v, name)
			if value == "" || value == report.Unknown {
				continue
			}
			if label := c.head.In(v.o.Language); label != "" {
				value = label + " " + value
			}
			out = append(out, value)
		}
		return strings.Join(out, ", ")
	}}
}

// label is a heading that stands before a value in notes.
func label(en, ko string) finding.Text { return finding.Text{EN: en, KO: ko} }

// humanBytes writes a size as df -h does.
func humanBytes(n int64) string {
	f, sign, units := float64(n), "", []string{"", "K", "M", "G", "T", "P"}
	if f < 0 {
		f, sign = -f, "-"
	}
	for len(units) > 1 && f >= 1024 {
		f, units = f/1024, units[1:]
	}
	if f < 10 && units[0] != "" {
		return sign + strconv.FormatFloat(f, 'f', 1, 64) + units[0]
	}
	return sign + strconv.FormatFloat(f, 'f', 0, 64) + units[0]
}

// short writes a few seconds in the unit that tells most.
func short(f float64) string {
	switch {
	case f < 0:
		return report.Unknown
	case f < 0.0095:
		return strconv.FormatFloat(f*1000, 'f', 1, 64) + " ms"
	case f < 1:
		return strconv.FormatFloat(f*1000, 'f', 0, 64) + " ms"
	default:
		return strconv.FormatFloat(f, 'f', 1, 64) + " s"
	}
}

func joined(segments []string) string { return strings.Join(segments, " ") }

func (v *view) location() *time.Location {
	if v.o.Location == nil {
		return time.UTC
	}
	return v.o.Location
}
