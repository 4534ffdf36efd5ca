package expect

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/secret"
)

const (
	// maxMessage is the longest message of a status, in bytes.
	maxMessage = 512
	// maxQuote is how much of an answer is quoted, in bytes before quoting, and maxHead how much of it is looked
	// through for credentials.
	maxQuote = 100
	maxHead  = 4 * maxQuote
)

// sentence makes any text fit for a status: valid, on one line, without credentials, and no longer than
// maxMessage.
func sentence(text string) string {
	return cut(secret.Redact(oneLine(text)), maxMessage)
}

// oneLine replaces what would break a line or a terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(text), "\uFFFD"))
}

// cut shortens a text to at most so many bytes, between runes.
func cut(text string, most int) string {
	const ellipsis = "…"
	if len(text) <= most {
		return text
	}
	end := most - len(ellipsis)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// quote quotes the beginning of what somebody else wrote.
func quote(text string) string {
	// Before it is cut: half a token is no longer known for one.
	head := secret.Redact(strings.ToValidUTF8(text[:min(len(text), maxHead)], "\uFFFD"))
	return strconv.Quote(cut(head, maxQuote))
}

// withoutURL takes off what Go's client puts before an error: the URL, which after a redirect is the
// target's own words and may hold credentials.
func withoutURL(message string) string {
	rest, found := strings.CutPrefix(message, `Get "`)
	if !found {
		return message
	}
	if _, after, found := strings.Cut(rest, `": `); found {
		return after
	}
	return message
}

// causes are by what words a failure is known whose cause was not sent along.
var causes = []struct {
	words string
	cause probe.Cause
}{
	{"connection refused", probe.ConnectionRefused},
	{"connection reset", probe.ConnectionReset},
	{"broken pipe", probe.ConnectionReset},
	{"no route to host", probe.Unreachable},
	{"network is unreachable", probe.Unreachable},
	{"no such host", probe.NameNotFound},
	{"x509: ", probe.CertificateInvalid},
	{"tls: ", probe.TLSHandshakeFailed},
	{"Client.Timeout", probe.TimedOut},
	{"deadline exceeded", probe.TimedOut},
	{"i/o timeout", probe.TimedOut},
	{"timed out", probe.TimedOut},
}

func causeByWords(message string) probe.Cause {
	message = withoutURL(message)
	for _, c := range causes {
		if strings.Contains(message, c.words) {
			return c.cause
		}
	}
	if strings.HasSuffix(message, "EOF") {
		return probe.ConnectionReset
	}
	return ""
}
