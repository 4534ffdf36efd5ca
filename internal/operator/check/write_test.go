package check

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
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

// TestFirstVerdictsAreQuick holds that who makes many Checks sees what they come to soon, while what is written
// already changes at its own pace.
func TestFirstVerdictsAreQuick(t *testing.T) {
	for _, replicas := range []int{1, 3} {
		t.Run(strconv.Itoa(replicas), func(t *testing.T) {
			w, now := newWrites(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			for i := range 3000 {
				w.want(types.UID("new-"+strconv.Itoa(i)), want{urgency: turn, from: now, namespace: "a", first: true})
				w.want(types.UID("old-"+strconv.Itoa(i)), want{urgency: alarm, from: now, namespace: "b"})
			}
			w.next(now, replicas) // what goes at once
			firsts, others := 0, 0
			for range 200 {
				now = now.Add(100 * time.Millisecond)
				for _, uid := range w.next(now, replicas) {
					if strings.HasPrefix(string(uid), "new-") {
						firsts++
					} else {
						others++
					}
				}
			}
			if most, least := firstsPerSecond*20, firstsPerSecond*20-60; firsts*replicas > most || firsts*replicas < least {
				t.Errorf("%d first statuses in 20 seconds, want %d to %d", firsts*replicas, least, most)
			}
			if most, least := writesPerSecond*20, writesPerSecond*20-20; others*replicas > most || others*replicas < least {
				t.Errorf("%d others in 20 seconds, want %d to %d", others*replicas, least, most)
			}
		})
	}
}

// TestNamespacesShareThePace has all Checks of one namespace fail and recover all the time.
func TestNamespacesShareThePace(t *testing.T) {
	w, now := newWrites(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	written := map[string]int{}
	for second := range 300 {
		for i := range 5000 {
			w.want(types.UID("hog-"+strconv.Itoa(i)), want{urgency: alarm, from: now, namespace: "hog"})
		}
		// As many heartbeats as fit beside it.
		for i := range 3 {
			w.want(types.UID("beat-"+strconv.Itoa(3*second+i)), want{urgency: heartbeat, from: now, namespace: "shop"})
		}
		now = now.Add(time.Second)
		for _, uid := range w.next(now, 1) {
			written[string(uid[:3])]++
		}
	}
	if n := written["bea"]; n < 850 {
		t.Errorf("%d heartbeats of 900 are written", n)
	}
	if n := written["hog"]; n < 1000 {
		t.Errorf("%d writes of the others, want what is left", n)
	}
}

// TestAThousandChecksAtOnce has somebody make a thousand Checks that run every ten seconds.
func TestAThousandChecksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.operate(t)
		const checks = 1000
		for i := range checks {
			b.make("shop", "web-"+strconv.Itoa(i), v1alpha1.CheckSpec{PeriodSeconds: 10})
		}
		pass(time.Minute)
		seen := 0
		for name := range b.checks {
			if b.healthy(name) == "Ready=True/Running Healthy=True/Succeeded " {
				seen++
			}
		}
		if seen != checks {
			t.Errorf("after a minute %d of %d say what they come to", seen, checks)
		}
		if n := b.statusWrites(); n > 2*checks {
			t.Errorf("%d writes for %d Checks", n, checks)
		}
		before := b.statusWrites()
		pass(2 * time.Minute)
		if n := b.statusWrites() - before; n > 0 {
			t.Errorf("%d writes though nothing has changed", n)
		}
	})
}
