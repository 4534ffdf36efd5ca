package monitor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

func TestReport(t *testing.T) {
	at := time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)
	gives := func(err error, evidence ...snapshot.MachineEvidence) func(context.Context) ([]snapshot.MachineEvidence, error) {
		return func(context.Context) ([]snapshot.MachineEvidence, error) { return evidence, err }
	}
	kubelet := snapshot.MachineEvidence{Key: "unit/kubelet.service/active-state", Value: "active"}
	root := snapshot.MachineEvidence{Key: "disk/root/used-percent", Value: "41"}
	tests := map[string]struct {
		monitors []Monitor
		want     []snapshot.MachineEvidence
		wantGaps []snapshot.MachineGap
	}{
		"evidence of all monitors is sorted by key": {
			monitors: []Monitor{
				{Name: "units", Keys: []string{"unit"}, Observe: gives(nil, kubelet)},
				{Name: "disk", Keys: []string{"disk"}, Observe: gives(nil, root)},
			},
			want: []snapshot.MachineEvidence{root, kubelet},
		},
		"a monitor that fails half-way keeps what it read and leaves a gap": {
			monitors: []Monitor{{Name: "units", Keys: []string{"unit"}, Observe: gives(errors.New("no bus"), kubelet)}},
			want:     []snapshot.MachineEvidence{kubelet},
			wantGaps: []snapshot.MachineGap{{Monitor: "units", Reason: "no bus"}},
		},
		"a monitor that panics leaves a gap, and the next one still runs": {
			monitors: []Monitor{
				{Name: "units", Keys: []string{"unit"}, Observe: func(context.Context) ([]snapshot.MachineEvidence, error) { panic("nil map") }},
				{Name: "disk", Keys: []string{"disk"}, Observe: gives(nil, root)},
			},
			want:     []snapshot.MachineEvidence{root},
			wantGaps: []snapshot.MachineGap{{Monitor: "units", Reason: "monitor units broke: nil map"}},
		},
		"a key of another monitor is refused": {
			monitors: []Monitor{{Name: "disk", Keys: []string{"disk"}, Observe: gives(nil, kubelet)}},
			want:     []snapshot.MachineEvidence{},
			wantGaps: []snapshot.MachineGap{{Monitor: "disk", Reason: "key unit/kubelet.service/active-state is not among its own"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Report(t.Context(), Identity{Machine: "w1.example", Node: "w1"}, at, tc.monitors)
			want := snapshot.MachineReport{
				TypeMeta: metav1.TypeMeta{APIVersion: snapshot.MachineReportVersion, Kind: "MachineReport"},
				Machine:  "w1.example", Node: "w1", ObservedAt: metav1.NewTime(at), Evidence: tc.want, Gaps: tc.wantGaps,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReportStopsAMonitorThatHangs(t *testing.T) {
	m := Monitor{Name: "cri", Keys: []string{"cri"}, Timeout: time.Millisecond, Observe: func(ctx context.Context) ([]snapshot.MachineEvidence, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	got := Report(t.Context(), Identity{Machine: "w1", Node: "w1"}, time.Time{}, []Monitor{m})
	want := []snapshot.MachineGap{{Monitor: "cri", Reason: "context deadline exceeded"}}
	if diff := cmp.Diff(want, got.Gaps); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
