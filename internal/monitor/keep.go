package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Bounds of what one monitor may give at one look: what it reads is anybody's to write, and one that is
// flooded must not take the room of the others, nor make a report that nobody takes.
const (
	// valueRunes bounds a value, and reasonRunes a gap.
	valueRunes  = 2000
	reasonRunes = 500
	// keyBytes bounds a key; the longest name of a file is 255 bytes, thrice that when it is escaped.
	keyBytes = 4 << 10
	// evidenceBytes bounds keys and values together. A machine with 250 pods gives below 300 KiB in all.
	evidenceBytes = 1 << 20
	// maxGaps bounds the number of gaps.
	maxGaps = 20
)

// keep takes in what a look gave. A key that is not the monitor's own is a gap, and so is what is too much.
func (m *watched) keep(now func() time.Time, s seen) {
	evidence, gaps := m.bounded(s.evidence)
	gaps = append(gaps, reasons(s.err)...)
	if more := len(gaps) - maxGaps; more > 0 {
		gaps = append(gaps[:maxGaps:maxGaps], fmt.Sprintf("and %d more things that could not be read", more))
	}
	for i := range gaps {
		gaps[i] = plain(gaps[i], reasonRunes)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looking, m.read = false, now()
	m.looks++
	m.spent += m.read.Sub(m.began)
	m.evidence, m.gaps = evidence, gaps
}

// bounded leaves what a monitor may give.
func (m *watched) bounded(all []snapshot.MachineEvidence) (evidence []snapshot.MachineEvidence, gaps []string) {
	left := evidenceBytes
	for i, e := range all {
		if !slices.ContainsFunc(m.Keys, func(k Key) bool { return e.Key.Fits(k.Pattern) }) {
			gaps = append(gaps, fmt.Sprintf("key %s is not among its own", e.Key))
			continue
		}
		if len(e.Key) > keyBytes {
			gaps = append(gaps, fmt.Sprintf("the name in key %s is too long", finding.Line(string(e.Key), 100)))
			continue
		}
		e.Value = plain(e.Value, valueRunes)
		// The text form of times has four digits for the year: a later one could not be read back.
		if e.At != nil && !writable(e.At.Time) {
			e.At = nil
		}
		if left -= len(e.Key) + len(e.Value); left < 0 {
			gaps = append(gaps, fmt.Sprintf("it gives %d values, which are more than %d KiB: %d of them are left out", len(all), evidenceBytes>>10, len(all)-i))
			break
		}
		evidence = append(evidence, e)
	}
	return evidence, gaps
}

// plain is a line that anybody may be given: what looks like a credential is taken out, before the cut
// makes it look like something else, and control characters are made visible.
func plain(text string, runes int) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, finding.Line(secret.Redact(text), runes))
}

// writable tells whether RFC 3339 can write a time.
func writable(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 0 && year <= 9999
}

// reasons takes joined errors apart. What only mentions several in a sentence of its own stays whole.
func reasons(err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out, texts []string
		for _, e := range joined.Unwrap() {
			out, texts = append(out, reasons(e)...), append(texts, e.Error())
		}
		if strings.Join(texts, "\n") == err.Error() {
			return out
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return []string{"it took too long: " + err.Error()}
	}
	return []string{err.Error()}
}
