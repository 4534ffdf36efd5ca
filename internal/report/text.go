package report

import (
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Clean makes text that was written by somebody else harmless to a terminal, as a report does. It is
// for what is printed beside reports, such as errors.
func Clean(s string) string { return clean(s) }

// clean makes text harmless to a terminal: line breaks and tabs become spaces, every other control
// character and every character that reorders text becomes its code point in words, and what is no
// UTF-8 becomes U+FFFD.
func clean(s string) string {
	if strings.IndexFunc(s, unsafe) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ')
		case unsafe(r):
			fmt.Fprintf(&b, "<U+%04X>", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unsafe tells whether a character does something to a terminal other than taking up its place.
func unsafe(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// columns is the number of columns that text takes on a terminal: two for each wide character
// (Unicode Standard Annex 11), none for one that joins the character before it. Characters of
// ambiguous width count one: that is what terminals do unless told otherwise.
func columns(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		default:
			n++
			if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
				n++
			}
		}
	}
	return n
}

// longestName is the length of the longest names that Kubernetes has, in bytes
// (k8s.io/apimachinery/pkg/util/validation, DNS1123SubdomainMaxLength).
const longestName = 253

// broken yields the words of a text; those that are longer than any name in pieces of at most limit columns.
func broken(s string, limit int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for word := range strings.FieldsSeq(s) {
			if len(word) <= longestName || limit < 2 {
				if !yield(word) {
					return
				}
				continue
			}
			piece, used := 0, 0
			for i, r := range word {
				w := columns(string(r))
				if used+w > limit {
					if !yield(word[piece:i]) {
						return
					}
					piece, used = i, 0
				}
				used += w
			}
			if !yield(word[piece:]) {
				return
			}
		}
	}
}

// wrap breaks text at spaces into lines of at most limit columns. A word that is longer has a line
// of its own, whole, if it may be a name: one that is cut cannot be pasted.
func wrap(s string, limit int) []string {
	var lines []string
	var line strings.Builder
	used := 0
	for word := range broken(s, limit) {
		w := columns(word)
		if used > 0 && used+1+w > limit {
			lines = append(lines, line.String())
			line.Reset()
			used = 0
		}
		if used > 0 {
			line.WriteByte(' ')
			used++
		}
		line.WriteString(word)
		used += w
	}
	if used > 0 {
		lines = append(lines, line.String())
	}
	return lines
}

// pad fills text up with spaces to a number of columns.
func pad(s string, to int) string {
	return s + strings.Repeat(" ", max(0, to-columns(s)))
}
