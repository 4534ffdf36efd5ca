package snapshot

import "slices"

// ExpectedNode is a node that should exist, because somebody outside the cluster's own list says so.
type ExpectedNode struct {
	// Name of the node.
	Name string `json:"name"`
	// Source says who expects it: "inventory hosts.txt", "snapshot of 2026-03-01T02:00:00Z".
	Source string `json:"source"`
}

// ExpectedNodes are the nodes that an inventory or an earlier snapshot names, in the order in which
// they were given, each name once.
func (s *Snapshot) ExpectedNodes() []ExpectedNode { return s.expected }

// WithExpected returns a snapshot in which the given nodes are expected too; the first source of a name is
// kept. The rest is shared.
func (s *Snapshot) WithExpected(nodes []ExpectedNode) *Snapshot {
	next := *s.state
	next.expected = expect(s.expected, nodes...)
	return &Snapshot{state: &next, allowed: s.allowed, allowedKeys: s.allowedKeys, customAllowed: s.customAllowed}
}

// expect adds nodes to those that are expected, each name once, and leaves the given list as it is.
func expect(known []ExpectedNode, nodes ...ExpectedNode) []ExpectedNode {
	named := make(map[string]bool, len(known)+len(nodes))
	for _, n := range known {
		named[n.Name] = true
	}
	out := slices.Clip(known)
	for _, n := range nodes {
		if !named[n.Name] {
			named[n.Name] = true
			out = append(out, n)
		}
	}
	return out
}
