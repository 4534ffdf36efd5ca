package record

import (
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
)

// TestReplicasShareThePace holds that all replicas together write no faster than one alone, and checkpoint no
// more often.
func TestReplicasShareThePace(t *testing.T) {
	for _, replicas := range []int{1, 3} {
		t.Run(strconv.Itoa(replicas), func(t *testing.T) {
			clock := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
			k := New(Options{Owns: func(types.UID) bool { return true }, Replicas: func() int { return replicas }, Clock: clock})
			const checks = 3000
			for i := range checks {
				k.Ended(Run{Check: Check{UID: types.UID(strconv.Itoa(i))}, Run: history.Run{Ended: clock.Now(), Result: v1alpha1.ResultSuccess}})
			}
			if want := time.Duration(checks*replicas/checkpointsPerSecond) * time.Second; k.checkpointEvery() != want {
				t.Errorf("checkpoints of %d checks every %v, want %v", checks, k.checkpointEvery(), want)
			}
			written := 0
			take := func() {
				uids, _ := k.due(clock.Now())
				for _, uid := range uids {
					k.entries[uid].unwritten = nil
				}
				written += len(uids)
			}
			take()
			written = 0 // what goes at once
			for range 60 {
				clock.Step(time.Second)
				take()
			}
			if most, least := writesPerSecond*60, writesPerSecond*60-60; written*replicas > most || written*replicas < least {
				t.Errorf("%d replicas write %d records in a minute, want %d to %d", replicas, written*replicas, least, most)
			}
		})
	}
}
