package schedule

import (
	"context"
	"maps"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Class is a kind of tasks that share workers.
type Class string

// Task is what is run again and again.
type Task struct {
	// Class whose workers run it.
	Class Class
	// Group that it belongs to. Of those that wait, the group gets the next free worker of which the fewest runs go
	// on in the class, and of such groups the one that has waited longest. One that is alone in its class uses all
	// workers; of several none takes the last eighth, so that the others need not wait until its runs end.
	Group string
	// Next returns the first time after another at which the task is due; ok is false for never. It must
	// be quick, give the same for the same time, and not call the scheduler, which is locked meanwhile. A
	// time that is not later is taken for a second later, so that a mistake does not make the scheduler
	// spin.
	Next func(after time.Time) (at time.Time, ok bool)
	// Run makes the run of a slot. It must end soon after ctx has.
	Run func(ctx context.Context, slot Slot)
}

// Slot is a time at which a task was due, and what became of it.
type Slot struct {
	// Due is when the run should have begun, and Started when it did, by the wall clock.
	Due, Started time.Time
	// Skipped is how many slots of the task were left out between the run before and this one. Beyond a
	// hundred in one go they are not all counted.
	Skipped int
	// Overran is how many of those came while the run before still went on. The others are the
	// scheduler's.
	Overran int
	// Asked tells that the run was asked for with [Scheduler.RunNow], and Due is when.
	Asked bool
}

// Lag is how late the run began. It is not negative. A wall clock that is put forward shows in it.
func (s Slot) Lag() time.Duration { return max(0, s.Started.Sub(s.Due)) }

// Observation is that a run begins.
type Observation struct {
	Key   string
	Class Class
	Slot  Slot
}

// Backlog is how a class stands.
type Backlog struct {
	// Workers of the class, and how many of them are in a run.
	Workers, Running int
	// Waiting is the number of tasks that are due and wait for a worker.
	Waiting int
	// Lag of the one that has waited longest; 0 where none waits.
	Lag time.Duration
}

// Options are what a [Scheduler] is made of.
type Options struct {
	// Clock must be given.
	Clock clock.Clock
	// Classes gives the number of workers of each class: that many runs go on at a time. A class that is
	// not named, or has less than one, has one.
	Classes map[Class]int
	// Observe is told of each run as it begins, by the goroutine that makes it. It may be nil.
	Observe func(Observation)
}

// Scheduler runs tasks. Its methods may be called by many goroutines, also from within runs.
type Scheduler struct {
	clock   clock.Clock
	workers map[Class]int
	observe func(Observation)
	// began is the start of a time that is never put forward or back.
	began time.Time
	// wake has the dispatcher look again before until.
	wake chan struct{}

	mu      sync.Mutex
	tasks   map[string]*entry
	live    int
	waiting queue
	pools   map[Class]*pool
	// started tells that Run has been called.
	started bool
	// until when the dispatcher sleeps; zero while it is awake, or does not run.
	until time.Time
	// now and elapsed are when the dispatcher last looked, by the wall clock and by the steady one.
	now     time.Time
	elapsed time.Duration
	pace    pace
	// next is when the dispatcher is to wake, by the steady clock, and stalled by how much it has not.
	next, stalled time.Duration
}

// New makes a scheduler, which runs nothing before [Scheduler.Run].
func New(options Options) *Scheduler {
	return &Scheduler{
		clock:   options.Clock,
		workers: maps.Clone(options.Classes),
		observe: options.Observe,
		began:   options.Clock.Now(),
		wake:    make(chan struct{}, 1),
		tasks:   map[string]*entry{},
		pools:   map[Class]*pool{},
		pace:    pace{starts: most, since: -together},
	}
}

// Set adds a task, or replaces the one of that key. A run that goes on is not interrupted. A slot that is
// due and has not been run yet stays, if the new task has it too.
func (s *Scheduler) Set(key string, task Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.wall()
	e, ok := s.tasks[key]
	if !ok {
		e = &entry{key: key, index: nowhere, removed: true}
		s.tasks[key] = e
	}
	if e.removed {
		e.removed = false
		s.live++
	}
	e.task = task
	if e.running() {
		e.replaced = true // finish finds its next slot
		s.assign(e)
		return
	}
	queued := e.queued()
	at, has := e.slot(now)
	if !at.Equal(e.due) {
		e.skipped, e.overran, e.passedOver = 0, 0, false
	}
	e.leave()
	s.assign(e)
	switch {
	case queued && at.Equal(e.due):
		s.queueUp(e, at)
	case has:
		s.await(e, at)
	}
}

// Remove takes a task away, and ends the context of its run if one goes on. A task that is set under the
// same key is not run before that run has ended.
func (s *Scheduler) Remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.tasks[key]
	if !ok || e.removed {
		return
	}
	s.live--
	e.leave()
	e.home.admit(-1)
	e.home = nil
	if !e.running() {
		delete(s.tasks, key)
		return
	}
	e.removed = true
	e.task, e.asked, e.skipped, e.overran = Task{}, false, 0, 0
	e.cancel()
}

// RunNow has a task run once, as soon as there is a worker, and after the run that goes on if one does. The
// rhythm stays, but for slots that come during that run. Where there is no such task, nothing happens.
func (s *Scheduler) RunNow(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.tasks[key]
	switch {
	case !ok || e.removed || e.queued():
	case e.running():
		e.asked = true
	default:
		e.leave()
		e.asked = true
		s.queueUp(e, s.wall())
	}
}

// Len is the number of tasks.
func (s *Scheduler) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// Backlogs tells how each class stands that has been in use.
func (s *Scheduler) Backlogs() map[Class]Backlog {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.wall()
	backlogs := make(map[Class]Backlog, len(s.pools))
	for class, p := range s.pools {
		backlogs[class] = Backlog{Workers: p.workers, Running: p.busy, Waiting: p.waiting, Lag: p.lag(now)}
	}
	return backlogs
}

// wall is the time by the wall clock alone: what tasks are due by may be put forward and back.
func (s *Scheduler) wall() time.Time { return s.clock.Now().Round(0) }

// assign has a task that was set belong to its group, and to none before.
func (s *Scheduler) assign(e *entry) {
	before := e.home
	e.home = s.pool(e.task.Class).group(e.task.Group)
	e.home.admit(1)
	if before != nil {
		before.admit(-1)
	}
}

// pool returns a class's workers and those who wait for them.
func (s *Scheduler) pool(class Class) *pool {
	p, ok := s.pools[class]
	if !ok {
		p = &pool{workers: max(1, s.workers[class]), groups: map[string]*group{}}
		s.pools[class] = p
	}
	return p
}
