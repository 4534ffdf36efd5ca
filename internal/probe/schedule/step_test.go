package schedule_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/maek-dev/maek/internal/probe/schedule"
)

// TestAStepIsNobodysFault puts the clock forward while tasks wait for their time, for a worker, or run: no slot was
// missed then.
func TestAStepIsNobodysFault(t *testing.T) {
	for name, tc := range map[string]struct {
		workers int
		takes   time.Duration
	}{
		"while they wait for their time": {workers: 10},
		"while they run":                 {workers: 10, takes: 8 * time.Second},
		"while they wait for a worker":   {workers: 1, takes: 300 * time.Millisecond},
	} {
		for _, step := range []time.Duration{3 * time.Second, time.Minute, 5 * time.Hour, 30 * 365 * 24 * time.Hour} {
			t.Run(name+" "+step.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newJumpy()
					var d diary
					s := schedule.New(schedule.Options{Clock: c, Classes: map[schedule.Class]int{"": tc.workers}})
					for i := range 10 {
						s.Set(key(i), d.keep(key(i), every(period, time.Duration(i)*100*time.Millisecond), tc.takes))
					}
					start(t, s)
					time.Sleep(32 * time.Second) //nolint:forbidigo // the time of the bubble
					c.jump(step)
					time.Sleep(3 * period) //nolint:forbidigo // the time of the bubble
					for i := range 10 {
						slots := d.of(key(i))
						if len(slots) < 5 {
							t.Errorf("task %d was run %d times", i, len(slots))
						}
						for _, slot := range slots {
							if slot.Skipped > 0 {
								t.Errorf("task %d: %+v", i, slot)
							}
						}
					}
				})
			})
		}
	}
}

// TestPutBack puts the clock back.
func TestPutBack(t *testing.T) {
	t.Run("a slot that was run does not come again", func(t *testing.T) {
		for _, takes := range []time.Duration{0, 5 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				c := newJumpy()
				began := c.began
				var d diary
				s := schedule.New(schedule.Options{Clock: c})
				s.Set("hourly", d.keep("hourly", every(time.Hour, 0), takes))
				start(t, s)
				time.Sleep(time.Hour + 2*time.Second) //nolint:forbidigo // the time of the bubble
				c.jump(-time.Minute)
				time.Sleep(90 * time.Minute) //nolint:forbidigo // the time of the bubble
				s.Set("hourly", d.keep("hourly", every(time.Hour, 0), takes))
				if got := lines(began, d.of("hourly")); len(got) != 2 || got[0] != "due 1h0m0s" || got[1] != "due 2h0m0s" {
					t.Errorf("with runs of %v it was run %q", takes, got)
				}
			})
		}
	})
	t.Run("what waits for a worker does not wait for the clock", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newJumpy()
			var d diary
			s := schedule.New(schedule.Options{Clock: c})
			// The worker has a little more to do than it can.
			for i := range 12 {
				s.Set(key(i), d.keep(key(i), every(period, time.Duration(i)*500*time.Millisecond), time.Second))
			}
			s.Set("asked", d.keep("asked", func(time.Time) (time.Time, bool) { return time.Time{}, false }, 0))
			start(t, s)
			time.Sleep(2*period + 5*time.Second) //nolint:forbidigo // the time of the bubble
			s.RunNow("asked")
			c.jump(-5 * time.Hour)
			jumped := c.Now()
			time.Sleep(3 * period) //nolint:forbidigo // the time of the bubble
			if n := len(d.of("asked")); n != 1 {
				t.Errorf("what was asked for was run %d times", n)
			}
			for i := range 12 {
				slots := d.of(key(i))
				if last := slots[len(slots)-1].Started; last.Before(jumped) || last.Sub(jumped) > 3*period {
					t.Errorf("task %d has not been run for %v since the clock was put back", i, 3*period)
				}
			}
		})
	})
}
