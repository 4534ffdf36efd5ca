package monitor

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/snapshot"
)

func gives(err error, evidence ...snapshot.MachineEvidence) func(context.Context) ([]snapshot.MachineEvidence, error) {
	return func(context.Context) ([]snapshot.MachineEvidence, error) { return evidence, err }
}

// now and pass are the clock of a synctest bubble.
var (
	now  = time.Now   //nolint:forbidigo // see above
	pass = time.Sleep //nolint:forbidigo // see above
)

var (
	unitKeys = []Key{{Pattern: "unit/*/active-state"}}
	diskKeys = []Key{{Pattern: "disk/*/used-percent"}}
	kubelet  = Value("unit/kubelet.service/active-state", "active")
	rootDisk = Value("disk/root/used-percent", "41")
)

func TestOnce(t *testing.T) {
	tests := map[string]struct {
		monitors []Monitor
		want     []snapshot.MachineEvidence
		wantGaps []snapshot.MachineGap
	}{
		"evidence of all monitors is sorted by key": {
			monitors: []Monitor{
				{Name: "units", Keys: unitKeys, Observe: gives(nil, kubelet)},
				{Name: "disk", Keys: diskKeys, Observe: gives(nil, rootDisk)},
			},
			want: []snapshot.MachineEvidence{rootDisk, kubelet},
		},
		"a monitor that fails half-way keeps what it read and leaves a gap for each failure": {
			monitors: []Monitor{{Name: "units", Keys: unitKeys, Observe: gives(errors.Join(errors.New("no bus"), errors.New("no journal")), kubelet)}},
			want:     []snapshot.MachineEvidence{kubelet},
			wantGaps: []snapshot.MachineGap{{Monitor: "units", Reason: "no bus"}, {Monitor: "units", Reason: "no journal"}},
		},
		"a monitor that panics leaves a gap, and the others still look": {
			monitors: []Monitor{
				{Name: "units", Keys: unitKeys, Observe: func(context.Context) ([]snapshot.MachineEvidence, error) { panic("nil map") }},
				{Name: "disk", Keys: diskKeys, Observe: gives(nil, rootDisk)},
			},
			want:     []snapshot.MachineEvidence{rootDisk},
			wantGaps: []snapshot.MachineGap{{Monitor: "units", Reason: "monitor units broke: nil map"}},
		},
		"a key of another monitor is refused": {
			monitors: []Monitor{{Name: "disk", Keys: diskKeys, Observe: gives(nil, kubelet)}},
			want:     []snapshot.MachineEvidence{},
			wantGaps: []snapshot.MachineGap{{Monitor: "disk", Reason: "key unit/kubelet.service/active-state is not among its own"}},
		},
		"what is no text is made text": {
			monitors: []Monitor{{Name: "disk", Keys: diskKeys, Observe: gives(nil, Value("disk/root/used-percent", "\xff41"))}},
			want:     []snapshot.MachineEvidence{Value("disk/root/used-percent", "�41")},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := NewRunner(Identity{Machine: "w1.example", Node: "w1"}, tc.monitors, now, nil).Once(t.Context())
			if got.Machine != "w1.example" || got.Node != "w1" || got.APIVersion != snapshot.MachineReportVersion {
				t.Errorf("the report is of %s %s in %s", got.Machine, got.Node, got.APIVersion)
			}
			if diff := cmp.Diff(tc.want, got.Evidence); diff != "" {
				t.Errorf("evidence (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantGaps, got.Gaps); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAMonitorThatHangs holds that it costs one goroutine, once, and that its old values are not believed.
func TestAMonitorThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		asked, release := 0, make(chan struct{})
		m := Monitor{Name: "disk", Keys: diskKeys, Interval: 10 * time.Second, Timeout: time.Second, Observe: func(context.Context) ([]snapshot.MachineEvidence, error) {
			asked++
			if asked == 2 {
				<-release // A call into a dead mount heeds no context.
			}
			return []snapshot.MachineEvidence{rootDisk}, nil
		}}
		r := NewRunner(Identity{Node: "w1"}, []Monitor{m}, now, nil)
		go r.Run(ctx)
		synctest.Wait()
		if got := r.Report(); len(got.Evidence) != 1 || len(got.Gaps) != 0 {
			t.Errorf("after the first look: %v, %v", got.Evidence, got.Gaps)
		}
		pass(time.Minute)
		synctest.Wait()
		if got := r.Report(); len(got.Evidence) != 0 || len(got.Gaps) != 1 || asked != 2 {
			t.Errorf("while it hangs: %v, %v, asked %d times; want a gap, and to have been asked twice", got.Evidence, got.Gaps, asked)
		}
		if states := r.States(); !states[0].Stuck {
			t.Errorf("states %+v do not say that it hangs", states)
		}
		close(release)
		pass(30 * time.Second)
		synctest.Wait()
		if got := r.Report(); len(got.Evidence) != 1 || len(got.Gaps) != 0 {
			t.Errorf("after it came back: %v, %v", got.Evidence, got.Gaps)
		}
		cancel()
		synctest.Wait()
	})
}

func TestAChangeIsSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var looks []time.Duration
		start, change := now(), make(chan struct{})
		m := Monitor{
			Name: "disk", Keys: diskKeys, Interval: time.Minute,
			Observe: func(context.Context) ([]snapshot.MachineEvidence, error) {
				looks = append(looks, now().Sub(start))
				return nil, nil
			},
			Watch: func(ctx context.Context, changed func()) error {
				for {
					select {
					case <-ctx.Done():
						return nil
					case <-change:
						changed()
					}
				}
			},
		}
		go NewRunner(Identity{Node: "w1"}, []Monitor{m}, now, nil).Run(ctx)
		pass(2 * time.Second)
		change <- struct{}{}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if want := []time.Duration{0, 2 * time.Second}; !slices.Equal(looks, want) {
			t.Errorf("it looked after %v, want %v", looks, want)
		}
	})
}
