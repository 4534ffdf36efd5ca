package agents

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

func TestWhatTheAPIServerToldIsNotAskedFor(t *testing.T) {
	const unit, address, api = "unit/*/active-state", "cluster/node/*/internal-ip", "cluster/api"
	tests := map[string]struct {
		nodes snapshot.State
		keys  []snapshot.EvidenceKey
		want  []snapshot.EvidenceKey
	}{
		"all Nodes were read":         {nodes: snapshot.Complete, keys: []snapshot.EvidenceKey{unit, address, api}, want: []snapshot.EvidenceKey{unit, api}},
		"some Nodes were read":        {nodes: snapshot.Partial, keys: []snapshot.EvidenceKey{unit, address}, want: []snapshot.EvidenceKey{unit, address}},
		"Nodes may not be read":       {nodes: snapshot.Forbidden, keys: []snapshot.EvidenceKey{unit, address}, want: []snapshot.EvidenceKey{unit, address}},
		"all that there is is wanted": {nodes: snapshot.Complete},
		"nothing else is wanted":      {nodes: snapshot.Complete, keys: []snapshot.EvidenceKey{address}, want: []snapshot.EvidenceKey{address}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := snapshot.NewBuilder(moment, snapshot.Source{})
			b.SetCoverage(snapshot.KindOf[*corev1.Node](), snapshot.Coverage{State: tc.nodes})
			if diff := cmp.Diff(tc.want, unlessKnown(tc.keys, b.Build())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
