package diagnosis

import (
	"testing"
	"time"

	"github.com/maek-dev/maek/internal/snapshot"
)

func TestSeenEnoughOfAMachine(t *testing.T) {
	looked := []snapshot.MonitorRead{{Monitor: "units"}}
	tests := map[string]struct {
		reports []snapshot.MachineReport
		want    bool
	}{
		"its monitors looked":                {[]snapshot.MachineReport{{Node: "w1", Reads: looked}}, true},
		"one of its monitors left a gap":     {[]snapshot.MachineReport{{Node: "w1", Reads: looked, Gaps: []snapshot.MachineGap{{Monitor: "logs", Reason: "no journal"}}}}, false},
		"another machine's gap is no matter": {[]snapshot.MachineReport{{Node: "w1", Reads: looked}, {Node: "w2", Gaps: []snapshot.MachineGap{{Monitor: "logs", Reason: "no journal"}}}}, true},
		"no monitor looked":                  {[]snapshot.MachineReport{{Node: "w1"}}, false},
		"only others reported":               {[]snapshot.MachineReport{{Node: "w2", Reads: looked}}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := snapshot.NewBuilder(time.Time{}, snapshot.Source{Name: "w1.example", Machine: "w1"})
			for _, r := range tc.reports {
				b.AddMachine(r)
			}
			if got := SeenEnough(b.Build(), nil); got != tc.want {
				t.Errorf("seen enough: %t, want %t", got, tc.want)
			}
		})
	}
}
