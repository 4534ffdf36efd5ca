package journal

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Line is what one entry says.
type Line struct {
	// At is when journald received it.
	At time.Time
	// Priority is the syslog level, from 0, an emergency, to 7; -1 where it has none.
	Priority int
	// Identifier is what the writer calls itself, such as "kubelet" or "systemd".
	Identifier string
	// Message is the text, up to MaxLine bytes of it.
	Message string
	// MessageID names the kind of message, such as systemd's "unit failed"; empty for most.
	MessageID string
	// Boot is the boot that it was written in.
	Boot ID
}

// MaxLine is how many bytes of a message a Line holds.
const MaxLine = 4 << 10

// lineFields are what a Line is made of.
func lineFields() []string {
	return []string{"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE_ID"}
}

// LastLines returns up to n of the newest entries by and about a systemd unit, oldest first, none
// older than since (zero means no bound). It reads backwards and by index, so that it costs little in
// a large journal too. An error says what could not be read; the lines that could are returned
// beside it. A machine without a journal is ErrNone.
func (j *Journal) LastLines(ctx context.Context, unit string, n int, since time.Time) ([]Line, error) {
	return j.Last(ctx, Unit(unit), n, since)
}

// Last returns up to n of the newest entries that fit any of the matches, as LastLines does.
func (j *Journal) Last(ctx context.Context, matches []Match, n int, since time.Time) ([]Line, error) {
	r, err := j.Read(Query{Any: matches, Fields: lineFields(), Since: since, Backward: true, MaxValue: MaxLine})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out []Line
	for len(out) < n {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("reading the journal: %w", err)
		}
		e, ok := r.Next()
		if !ok {
			break
		}
		out = append(out, e.Line())
	}
	slices.Reverse(out)
	return out, r.Err()
}

// Line is what the entry says. It takes the fields MESSAGE, PRIORITY, SYSLOG_IDENTIFIER and MESSAGE_ID.
func (e Entry) Line() Line {
	priority, ok := e.Priority()
	if !ok {
		priority = -1
	}
	return Line{At: e.Time(), Priority: priority, Identifier: e.Get("SYSLOG_IDENTIFIER"), Message: e.Message(), MessageID: e.Get("MESSAGE_ID"), Boot: e.Boot}
}

// LastKernel returns up to n of the newest messages of the kernel, oldest first.
func (j *Journal) LastKernel(ctx context.Context, n int) ([]Line, error) {
	return j.Last(ctx, Kernel(), n, time.Time{})
}
