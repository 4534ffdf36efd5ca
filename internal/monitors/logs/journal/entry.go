package journal

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cursor is a place in a journal: that of one entry.
type Cursor struct {
	// SeqnumID names the row of numbers that Seqnum belongs to; journald keeps it over rotations.
	SeqnumID ID
	// Seqnum counts entries.
	Seqnum uint64
	// Boot is the boot that the entry was written in.
	Boot ID
	// Monotonic is the time since that boot, and Realtime the time since 1970, in microseconds.
	Monotonic, Realtime uint64
	// Hash of the entry's fields.
	Hash uint64
}

// String is the cursor as journalctl writes and reads it.
func (c Cursor) String() string {
	return fmt.Sprintf("s=%s;i=%x;b=%s;m=%x;t=%x;x=%x", c.SeqnumID, c.Seqnum, c.Boot, c.Monotonic, c.Realtime, c.Hash)
}

// IsZero tells whether it is the place before all entries.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// ParseCursor reads a cursor as journalctl writes it.
func ParseCursor(s string) (Cursor, error) {
	var c Cursor
	var err error
	seen := make([]byte, 0, len(s))
	for part := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(part, "=")
		seen = append(seen, name...)
		switch name {
		case "s":
			c.SeqnumID, err = ParseID(value)
		case "b":
			c.Boot, err = ParseID(value)
		case "i":
			c.Seqnum, err = strconv.ParseUint(value, 16, 64)
		case "m":
			c.Monotonic, err = strconv.ParseUint(value, 16, 64)
		case "t":
			c.Realtime, err = strconv.ParseUint(value, 16, 64)
		case "x":
			c.Hash, err = strconv.ParseUint(value, 16, 64)
		}
		if err != nil {
			return Cursor{}, fmt.Errorf("reading the cursor %q: %w", s, err)
		}
	}
	if string(seen) != "sibmtx" {
		return Cursor{}, fmt.Errorf("reading the cursor %q: it is not one of a journal", s)
	}
	return c, nil
}

// Entry is one entry of a journal, with the fields that were asked for.
type Entry struct {
	Cursor

	fields []Field
}

// Time is when journald received it.
func (e Entry) Time() time.Time { return moment(e.Realtime) }

// Get returns the first value of a field; empty where it has none, or it was not asked for.
func (e Entry) Get(name string) string {
	for _, f := range e.fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Message is the text of the entry.
func (e Entry) Message() string { return e.Get("MESSAGE") }

// Priority is the syslog level of the entry, from 0, an emergency, to 7; false where it has none.
func (e Entry) Priority() (int, bool) {
	n, err := strconv.Atoi(e.Get("PRIORITY"))
	return n, err == nil && n >= 0 && n <= 7
}

// Fields are all that were asked for, in the order in which they were written.
func (e Entry) Fields() []Field { return slices.Clone(e.fields) }

// Match is a condition on an entry: it has all these fields. The first is looked up by index, so it
// had better be the rarer one.
type Match []Field

// Unit matches what a systemd unit writes and what systemd and the kernel write about it, as
// journalctl --unit does.
func Unit(name string) []Match {
	return []Match{
		{{"_SYSTEMD_UNIT", name}},
		{{"UNIT", name}, {"_PID", "1"}},
		{{"OBJECT_SYSTEMD_UNIT", name}, {"_UID", "0"}},
		{{"COREDUMP_UNIT", name}, {"_UID", "0"}},
	}
}

// Kernel matches what the kernel writes.
func Kernel() []Match { return []Match{{{"_TRANSPORT", "kernel"}}} }

func (m Match) fits(fields []Field) bool {
	for _, want := range m {
		if !slices.Contains(fields, want) {
			return false
		}
	}
	return true
}

// Query says which entries are read, and what of them.
type Query struct {
	// Any of these an entry must fit; none means all entries.
	Any []Match
	// Fields to read; none means all.
	Fields []string
	// After is the entry behind which reading begins; zero means at the beginning. Reading backwards
	// begins at the end, whatever it says.
	After Cursor
	// Since is the oldest moment to read; zero means no bound.
	Since time.Time
	// Backward reads from the newest entry to the oldest.
	Backward bool
	// MaxValue cuts the values of fields, in bytes; zero means 64 KiB, and more than 128 KiB is not read.
	MaxValue int64
}

// fields are those that must be read to judge and to give; nil means all.
func (q Query) wanted() map[string]bool {
	if len(q.Fields) == 0 {
		return nil
	}
	want := map[string]bool{}
	for _, name := range q.Fields {
		want[name] = true
	}
	for _, m := range q.Any {
		for _, f := range m {
			want[f.Name] = true
		}
	}
	return want
}

func (q Query) limit() int64 {
	if q.MaxValue > 0 {
		return min(q.MaxValue, 128<<10)
	}
	return 64 << 10
}

// wants tells whether an entry fits the query.
func (q Query) wants(fields []Field) bool {
	if len(q.Any) == 0 {
		return true
	}
	for _, m := range q.Any {
		if m.fits(fields) {
			return true
		}
	}
	return false
}
