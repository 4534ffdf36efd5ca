package bundle

import (
	"fmt"
	"strings"

	"github.com/maek-dev/maek/internal/finding"
)

// gaps collects what could not be read or understood, in the order in which it was met.
type gaps struct {
	list []gap
	// seen keeps a file with a thousand equal gaps from telling of each.
	seen map[gap]bool
}

type gap struct {
	file string
	text finding.Text
}

// add records that something about a file could not be read.
func (g *gaps) add(file, en, ko string, args ...any) {
	for i, a := range args {
		// What is quoted comes from the bundle and goes to a terminal.
		if _, number := a.(int); !number {
			args[i] = strings.Map(printable, fmt.Sprint(a))
		}
	}
	it := gap{file: strings.Map(printable, file), text: finding.Textf(en, ko, args...)}
	if g.seen[it] {
		return
	}
	if g.seen == nil {
		g.seen = map[gap]bool{}
	}
	g.seen[it] = true
	g.list = append(g.list, it)
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
		return ' '
	}
	return r
}

// skips renders the gaps of the files that matter.
func (g *gaps) skips(matters func(file string) bool) []finding.Skip {
	var out []finding.Skip
	left := 0
	for _, it := range g.list {
		if it.file != "" && !matters(it.file) {
			continue
		}
		if len(out) == maxGaps {
			left++
			continue
		}
		text := it.text
		if it.file != "" {
			text = finding.Join(": ", finding.Verbatim(it.file), text)
		}
		out = append(out, finding.Skip{Reason: text})
	}
	if left > 0 {
		out = append(out, finding.Skip{Reason: finding.Textf("and %d more gaps of this sort", "이와 같은 누락이 %d건 더 있습니다", left)})
	}
	return out
}
