package schedule_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/probe/schedule"
)

// every is due at each multiple of a period after midnight, and an offset.
func every(period, offset time.Duration) func(time.Time) (time.Time, bool) {
	return func(after time.Time) (time.Time, bool) {
		next := after.Truncate(period).Add(offset % period)
		if !next.After(after) {
			next = next.Add(period)
		}
		return next, true
	}
}

// diary is what was run, by key.
type diary struct {
	mu    sync.Mutex
	slots map[string][]schedule.Slot
}

// keep makes a task that takes a while, or until it is ended.
func (d *diary) keep(key string, next func(time.Time) (time.Time, bool), takes time.Duration) schedule.Task {
	return schedule.Task{Next: next, Run: func(ctx context.Context, slot schedule.Slot) {
		d.write(key, slot)
		if takes > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(takes):
			}
		}
	}}
}

func (d *diary) write(key string, slot schedule.Slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.slots == nil {
		d.slots = map[string][]schedule.Slot{}
	}
	d.slots[key] = append(d.slots[key], slot)
}

func (d *diary) of(key string) []schedule.Slot {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.slots[key]
}

func (d *diary) runs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, slots := range d.slots {
		n += len(slots)
	}
	return n
}

// line is a slot in short: its times are those since the test began.
func key(i int) string { return "task-" + strconv.Itoa(i) }

func line(began time.Time, s schedule.Slot) string {
	text := fmt.Sprintf("due %s", s.Due.Sub(began))
	if s.Lag() > 0 {
		text += fmt.Sprintf(" late %s", s.Lag())
	}
	if s.Skipped > 0 {
		text += fmt.Sprintf(" skipped %d", s.Skipped)
	}
	if s.Overran > 0 {
		text += fmt.Sprintf(" overran %d", s.Overran)
	}
	if s.Asked {
		text += " asked"
	}
	return text
}

func lines(began time.Time, slots []schedule.Slot) []string {
	var out []string
	for _, s := range slots {
		out = append(out, line(began, s))
	}
	return out
}

// start runs a scheduler until the test is over.
func start(t *testing.T, s *schedule.Scheduler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func TestSlots(t *testing.T) {
	const second = time.Second
	for name, tc := range map[string]struct {
		next  func(time.Time) (time.Time, bool)
		takes time.Duration
		// other tasks share the worker, and each takes as long.
		other int
		lasts time.Duration
		want  []string
	}{
		"a task keeps its phase": {
			next: every(10*second, 3*second), takes: second, lasts: 35 * second,
			want: []string{"due 3s", "due 13s", "due 23s", "due 33s"},
		},
		"slots that come while a run goes on are left out": {
			next: every(10*second, 0), takes: 25 * second, lasts: 75 * second,
			want: []string{"due 10s", "due 40s skipped 2 overran 2", "due 1m10s skipped 2 overran 2"},
		},
		"a run that ends when the next is due is not followed at once": {
			next: every(10*second, 0), takes: 10 * second, lasts: 45 * second,
			want: []string{"due 10s", "due 30s skipped 1 overran 1"},
		},
		"a task that waits for a worker is late, and its slots meanwhile are one": {
			next: every(10*second, 0), takes: 12 * second, other: 1, lasts: 70 * second,
			want: []string{"due 20s late 1s skipped 1", "due 40s late 5s skipped 1 overran 1", "due 1m0s late 9s skipped 1 overran 1"},
		},
		"a task that is never due is not run": {
			next: func(time.Time) (time.Time, bool) { return time.Time{}, false }, lasts: time.Hour,
		},
		"a task that is due once is run once": {
			next: func(after time.Time) (time.Time, bool) {
				at := time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC)
				return at, after.Before(at)
			},
			lasts: time.Hour, want: []string{"due 1m0s"},
		},
		"a task that is due in the past does not spin": {
			next: func(after time.Time) (time.Time, bool) { return after.Add(-second), true }, lasts: 3500 * time.Millisecond,
			want: []string{"due 1s", "due 2s", "due 3s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now() //nolint:forbidigo // the time of the bubble
				s := schedule.New(schedule.Options{Clock: clock.RealClock{}})
				var d diary
				for i := range tc.other {
					s.Set(fmt.Sprint("other", i), d.keep("other", every(10*second, 9*second), tc.takes))
				}
				s.Set("task", d.keep("task", tc.next, tc.takes))
				start(t, s)
				time.Sleep(tc.lasts) //nolint:forbidigo // the time of the bubble
				synctest.Wait()
				if diff := cmp.Diff(tc.want, lines(began, d.of("task"))); diff != "" {
					t.Errorf("runs (-want +got):\n%s", diff)
				}
			})
		})
	}
}
