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

// ExpectNode records a node that should exist. The first source of a name is kept.
func (b *Builder) ExpectNode(n ExpectedNode) {
	if !slices.ContainsFunc(b.state.expected, func(e ExpectedNode) bool { return e.Name == n.Name }) {
		b.state.expected = append(b.state.expected, n)
	}
}
