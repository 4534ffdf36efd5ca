package check

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// TestReplicasShareThePace holds that all replicas together write no faster than one alone.
func TestReplicasShareThePace(t *testing.T) {
	for _, replicas := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(replicas), func(t *testing.T) {
			w, now := newWrites(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			for i := range 2000 {
				w.want(types.UID(fmt.Sprint(i)), want{urgency: turn, from: now})
			}
			w.next(now, replicas) // what goes at once
			n := 0
			for range 600 {
				now = now.Add(100 * time.Millisecond)
				n += len(w.next(now, replicas))
			}
			if most, least := writesPerSecond*60, writesPerSecond*60-60; n*replicas > most || n*replicas < least {
				t.Errorf("%d replicas write %d statuses in a minute, want %d to %d", replicas, n*replicas, least, most)
			}
		})
	}
}

func TestTheMostUrgentIsWrittenFirst(t *testing.T) {
	w, now := newWrites(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 100 {
		w.want(types.UID(fmt.Sprint("beat-", i)), want{urgency: heartbeat, from: now.Add(-time.Minute)})
	}
	w.want("turned", want{urgency: turn, from: now})
	w.want("later", want{urgency: turn, from: now.Add(time.Second)})
	if got := w.next(now, 1); len(got) != writeBurst || got[0] != "turned" {
		t.Errorf("written first: %v", got)
	}
}
