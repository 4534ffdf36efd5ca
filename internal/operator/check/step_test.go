package check

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// TestTheClockIsPut puts the wall clock forward and back. What a Check says must stay, whatever its period; it must be
// run again soon, and its status tell the new time soon.
func TestTheClockIsPut(t *testing.T) {
	const good = "Ready=True/Running Healthy=True/Succeeded "
	for _, put := range []time.Duration{
		2 * time.Second, -2 * time.Second, 90 * time.Second, -90 * time.Second, 70 * time.Minute, -70 * time.Minute,
		5 * time.Hour, -5 * time.Hour, 400 * 24 * time.Hour, -400 * 24 * time.Hour,
	} {
		t.Run(put.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.operate(t)
				periods := map[string]time.Duration{}
				for _, seconds := range []int32{10, 60, 300, 3600} {
					for i := range 4 {
						name := fmt.Sprintf("every-%d-%d", seconds, i)
						periods[name] = time.Duration(seconds) * time.Second
						b.make("shop", name, v1alpha1.CheckSpec{PeriodSeconds: seconds})
					}
				}
				pass(65*time.Minute + 3*time.Second)
				runs, told := map[string]int{}, map[string]int{}
				for name := range periods {
					if got := b.healthy(name); got != good {
						t.Fatalf("%s says %s before the clock is put", name, got)
					}
					runs[name], told[name] = len(b.runsOf(name)), len(b.saidOf(name))
				}
				b.clock.put(put)
				put := clock.RealClock{}.Now()
				pass(3 * time.Minute)
				for name, period := range periods {
					checkSoon(t, b, name, put, period)
				}
				pass(65 * time.Minute)
				for name, period := range periods {
					for _, got := range b.saidOf(name)[told[name]:] {
						if got != good {
							t.Errorf("%s says %s", name, got)
						}
					}
					if got, most := len(b.runsOf(name))-runs[name], 2+int(70*time.Minute/period); got > most {
						t.Errorf("%s was run %d times in 68 minutes", name, got)
					}
					b.subject(b.checks[name].UID).checkCounts(t)
				}
			})
		})
	}
}

// checkSoon holds that a Check is run within its period, whatever happened to the clock, or within a minute where its
// time was stepped over, and that its status tells of that run.
func checkSoon(t *testing.T, b *bed, name string, put time.Time, period time.Duration) {
	t.Helper()
	runs := b.runsOf(name)
	last := runs[len(runs)-1]
	if period <= time.Minute && last.Before(put) {
		t.Errorf("%s was not run for three minutes since the clock was put", name)
	}
	status := b.statusOf(name)
	if period <= time.Minute && status.ObservedAt.Sub(b.clock.Now()).Abs() > 10*time.Minute {
		t.Errorf("%s was observed at %v by its status, and it is %v", name, status.ObservedAt, b.clock.Now())
	}
}

// checkCounts holds that no run was late or left out.
func (s *subject) checkCounts(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts.skipped > 0 || s.state.load.over {
		t.Errorf("%s: %d runs were left out, overloaded %t", s.check.Name, s.counts.skipped, s.state.load.over)
	}
}

// TestWhatIsSteppedOverIsRunSoon puts the clock forward over the time of Checks that are seldom run.
func TestWhatIsSteppedOverIsRunSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.operate(t)
		for i := range 50 {
			b.make("shop", fmt.Sprint("daily-", i), v1alpha1.CheckSpec{PeriodSeconds: 86400})
			b.make("shop", fmt.Sprint("cron-", i), v1alpha1.CheckSpec{Schedule: "0 3 * * *"})
		}
		pass(25 * time.Hour)
		b.clock.put(24 * time.Hour)
		at := clock.RealClock{}.Now()
		pass(time.Minute + 2*time.Second)
		perSecond := map[int]int{}
		for name := range b.checks {
			runs := b.runsOf(name)
			last := runs[len(runs)-1].Sub(at)
			if got := strings.HasPrefix(name, "daily"); got != (last > 0) {
				t.Errorf("%s was run last %v after the clock was put forward", name, last)
			}
			perSecond[int(last/time.Second)]++
		}
		for second, n := range perSecond {
			if second >= 0 && n > 10 {
				t.Errorf("%d are run together", n)
			}
		}
	})
}

// TestNoFutureStandsBeforeThePresent has a status tell of transitions and failures that are yet to come: somebody's
// clock was ahead, this replica's or another's.
func TestNoFutureStandsBeforeThePresent(t *testing.T) {
	l := newLife(1, 1)
	for range maxTransitions {
		l.play("FS")
	}
	l.check.Status = *l.render(&l.check.Status, "a", 600)
	l.now = l.now.Add(-5 * time.Hour)
	for name, take := range map[string]func() *state{
		"in this replica":  func() *state { l.stepped(l.now); return l.state },
		"in another's":     func() *state { s, _, _ := adopt(l.check, l.now); s.stepped(l.now); return s },
		"only what it was": func() *state { return &state{} },
	} {
		s := take()
		s.transitions = append([]v1alpha1.VerdictTransition{{At: metav1.NewTime(l.now.Add(time.Second)), Healthy: "False", Reason: "New"}}, s.transitions...)
		s.recent = append([]v1alpha1.CheckFailure{{At: metav1.NewTime(l.now.Add(time.Second)), Reason: "New"}}, s.recent...)
		status := s.render(past(&l.check.Status, l.now), "a", 600)
		if status.Transitions[0].Reason != "New" || status.RecentFailures[0].Reason != "New" {
			t.Errorf("%s: the newest are %+v and %+v", name, status.Transitions[0], status.RecentFailures[0])
		}
	}
}
