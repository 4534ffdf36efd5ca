package kuberhealthy

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// quotedLength is how many bytes of somebody's writing a warning repeats.
const quotedLength = 64

// quote repeats what somebody wrote, as far as a sentence can bear it.
func quote(written string) string {
	if cut := clip(written, quotedLength); cut != written {
		return strconv.Quote(cut) + "..."
	}
	return strconv.Quote(written)
}

// clip returns the first bytes of s, up to a limit, without cutting a character in two.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// notBlank tells that a text says something.
func notBlank(s string) bool { return strings.TrimSpace(s) != "" }

// legible returns a text of at most so many bytes, without the control characters by which it could make a
// terminal, a log or a metric say something else. Newlines and tabs stay. It says when it was cut.
func legible(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
	if len(s) <= limit {
		return s
	}
	return clip(s, limit) + " ... (cut: " + strconv.Itoa(len(s)) + " bytes in all)"
}
