package diagnosis

import "slices"

// circles groups findings that explain each other, directly or around, by Kosaraju's algorithm: a
// finding that is in no circle is a group of its own. It walks without recursion, for a chain can
// be as long as there are findings.
func (g *graph) circles() (groups [][]int, groupOf []int) {
	order := make([]int, 0, len(g.findings))
	seen := make([]bool, len(g.findings))
	for i := range g.findings {
		order = walk(g.effects, i, seen, order)
	}
	groupOf = make([]int, len(g.findings))
	clear(seen)
	for _, last := range slices.Backward(order) {
		group := walk(g.causes, last, seen, nil)
		for _, i := range group {
			groupOf[i] = len(groups)
		}
		if len(group) > 0 {
			groups = append(groups, group)
		}
	}
	return groups, groupOf
}

// walk goes depth first over what was not seen yet and appends each finding when all behind it is
// done.
func walk(edges [][]int, from int, seen []bool, done []int) []int {
	if seen[from] {
		return done
	}
	type step struct{ at, next int }
	seen[from] = true
	stack := []step{{at: from}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.next == len(edges[top.at]) {
			done = append(done, top.at)
			stack = stack[:len(stack)-1]
			continue
		}
		to := edges[top.at][top.next]
		top.next++
		if !seen[to] {
			seen[to] = true
			stack = append(stack, step{at: to})
		}
	}
	return done
}
