package finding

import (
	"regexp"
	"strings"
	"time"
)

// quoteRunes bounds a quoted message: enough for what went wrong, and a page is never flooded.
const quoteRunes = 300

// Quote makes a message of somebody else's fit for a sentence: one line of valid UTF-8, cut to a
// readable length.
func Quote(message string) string { return Line(message, quoteRunes) }

// Line makes one line of valid UTF-8 of what anybody wrote, cut to a number of runes.
func Line(text string, runes int) string {
	s := strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	if r := []rune(s); len(r) > runes {
		return string(r[:runes]) + "…"
	}
	return s
}

// Clock tells a time of day in UTC, with its date where that is not the day of now.
func Clock(now, t time.Time) string {
	now, t = now.UTC(), t.UTC()
	if now.Year() == t.Year() && now.YearDay() == t.YearDay() {
		return t.Format("15:04 UTC")
	}
	return t.Format("2006-01-02 15:04 UTC")
}

// plainWord is what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// ShellWord makes one word of a command of a name that others gave: what a shell would take for more than a
// name is quoted, so that a command that is pasted does nothing else than it says.
func ShellWord(name string) string {
	if plainWord.MatchString(name) {
		return name
	}
	return "'" + strings.ReplaceAll(Line(name, quoteRunes), "'", `'\''`) + "'"
}
