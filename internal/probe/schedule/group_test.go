package schedule

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// TestTheFairestIsNext has tasks of some groups wait, run, end, change their group and go, at random, and looks at all
// that wait whenever a worker takes one.
func TestTheFairestIsNext(t *testing.T) {
	never := func(time.Time) (time.Time, bool) { return time.Time{}, false }
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		workers := 1 + r.IntN(40)
		s := New(Options{Clock: c, Classes: map[Class]int{"": workers}})
		groups := 1 + r.IntN(6)
		task := func() Task { return Task{Group: strconv.Itoa(r.IntN(groups)), Next: never} }
		var runs []*entry
		taken := 0
		for range 5000 {
			c.Step(time.Duration(r.IntN(3)) * time.Millisecond)
			key := strconv.Itoa(r.IntN(200))
			switch r.IntN(8) {
			case 0:
				s.Set(key, task())
			case 1:
				s.Remove(key)
			case 2, 3, 4:
				s.RunNow(key)
			case 5:
				if len(runs) > 0 {
					i := r.IntN(len(runs))
					s.finish(runs[i])
					runs[i] = runs[len(runs)-1]
					runs = runs[:len(runs)-1]
				}
			default:
				p := s.pool("")
				if p.busy == p.workers {
					break
				}
				e := p.first()
				checkFairest(t, s, p, e)
				if e != nil {
					s.begin(t.Context(), e)
					runs = append(runs, e)
					taken++
				}
			}
			checkCounts(t, s, runs)
			if t.Failed() {
				t.Fatalf("with seed %d", seed)
			}
		}
		if taken < 100 {
			t.Errorf("only %d runs", taken)
		}
	}
}

// checkFairest compares a task that a worker is to take with all that wait.
func checkFairest(t *testing.T, s *Scheduler, p *pool, got *entry) {
	t.Helper()
	free, running, tasks := p.workers, map[string]int{}, map[string]bool{}
	for _, e := range s.tasks {
		if e.running() {
			free--
			running[e.by.name]++
			tasks[e.by.name] = true
		}
		if !e.removed {
			tasks[e.task.Group] = true
		}
	}
	for _, e := range s.tasks {
		group := e.task.Group
		switch {
		case !e.queued():
		case got == nil:
			if len(tasks) == 1 || running[group] < spare*free {
				t.Errorf("group %q has %d runs and waits though workers are free", group, running[group])
			}
		case running[group] < running[got.task.Group]:
			t.Errorf("group %q is served, which has %d runs, and %q waits, which has %d", got.task.Group, running[got.task.Group], group, running[group])
		case running[group] == running[got.task.Group] && e.due.Before(got.due):
			t.Errorf("%s of group %q is served, and %s of %q has waited longer", got.key, got.task.Group, e.key, group)
		}
	}
}

// checkCounts counts all that is kept count of.
func checkCounts(t *testing.T, s *Scheduler, runs []*entry) {
	t.Helper()
	waiting, tasks, running := 0, map[string]int{}, map[string]int{}
	for _, e := range s.tasks {
		if e.queued() {
			waiting++
		}
		if !e.removed {
			tasks[e.task.Group]++
		}
		if e.running() {
			running[e.by.name]++
		}
	}
	p := s.pool("")
	if p.busy != len(runs) || p.waiting != waiting {
		t.Errorf("%d runs and %d that wait, want %d and %d", p.busy, p.waiting, len(runs), waiting)
	}
	contending := 0
	for name, g := range p.groups {
		if g.tasks != tasks[name] || g.running != running[name] || g.tasks+g.running == 0 {
			t.Errorf("group %q has %d tasks and %d runs, want %d and %d", name, g.tasks, g.running, tasks[name], running[name])
		}
		if len(g.ready.entries) > 0 {
			contending++
		}
	}
	if contending != len(p.contenders) {
		t.Errorf("%d groups contend, want %d", len(p.contenders), contending)
	}
}

// BenchmarkTurns measures how a worker takes tasks and gives them back, of some groups or of one.
func BenchmarkTurns(b *testing.B) {
	for _, groups := range []int{1, 100} {
		b.Run(strconv.Itoa(groups), func(b *testing.B) {
			c := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
			s := New(Options{Clock: c, Classes: map[Class]int{"": 1024}})
			for i := range 10_000 {
				s.Set(strconv.Itoa(i), Task{
					Group: strconv.Itoa(i % groups),
					Next:  func(after time.Time) (time.Time, bool) { return after.Add(10 * time.Second), true },
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				c.Step(time.Millisecond)
				now := s.wall()
				for e := s.waiting.first(); e != nil && !e.due.After(now); e = s.waiting.first() {
					s.comeDue(e, now, false)
				}
				if e := s.pool("").first(); e != nil {
					s.begin(b.Context(), e)
					s.finish(e)
				}
			}
		})
	}
}
