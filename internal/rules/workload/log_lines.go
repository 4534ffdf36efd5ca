package workload

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

var (
	// troubled are the words in which programs say what ended them.
	troubled = patterned(`(?i)\bpanic:|\bfatal\b|exception\b|error\b|\berr=|\bfail(?:ed|ure)?\b|cannot |can't |could not |couldn't |unable to|refused|denied|not found|no such|invalid|unknown|missing|required|timed? ?out|out of memory|not permitted|already in use|usage:`)
	// frames are the lines of stack traces and dumped objects, which say where and not what.
	frames = patterned(`^\s+(?:at |File ")|^\t|^goroutine \d+ |^exit status \d+|^created by |^\s*\.\.\. \d+ more|^stack traceback|^\s+\d+: +0x|^note: run with|^main\.main\(|^[\w./*()-]+\(0x[0-9a-f]|^npm (?:ERR|error|notice)|^Node\.js v\d|^\s+(?:errno|code|syscall|address|port|hostname): |^Traceback \(most recent|^\[signal SIG`)
	// nameFailures are the words in which programs say that a name could not be resolved.
	nameFailures = patterned(strings.Join(textsAbout(concernNoAnswer, concernUnknown, concernName), "|"))
	// noSpace are the words in which programs say that a file system is full.
	noSpace = patterned(strings.Join(textsAbout(concernStore), "|"))
	// colours are what terminals make of emphasis (ECMA-48, SGR).
	colours = regexp.MustCompile("\x1b\\[[0-9;]*m")
)

// textsAbout returns the expressions of the clues that concern any of the given things.
func textsAbout(concerns ...concern) []string {
	var out []string
	for _, c := range clues {
		if slices.Contains(concerns, c.about) {
			out = append(out, c.text.String())
		}
	}
	return out
}

// linesRead is how many lines from the end of a log are looked at: what ended a program stands near the end.
const linesRead = 60

// reading is what a log tells.
type reading struct {
	// line that tells the most; empty for an empty log.
	line string
	// clue that it carries; nil where the catalogue knows none.
	clue *clue
}

// about tells whether the line concerns any of the given things.
func (r reading) about(concerns ...concern) bool {
	return r.clue != nil && slices.Contains(concerns, r.clue.about)
}

// readLog picks the line of a log that says why a program ended: the last one that carries a clue,
// else the last one that speaks of trouble, else the last one. Stack frames are passed over.
func readLog(log string) reading {
	log = colours.ReplaceAllString(strings.ToValidUTF8(log, "\uFFFD"), "")
	lines := slices.DeleteFunc(strings.Split(strings.ReplaceAll(log, "\r", ""), "\n"), func(line string) bool {
		return strings.TrimSpace(line) == "" || frames.MatchString(line)
	})
	lines = lines[max(0, len(lines)-linesRead):]
	for _, line := range slices.Backward(lines) {
		line = strings.TrimSpace(line)
		for i := range clues {
			if at := clues[i].text.FindStringIndex(line); at != nil {
				return reading{line: around(line, at[0]), clue: &clues[i]}
			}
		}
	}
	for _, line := range slices.Backward(lines) {
		if at := troubled.FindStringIndex(line); at != nil {
			return reading{line: around(strings.TrimSpace(line), at[0])}
		}
	}
	if len(lines) == 0 {
		return reading{}
	}
	return reading{line: strings.TrimSpace(lines[len(lines)-1])}
}

// tellingLine is the line of a log that says why a program ended; empty for an empty log.
func tellingLine(log string) string { return readLog(log).line }

// shownBytes and before bound what is kept of a long line, such as one of structured logging: the clue
// and what stands before it must be within what a report quotes (finding.Quote).
const (
	shownBytes = 1000
	before     = 120
)

// around cuts a long line so that what stands at an index is near its start.
func around(line string, at int) string {
	if at > 2*before {
		from := at - before
		for from > 0 && !utf8.RuneStart(line[from]) {
			from--
		}
		line = "…" + line[from:]
	}
	if len(line) > shownBytes {
		end := shownBytes
		for end > 0 && !utf8.RuneStart(line[end]) {
			end--
		}
		line = line[:end] + "…"
	}
	return line
}
