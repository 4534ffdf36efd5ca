package network

import (
	"maps"
	"slices"
)

// blame is a machine on whose side directions fail.
type blame struct {
	node string
	// out and in tell what fails: what it sends, what it should receive.
	out, in bool
	// ways that fail for it.
	ways []way
}

// blamed is how bad directions are shared out.
type blamed struct {
	// everywhere tells that no direction is good, as more than one machine sees it.
	everywhere bool
	nodes      []blame
	// single directions that no machine as a whole is to blame for.
	single []way
}

// share of a machine's measured directions that must be bad for the machine to be blamed: with many peers a
// few are not up to date.
const share = 0.8

// shareOut finds the machines to blame for bad directions among good ones. Where all that a machine sends is
// lost, and what others send is not, its own side fails; a direction that is bad by itself is nobody's.
func shareOut(good, bad []way) blamed {
	if len(bad) == 0 {
		return blamed{}
	}
	if len(good) == 0 && center(bad) == "" && len(machinesOf(bad)) > 2 {
		return blamed{everywhere: true, single: bad}
	}
	var out blamed
	left := slices.Clone(bad)
	for {
		b, ok := worst(good, left)
		if !ok {
			break
		}
		out.nodes = append(out.nodes, b)
		left = slices.DeleteFunc(left, func(w way) bool { return slices.Contains(b.ways, w) })
	}
	out.single = left
	slices.SortFunc(out.nodes, func(a, b blame) int { return compareWays(way{from: a.node}, way{from: b.node}) })
	return out
}

// worst is the machine with the most bad directions among those to blame.
func worst(good, bad []way) (blame, bool) {
	type count struct{ good, bad int }
	out, in := map[string]count{}, map[string]count{}
	add := func(ways []way, bad bool) {
		for _, w := range ways {
			o, i := out[w.from], in[w.to]
			if bad {
				o.bad, i.bad = o.bad+1, i.bad+1
			} else {
				o.good, i.good = o.good+1, i.good+1
			}
			out[w.from], in[w.to] = o, i
		}
	}
	add(good, false)
	add(bad, true)
	fails := func(c count) bool { return c.bad >= 2 && float64(c.bad) >= share*float64(c.good+c.bad) }
	var best blame
	most := 0
	for _, node := range machinesOf(bad) {
		b := blame{node: node, out: fails(out[node]), in: fails(in[node])}
		n := 0
		if b.out {
			n += out[node].bad
		}
		if b.in {
			n += in[node].bad
		}
		if n > most {
			best, most = b, n
		}
	}
	if most == 0 {
		return blame{}, false
	}
	for _, w := range bad {
		if best.out && w.from == best.node || best.in && w.to == best.node {
			best.ways = append(best.ways, w)
		}
	}
	return best, true
}

// machinesOf are the machines at the ends of directions.
func machinesOf(ways []way) []string {
	seen := map[string]bool{}
	for _, w := range ways {
		seen[w.from], seen[w.to] = true, true
	}
	return slices.Sorted(maps.Keys(seen))
}

// center is the one machine that all directions begin or end at; empty where there is none.
func center(ways []way) string {
	for _, node := range machinesOf(ways) {
		if !slices.ContainsFunc(ways, func(w way) bool { return w.from != node && w.to != node }) {
			return node
		}
	}
	return ""
}

// others are the other ends of a machine's directions.
func (b blame) others() []string {
	var out []string
	for _, w := range b.ways {
		if w.from == b.node {
			out = append(out, w.to)
		} else {
			out = append(out, w.from)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
