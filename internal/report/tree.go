package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// The bounds of an effect tree: it shows how far trouble reaches, and -o json lists all of it.
const (
	// linksShown is the number of effects shown in all.
	linksShown = 14
	// siblingsShown is the number of effects shown below one cause.
	siblingsShown = 5
)

// effect is one link of a chain with the links below it.
type effect struct {
	link  v1alpha1.Link
	below []*effect
}

// tree turns a chain, which lists each link after what brings it about, into its tree. A link that
// is deeper than the tree goes hangs from the last one.
func tree(chain []v1alpha1.Link) []*effect {
	root := &effect{}
	path := []*effect{root}
	for _, l := range chain {
		depth := min(max(int(l.Depth), 0), len(path)-1)
		e := &effect{link: l}
		parent := path[depth]
		parent.below = append(parent.below, e)
		path = append(path[:depth+1], e)
	}
	return root.below
}

// effects is the tree of what an incident brings about.
func (p *page) effects(chain []v1alpha1.Link) {
	prefix := p.label(p.words.effect)
	left := linksShown
	var show func(effects []*effect, stem string, top bool)
	show = func(effects []*effect, stem string, top bool) {
		n := min(len(effects), siblingsShown, left)
		if n == len(effects)-1 && n > 0 && len(effects[n].below) == 0 {
			n++ // a line that says "and 1 more" costs as much as the line it hides
		}
		left -= n
		for i, e := range effects[:n] {
			branch, below := "├ ", "│ "
			if i == len(effects)-1 {
				branch, below = "└ ", "  "
			}
			if top {
				branch, below = "", ""
			}
			p.hang(append(prefix, span{stem + branch, dim}), append(p.label(""), span{stem + below, dim}), e.link.Text, plain)
			prefix = p.label("")
			show(e.below, stem+below, false)
		}
		if n < len(effects) {
			branch := "└ "
			if top {
				branch = ""
			}
			p.paragraph(append(prefix, span{stem + branch, dim}), p.rest(effects[n:]), plain)
			prefix = p.label("")
		}
	}
	show(tree(chain), "", true)
}

// rest counts effects that are not shown, by kind.
func (p *page) rest(hidden []*effect) string {
	total := 0
	kinds := map[string]int{}
	var add func([]*effect)
	add = func(effects []*effect) {
		for _, e := range effects {
			total++
			kinds[e.link.Subject.Kind]++
			add(e.below)
		}
	}
	add(hidden)
	names := slices.SortedFunc(maps.Keys(kinds), func(a, b string) int {
		return cmp.Or(cmp.Compare(kinds[b], kinds[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, k := range names {
		parts = append(parts, fmt.Sprintf("%s %s", k, grouped(kinds[k])))
	}
	return p.words.andMore(total, strings.Join(parts, ", "))
}
