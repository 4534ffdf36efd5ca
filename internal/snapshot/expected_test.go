package snapshot

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWithExpectedKeepsTheFirstSourceAndTheOldSnapshot(t *testing.T) {
	before := NewBuilder(time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC), Source{Name: "test"}).Build().
		WithExpected([]ExpectedNode{{"w1", "inventory hosts.txt"}})
	after := before.WithExpected([]ExpectedNode{{"w1", "snapshot of yesterday"}, {"w2", "snapshot of yesterday"}, {"w2", "again"}})
	if diff := cmp.Diff([]ExpectedNode{{"w1", "inventory hosts.txt"}, {"w2", "snapshot of yesterday"}}, after.ExpectedNodes()); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]ExpectedNode{{"w1", "inventory hosts.txt"}}, before.ExpectedNodes()); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
}
