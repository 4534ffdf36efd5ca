package agents

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// aboutNodes is how keys begin of what an agent last heard of each Node.
const aboutNodes = "cluster/node/"

// unlessKnown leaves out of patterns of evidence those of what agents last heard of Nodes, where the API
// server told of all of them itself: every machine holds that of every other, and in a cluster of
// thousands it would be nearly all that is sent.
func unlessKnown(keys []snapshot.EvidenceKey, s *snapshot.Snapshot) []snapshot.EvidenceKey {
	if s.Coverage(snapshot.KindOf[*corev1.Node]()).State != snapshot.Complete {
		return keys
	}
	wanted := slices.DeleteFunc(slices.Clone(keys), func(k snapshot.EvidenceKey) bool { return strings.HasPrefix(string(k), aboutNodes) })
	if len(wanted) == 0 {
		return keys // None at all would ask for everything.
	}
	return wanted
}
