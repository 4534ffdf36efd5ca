package schedule_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/probe/schedule"
)

// jumpy is a wall clock that is put forward and back. Its other half runs on.
type jumpy struct {
	clock.RealClock

	began time.Time
	mu    sync.Mutex
	off   time.Duration
	stood time.Duration
}

func newJumpy() *jumpy {
	return &jumpy{began: time.Now()} //nolint:forbidigo // the time of the bubble
}

// Now implements [clock.PassiveClock].
func (j *jumpy) Now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return time.Now().Round(0).Add(j.off) //nolint:forbidigo // the time of the bubble
}

// Since implements [clock.PassiveClock], for times at which the clock was right.
func (j *jumpy) Since(t time.Time) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	return time.Since(j.began) + j.stood + j.began.Sub(t) //nolint:forbidigo // the time of the bubble
}

func (j *jumpy) jump(by time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.off += by
}

// stand has time pass in which nobody who reads the clock comes to do anything.
func (j *jumpy) stand(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.off += d
	j.stood += d
}

// TestClockJumps puts the clock of a thousand tasks forward or back, or stops them all. There must be no
// time at which many run that had not been run together before, and none at which they are not run.
func TestClockJumps(t *testing.T) {
	const (
		tasks  = 1000
		period = 10 * time.Second
	)
	for name, tc := range map[string]struct {
		wall time.Duration
		// stands is how long all goroutines stand still.
		stands time.Duration
	}{
		"nothing happens":          {},
		"forward a second":         {wall: time.Second},
		"forward some seconds":     {wall: 7 * time.Second},
		"forward hours":            {wall: 5 * time.Hour},
		"back a second":            {wall: -time.Second},
		"back some seconds":        {wall: -7 * time.Second},
		"back hours":               {wall: -5 * time.Hour},
		"back years":               {wall: -20 * 365 * 24 * time.Hour},
		"the process stood a bit":  {stands: 800 * time.Millisecond},
		"the process stood still":  {stands: time.Hour},
		"the machine was asleep":   {wall: 8 * time.Hour, stands: time.Millisecond},
		"asleep less than a round": {wall: 9 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newJumpy()
				var d diary
				s := schedule.New(schedule.Options{Clock: c, Classes: map[schedule.Class]int{"": 100}})
				for i := range tasks {
					s.Set(key(i), d.keep(key(i), every(period, period/tasks*time.Duration(i)), 0))
				}
				start(t, s)
				time.Sleep(25*time.Second + period/tasks/2) //nolint:forbidigo // the time of the bubble
				c.jump(tc.wall)
				if tc.stands > 0 {
					c.stand(tc.stands)
				}
				before := d.runs()
				// In each half of a second there are 50 in phase. Those that were due while nobody looked may
				// be added, up to a tenth of all, and once.
				late := false
				for range 90 {
					time.Sleep(500 * time.Millisecond) //nolint:forbidigo // the time of the bubble
					n := d.runs() - before
					before += n
					if n > 50+tasks/10+5 || late && n > 60 {
						t.Fatalf("%d tasks were run in half a second", n)
					}
					late = late || n > 60
				}
				for i := range tasks {
					slots := d.of(key(i))
					last := slots[len(slots)-1]
					if ago := c.Now().Sub(last.Started); ago > period || ago < 0 {
						t.Fatalf("task %d was run last %v ago", i, ago)
					}
					if last.Skipped > 0 || last.Lag() > 10*time.Millisecond {
						t.Fatalf("task %d has not come to rest: %+v", i, last)
					}
				}
			})
		})
	}
}

// What a process missed while it did not get on must be known before anything is judged by it, that is even
// before the scheduler itself has looked again.
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newJumpy()
		s := schedule.New(schedule.Options{Clock: c})
		var calm, stood time.Duration
		s.Set("task", schedule.Task{
			Next: every(period, 0),
			Run: func(context.Context, schedule.Slot) {
				before := s.Stalled()
				time.Sleep(time.Second) //nolint:forbidigo // the time of the bubble
				calm = s.Stalled() - before
				before = s.Stalled()
				c.stand(700 * time.Millisecond)
				stood = s.Stalled() - before
			},
		})
		stop := start(t, s)
		time.Sleep(15 * time.Second) //nolint:forbidigo // the time of the bubble
		stop()
		if calm != 0 {
			t.Errorf("Stalled() grows by %v though nothing stands still", calm)
		}
		// The dispatcher may have been about to sleep for 50 ms.
		if stood < 650*time.Millisecond || stood > 700*time.Millisecond {
			t.Errorf("Stalled() grows by %v, want 700ms", stood)
		}
		if again := s.Stalled(); again < stood || again > 2*stood {
			t.Errorf("Stalled() is %v in the end", again)
		}
	})
}

// Tasks that are all due at once must not all begin at once.
func TestACrowdIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule.New(schedule.Options{Clock: clock.RealClock{}, Classes: map[schedule.Class]int{"": 10_000}})
		var d diary
		const tasks = 1000
		for i := range tasks {
			s.Set(key(i), d.keep(key(i), every(period, 0), 500*time.Millisecond))
		}
		start(t, s)
		time.Sleep(15 * time.Second) //nolint:forbidigo // the time of the bubble
		perLook := map[time.Time]int{}
		for i := range tasks {
			for _, slot := range d.of(key(i)) {
				perLook[slot.Started]++
				if slot.Lag() > 200*time.Millisecond {
					t.Errorf("task %d begins after %v", i, slot.Lag())
				}
			}
		}
		for at, n := range perLook {
			if n > 64 {
				t.Errorf("%d begin at %v", n, at)
			}
		}
		if d.runs() != tasks {
			t.Errorf("%d runs, want %d", d.runs(), tasks)
		}
	})
}
