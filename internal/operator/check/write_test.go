package check

import (
	"context"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// TestReplicasShareThePace holds that all replicas together write no faster than one alone.
func TestReplicasShareThePace(t *testing.T) {
	for _, replicas := range []int{1, 2, 5} {
		t.Run(strconv.Itoa(replicas), func(t *testing.T) {
			w, now := newWrites(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			for i := range 2000 {
				w.want(types.UID(strconv.Itoa(i)), want{urgency: turn, from: now})
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
		w.want(types.UID("beat-"+strconv.Itoa(i)), want{urgency: heartbeat, from: now.Add(-time.Minute)})
	}
	w.want("new", want{urgency: turn, from: now.Add(-time.Second)})
	w.want("failed", want{urgency: alarm, from: now})
	w.want("later", want{urgency: alarm, from: now.Add(time.Second)})
	if got := w.next(now, 1); len(got) != writeBurst || got[0] != "failed" || got[1] != "new" {
		t.Errorf("written first: %v", got)
	}
}

// clearing counts when pods are cleared.
type clearing struct {
	Pods

	cleared int
}

func (c *clearing) Clear(context.Context, *v1alpha1.Check) error { c.cleared++; return nil }

// TestPodsOutliveWhatWasNotWritten holds that the pods of a run stay for whoever takes the check over, where this
// replica lost it before it wrote what they came to.
func TestPodsOutliveWhatWasNotWritten(t *testing.T) {
	l := newLife(1, 1)
	l.play("S")
	pods := &clearing{}
	s := &subject{uid: l.check.UID, check: decoded{Check: l.check}, state: l.state, clear: true}
	c := &Controller{
		o:      Options{Owns: func(types.UID) bool { return false }, Pods: pods, Clock: clocktesting.NewFakeClock(l.now)},
		writes: newWrites(), subjects: map[types.UID]*subject{s.uid: s},
	}
	c.writeOne(t.Context(), s.uid)
	if pods.cleared != 0 || !s.clear || c.writes.done != 0 {
		t.Errorf("cleared %d times, to be cleared later %t, %d writes", pods.cleared, s.clear, c.writes.done)
	}
}
