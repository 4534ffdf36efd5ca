package snapshot

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWithMachines(t *testing.T) {
	before := NewBuilder(time.Time{}, Source{}).Build()
	after := before.WithMachines([]MachineReport{{Node: "w1"}}, map[string]string{"w1": "too late", "w2": "no agent runs there"})
	after = after.With(map[Question]Answer{{Kind: APIServerMetrics}: {}})
	if _, ok := after.Machine("w1"); !ok || len(before.MachineReports()) != 0 {
		t.Errorf("reports before %v and after %v", before.MachineReports(), after.MachineReports())
	}
	if diff := cmp.Diff(map[string]string{"w2": "no agent runs there"}, after.Unreported()); diff != "" {
		t.Errorf("unreported (-want +got):\n%s", diff)
	}
}
