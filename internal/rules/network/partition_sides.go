package network

import (
	"cmp"
	"slices"
	"time"
)

// togetherWithin is how close to each other machines must have been heard last to have been lost by one
// cause: two beacons of the slowest mesh, and some for their order.
const togetherWithin = 15 * time.Second

// lostMachine is one that gives no report and that nobody hears.
type lostMachine struct {
	node string
	// seenBy are those who used to hear it, and last when one of them did.
	seenBy []string
	last   time.Time
	ways   []way
}

// sides are the parts into which the machines fall.
type sides struct {
	// whole are groups of machines that hear each other, and of which nobody hears one of another group; the
	// largest first. One group is the normal state.
	whole [][]string
	// lost one by one; group holds those who were lost together.
	lost  []lostMachine
	group []lostMachine
	// ways between the groups.
	ways []way
}

// findSides joins what hears each other over the machines' network.
func findSides(m *matrix) sides {
	group := map[string]string{}
	var root func(string) string
	root = func(n string) string {
		if group[n] == "" || group[n] == n {
			return n
		}
		group[n] = root(group[n])
		return group[n]
	}
	var cuts []way
	for _, w := range m.directions(hostNetwork) {
		switch m.judge(w, hostNetwork) {
		case fine, blocked:
			if v := m.judge(w.back(), hostNetwork); v != broken || m.answered(w, hostNetwork) {
				group[root(w.from)] = root(w.to)
			}
		case broken:
			cuts = append(cuts, w)
		case unknown:
		}
	}
	members := map[string][]string{}
	for _, n := range m.nodes {
		members[root(n)] = append(members[root(n)], n)
	}
	var s sides
	for _, n := range m.nodes {
		if root(n) != n {
			continue
		}
		side := members[n]
		if len(side) == 1 {
			if _, reports := m.reports[n]; !reports {
				if l, ok := lostBy(m, n); ok {
					s.lost = append(s.lost, l)
				}
				continue
			}
		}
		s.whole = append(s.whole, side)
	}
	slices.SortFunc(s.whole, func(a, b []string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a[0], b[0]))
	})
	s.whole = apart(m, s.whole)
	for _, w := range cuts {
		if sideOf(s.whole, w.from) != sideOf(s.whole, w.to) && sideOf(s.whole, w.from) >= 0 && sideOf(s.whole, w.to) >= 0 {
			s.ways = append(s.ways, w)
		}
	}
	s.lost, s.group = together(s.lost)
	return s
}

func sideOf(whole [][]string, node string) int {
	return slices.IndexFunc(whole, func(side []string) bool { return slices.Contains(side, node) })
}

// apart leaves only groups that are proven to be cut off from the first: every known direction between them
// is broken, and one is known. What works in one direction is no partition.
func apart(m *matrix, whole [][]string) [][]string {
	if len(whole) < 2 {
		return whole
	}
	first := whole[0]
	out := [][]string{first}
	for _, side := range whole[1:] {
		cut, other := 0, 0
		for _, w := range m.directions(hostNetwork) {
			if slices.Contains(first, w.from) && slices.Contains(side, w.to) || slices.Contains(side, w.from) && slices.Contains(first, w.to) {
				switch m.judge(w, hostNetwork) {
				case broken:
					cut++
				case fine, blocked:
					other++
				case unknown:
				}
			}
		}
		if cut > 0 && other == 0 {
			out = append(out, side)
		}
	}
	return out
}

// lostBy tells who lost a machine that gives no report; false where one still hears it, or it is heard to be lost by
// nobody.
func lostBy(m *matrix, node string) (lostMachine, bool) {
	l := lostMachine{node: node}
	for _, w := range m.directions(hostNetwork) {
		if w.from != node {
			continue
		}
		if m.judge(w, hostNetwork) != broken {
			return lostMachine{}, false
		}
		if v := m.judge(w, podNetwork); v == fine {
			return lostMachine{}, false
		}
		l.seenBy = append(l.seenBy, w.to)
		l.ways = append(l.ways, w)
	}
	l.last = m.since(hostNetwork, l.ways, false)
	return l, len(l.seenBy) > 0
}

// together parts machines that were lost at one moment from those lost one by one.
func together(lost []lostMachine) (single, group []lostMachine) {
	for _, l := range lost {
		alike := slices.ContainsFunc(lost, func(o lostMachine) bool {
			return o.node != l.node && !o.last.IsZero() && !l.last.IsZero() && o.last.Sub(l.last).Abs() <= togetherWithin
		})
		if alike {
			group = append(group, l)
		} else {
			single = append(single, l)
		}
	}
	return single, group
}

// cutOff are directions that a partition or a lost machine accounts for.
func (s sides) cutOff(w way) bool {
	gone := func(node string) bool {
		is := func(l lostMachine) bool { return l.node == node }
		return slices.ContainsFunc(s.lost, is) || slices.ContainsFunc(s.group, is)
	}
	return gone(w.from) || gone(w.to) || len(s.whole) > 1 && sideOf(s.whole, w.from) != sideOf(s.whole, w.to)
}
