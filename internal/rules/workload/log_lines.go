package workload

import (
	"regexp"
	"slices"
	"strings"
)

var (
	// troubled are the words in which programs say what ended them.
	troubled = regexp.MustCompile(`(?i)\bpanic:|\bfatal\b|exception\b|error\b|\berr=|\bfail(?:ed|ure)?\b|cannot |can't |could not |couldn't |unable to|refused|denied|not found|no such|invalid|unknown|missing|required|timed? ?out|out of memory|not permitted|already in use|usage:`)
	// frames are the lines of stack traces, which say where and not what.
	frames = regexp.MustCompile(`^\s+(?:at |File ")|^\t|^goroutine \d+ |^exit status \d+|^created by |^\s*\.\.\. \d+ more|^stack traceback|^\s+\d+: +0x|^note: run with|^main\.main\(|^[\w./*()-]+\(0x[0-9a-f]|^npm (?:ERR|notice)|^Node\.js v\d`)
	// anything is the last resort.
	anything = regexp.MustCompile(``)
	// nameFailures are the words in which programs say that a name could not be resolved: Go's
	// resolver, the C library's (gai_strerror(3)), Java, curl, busybox.
	nameFailures = regexp.MustCompile(`no such host|server misbehaving|[Tt]emporary failure in name resolution|Name or service not known|could not be resolved|[Cc]ould not resolve host|UnknownHostException|EAI_AGAIN|ENOTFOUND|bad address '|:53: (?:i/o timeout|read: |connect: |write: )|:53: .*i/o timeout|NameResolutionError|nodename nor servname`)
)

// linesRead is how many lines from the end of a log are looked at: what ended a program stands near the end.
const linesRead = 60

// tellingLine picks the line of a log that says why a program ended: a name that could not be
// resolved, else the last line that speaks of trouble, else the last one. Stack frames are passed
// over. It is empty for an empty log.
func tellingLine(log string) string {
	lines := slices.DeleteFunc(strings.Split(strings.ReplaceAll(log, "\r", ""), "\n"), func(line string) bool {
		return strings.TrimSpace(line) == "" || frames.MatchString(line)
	})
	lines = lines[max(0, len(lines)-linesRead):]
	for _, says := range []*regexp.Regexp{nameFailures, troubled, anything} {
		for _, line := range slices.Backward(lines) {
			if says.MatchString(line) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}
