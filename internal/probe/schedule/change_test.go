package schedule_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/probe/schedule"
)

const period = 10 * time.Second

// TestChanges sets, removes and asks while time goes on.
func TestChanges(t *testing.T) {
	type act struct {
		at time.Duration
		do func(s *schedule.Scheduler, d *diary)
	}
	set := func(next func(time.Time) (time.Time, bool), takes time.Duration) func(*schedule.Scheduler, *diary) {
		return func(s *schedule.Scheduler, d *diary) { s.Set("task", d.keep("task", next, takes)) }
	}
	remove := func(s *schedule.Scheduler, _ *diary) { s.Remove("task") }
	ask := func(s *schedule.Scheduler, _ *diary) { s.RunNow("task") }
	never := func(time.Time) (time.Time, bool) { return time.Time{}, false }
	const second = time.Second
	for name, tc := range map[string]struct {
		acts []act
		want []string
		left int
	}{
		"a task that is set again keeps its slots": {
			[]act{{0, set(every(period, 0), 0)}, {10 * second, set(every(period, 0), 0)}, {15 * second, set(every(period, 0), 0)}},
			[]string{"due 10s", "due 20s", "due 30s"},
			1,
		},
		"a rhythm is replaced": {
			[]act{{0, set(every(time.Hour, 0), 0)}, {12 * second, set(every(period, 5*second), 0)}},
			[]string{"due 15s", "due 25s", "due 35s"},
			1,
		},
		"a task is replaced while it runs": {
			[]act{{0, set(every(period, 0), 6*second)}, {12 * second, set(every(period, 3*second), second)}},
			[]string{"due 10s", "due 23s", "due 33s"},
			1,
		},
		"a task is suspended and taken up again": {
			[]act{{0, set(every(period, 0), 0)}, {12 * second, set(never, 0)}, {25 * second, set(every(period, 0), 0)}},
			[]string{"due 10s", "due 30s"},
			1,
		},
		"a task is removed before it is due":    {[]act{{0, set(every(period, 0), 0)}, {5 * second, remove}}, nil, 0},
		"a task is removed while it runs":       {[]act{{0, set(every(period, 0), time.Hour)}, {12 * second, remove}}, []string{"due 10s"}, 0},
		"a task is removed twice":               {[]act{{0, set(every(period, 0), 0)}, {12 * second, remove}, {13 * second, remove}}, []string{"due 10s"}, 0},
		"a task that is not there is asked for": {[]act{{0, ask}}, nil, 0},
		"a task is removed and comes back":      {[]act{{0, set(every(period, 0), time.Hour)}, {12 * second, remove}, {13 * second, set(every(period, 0), 0)}}, []string{"due 10s", "due 20s", "due 30s"}, 1},
		"a task is asked for":                   {[]act{{0, set(every(period, 0), 0)}, {12 * second, ask}}, []string{"due 10s", "due 12s asked", "due 20s", "due 30s"}, 1},
		"a task that is never due is asked for": {[]act{{0, set(never, 0)}, {12 * second, ask}}, []string{"due 12s asked"}, 1},
		"a task that runs is asked for": {
			[]act{{0, set(every(period, 0), 4*second)}, {12 * second, ask}, {13 * second, ask}},
			[]string{"due 10s", "due 14s asked", "due 20s", "due 30s"},
			1,
		},
		"a run that was asked for goes on when a slot comes": {
			[]act{{0, set(every(period, 0), 4*second)}, {8 * second, ask}},
			[]string{"due 8s asked", "due 20s", "due 30s"},
			1,
		},
		"a task that was asked for is set before a worker is free": {
			[]act{{0, func(s *schedule.Scheduler, d *diary) {
				s.Set("other", d.keep("other", every(time.Hour, second), 10*second))
				s.Set("task", d.keep("task", never, 0))
			}}, {5 * second, ask}, {6 * second, set(never, 0)}},
			[]string{"due 5s late 6s asked"},
			2,
		},
		"a task that waits for a worker is set again": {
			[]act{{0, func(s *schedule.Scheduler, d *diary) {
				s.Set("other", d.keep("other", every(time.Hour, 9*second), 5*second))
				s.Set("task", d.keep("task", every(period, 0), 0))
			}}, {12 * second, set(every(period, 0), 0)}},
			[]string{"due 10s late 4s", "due 20s", "due 30s"},
			2,
		},
		"a task that waits for a worker is removed": {
			[]act{{0, func(s *schedule.Scheduler, d *diary) {
				s.Set("other", d.keep("other", every(time.Hour, 9*second), 5*second))
				s.Set("task", d.keep("task", every(period, 0), 0))
			}}, {12 * second, remove}},
			nil, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now() //nolint:forbidigo // the time of the bubble
				s := schedule.New(schedule.Options{Clock: clock.RealClock{}})
				var d diary
				start(t, s)
				for _, a := range tc.acts {
					time.Sleep(time.Until(began.Add(a.at))) //nolint:forbidigo // the time of the bubble
					a.do(s, &d)
				}
				time.Sleep(time.Until(began.Add(39 * second))) //nolint:forbidigo // the time of the bubble
				synctest.Wait()
				if diff := cmp.Diff(tc.want, lines(began, d.of("task"))); diff != "" {
					t.Errorf("runs (-want +got):\n%s", diff)
				}
				if got := s.Len(); got != tc.left {
					t.Errorf("Len() = %d, want %d", got, tc.left)
				}
			})
		})
	}
}

// A class whose runs never end must keep no other waiting, and bounds what it takes itself.
func TestClassesDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var observed []schedule.Observation
		s := schedule.New(schedule.Options{
			Clock:   clock.RealClock{},
			Classes: map[schedule.Class]int{"slow": 3},
			Observe: func(o schedule.Observation) {
				mu.Lock()
				defer mu.Unlock()
				observed = append(observed, o)
			},
		})
		var d diary
		for i := range 100 {
			task := d.keep(key(i), every(period, 0), time.Hour)
			task.Class = "slow"
			s.Set(key(i), task)
		}
		quick := d.keep("quick", every(period, 0), 0)
		quick.Class = "quick"
		s.Set("quick", quick)
		start(t, s)
		time.Sleep(65 * time.Second) //nolint:forbidigo // the time of the bubble
		synctest.Wait()
		if got := len(d.of("quick")); got != 6 {
			t.Errorf("the quick task was run %d times, want 6", got)
		}
		for _, slot := range d.of("quick") {
			if slot.Lag() > 50*time.Millisecond {
				t.Errorf("the quick task was late: %v", slot.Lag())
			}
		}
		want := map[schedule.Class]schedule.Backlog{
			"slow":  {Workers: 3, Running: 3, Waiting: 97, Lag: 55 * time.Second},
			"quick": {Workers: 1},
		}
		got := s.Backlogs()
		for class, b := range got {
			b.Lag = b.Lag.Round(time.Second)
			got[class] = b
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Backlogs() (-want +got):\n%s", diff)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(observed) != d.runs() {
			t.Errorf("observed %d runs of %d", len(observed), d.runs())
		}
	})
}

func TestTenThousandTasks(t *testing.T) {
	const tasks = 10_000
	synctest.Test(t, func(t *testing.T) {
		s := schedule.New(schedule.Options{Clock: clock.RealClock{}, Classes: map[schedule.Class]int{"": 100}})
		var d diary
		r := rand.New(rand.NewPCG(1, 2))
		for i := range tasks {
			s.Set(key(i), d.keep(key(i), every(period, time.Duration(r.Int64N(int64(period)))), 20*time.Millisecond))
		}
		stop := start(t, s)
		time.Sleep(3 * period) //nolint:forbidigo // the time of the bubble
		stop()
		if got := d.runs(); got < 3*tasks-10 || got > 3*tasks {
			t.Errorf("%d runs, want %d", got, 3*tasks)
		}
		for i := range tasks {
			for _, slot := range d.of(key(i)) {
				if slot.Lag() > 10*time.Millisecond || slot.Skipped > 0 {
					t.Fatalf("task %d: %+v", i, slot)
				}
			}
		}
	})
}

// Many who change the same few tasks, from within runs as well, must neither have one run twice at a time nor
// get stuck, and no run may be left after the end.
func TestManyAtATime(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			s := schedule.New(schedule.Options{Clock: clock.RealClock{}, Classes: map[schedule.Class]int{"a": 3, "b": 1}})
			var running [8]atomic.Int32
			var runs, total atomic.Int32
			var change func(r *rand.Rand)
			task := func(i int, r *rand.Rand) schedule.Task {
				return schedule.Task{
					Class: []schedule.Class{"a", "b"}[r.IntN(2)],
					Next:  func(after time.Time) (time.Time, bool) { return after.Add(time.Millisecond), true },
					Run: func(ctx context.Context, slot schedule.Slot) {
						total.Add(1)
						defer total.Add(-1)
						if running[i].Add(1) != 1 {
							t.Errorf("task %d is run twice at a time", i)
						}
						defer running[i].Add(-1)
						r := rand.New(rand.NewPCG(seed, uint64(runs.Add(1))))
						change(r)
						if r.IntN(4) == 0 {
							select {
							case <-ctx.Done():
							case <-time.After(time.Millisecond):
							}
						}
					},
				}
			}
			change = func(r *rand.Rand) {
				i := r.IntN(len(running))
				switch r.IntN(4) {
				case 0:
					s.Remove(strconv.Itoa(i))
				case 1:
					s.RunNow(strconv.Itoa(i))
				default:
					s.Set(strconv.Itoa(i), task(i, r))
				}
				_, _ = s.Backlogs(), s.Stalled()
			}
			ctx, cancel := context.WithCancel(t.Context())
			var others sync.WaitGroup
			for other := range uint64(3) {
				others.Go(func() {
					r := rand.New(rand.NewPCG(seed, other))
					for range 300 {
						change(r)
						time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond) //nolint:forbidigo // the time of the bubble
					}
					cancel()
				})
			}
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
			if n := total.Load(); n != 0 {
				t.Errorf("%d runs go on after the end", n)
			}
			others.Wait()
			if n := runs.Load(); n < 100 {
				t.Errorf("only %d runs", n)
			}
			if got := s.Len(); got > len(running) {
				t.Errorf("Len() = %d", got)
			}
			cancel()
		})
	}
}

func TestRunOnce(t *testing.T) {
	s := schedule.New(schedule.Options{Clock: clock.RealClock{}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("the first Run() = %v", err)
	}
	if err := s.Run(ctx); err == nil {
		t.Error("the second Run() succeeds")
	}
}
