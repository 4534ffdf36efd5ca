package lifecycle

import (
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"unicode"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// meaning is a fingerprint of what an incident says. Numbers in texts are left out, and so are the values of
// evidence: ages grow, restarts are counted, backends are asked again, and an object that is written for
// each of that costs everybody who watches it, and tells nobody anything.
func meaning(d v1alpha1.IncidentDetails) uint64 {
	h := fnv.New64a()
	say := func(words ...string) {
		for _, w := range words {
			_, _ = io.WriteString(h, w)
			_, _ = h.Write([]byte{0})
		}
	}
	say(d.Code, string(d.Severity), string(d.Mechanism), d.Field, string(d.Confidence), still(d.Title), still(d.Why), fmt.Sprint(d.Subject))
	for _, link := range d.Chain {
		say(link.Code, fmt.Sprint(link.Subject, link.Depth), still(link.Text))
	}
	for _, kind := range slices.Sorted(maps.Keys(d.Affected)) {
		say(kind)
		say(d.Affected[kind]...)
	}
	for _, s := range d.RuledOut {
		say(still(s.Text))
	}
	for _, r := range slices.Concat(d.Remedies.Now, d.Remedies.Later) {
		say(still(r.Text), r.Command)
	}
	return h.Sum64()
}

// still is a text without its numbers.
func still(text string) string {
	out := make([]rune, 0, len(text))
	for _, r := range text {
		if !unicode.IsDigit(r) {
			out = append(out, r)
		}
	}
	return string(out)
}
