package schedule

import (
	"container/heap"
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

const (
	// look is how often the dispatcher looks at the clock though nothing is due: a clock that was put
	// forward or back wakes nobody.
	look = 10 * time.Second
	// watch is how often it looks while runs go on, to see whether the process gets on.
	watch = 50 * time.Millisecond
	// tolerance is how far clocks may drift apart between two looks, and how late the dispatcher may come
	// for a slot, before that means something.
	tolerance = time.Second
	// patience is the part of the time to the next slot after which a slot is not worth a run any more
	// if it was the dispatcher that came late: one in so many.
	patience = 10
)

// Run runs tasks until ctx ends. It ends the contexts of runs then, and returns nil when all of them have
// returned. It can be called once.
func (s *Scheduler) Run(ctx context.Context) error {
	s.mu.Lock()
	again := s.started
	s.started = true
	s.mu.Unlock()
	if again {
		return errors.New("running the scheduler: it was run before")
	}
	var workers sync.WaitGroup
	timer := s.clock.NewTimer(look)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(s.dispatch(ctx, &workers, s.turn()))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C():
		}
	}
	workers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until, s.next = time.Time{}, 0
	return nil
}

// turn lets all other goroutines go first that are ready to run, and tells how long that takes.
func (s *Scheduler) turn() time.Duration {
	began := s.clock.Since(s.began)
	runtime.Gosched()
	return s.clock.Since(s.began) - began
}

// dispatch queues up what is due, sees to workers, and says for how long nothing else is to be done.
func (s *Scheduler) dispatch(ctx context.Context, workers *sync.WaitGroup, turn time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Time{}
	now, elapsed := s.wall(), s.clock.Since(s.began)
	leapt := false
	switch moved := now.Sub(s.now) - (elapsed - s.elapsed); {
	case s.now.IsZero():
	case moved < -tolerance:
		s.planAgain(now)
	case moved > tolerance:
		leapt = true
		s.leap(now)
	}
	s.now, s.elapsed = now, elapsed
	s.pace.look(elapsed, turn)
	s.stalled += s.overdue(elapsed)
	if turn > still {
		s.stalled += turn
	}

	for e := s.waiting.first(); e != nil && !e.due.After(now); e = s.waiting.first() {
		s.comeDue(e, now, leapt)
	}
	wait := look
	if s.employ(ctx, workers) {
		wait = s.pace.pause(elapsed)
	}
	if e := s.waiting.first(); e != nil {
		wait = min(wait, max(s.pace.pause(elapsed), e.due.Sub(now)))
	}
	for _, p := range s.pools {
		if p.running > 0 {
			wait = min(wait, watch)
		}
	}
	s.next = elapsed + wait
	s.until = now.Add(wait)
	return wait
}

// employ starts workers where tasks wait for one, a class at a time. It tells whether there is work left for
// more of them.
func (s *Scheduler) employ(ctx context.Context, workers *sync.WaitGroup) (more bool) {
	starting := 0
	for _, p := range s.pools {
		starting += p.starting
	}
	for again := true; again; {
		again = false
		for _, p := range s.pools {
			if p.running == p.workers || p.starting >= p.waiting || p.first() == nil {
				continue
			}
			if starting >= s.pace.left {
				return true
			}
			starting++
			p.starting++
			p.running++
			workers.Go(func() { s.work(ctx, p) })
			again = true
		}
	}
	return false
}

// planAgain gives all that does not run its next slot by a clock that was put back. What waits for a worker since a
// time that is yet to come would wait for as long as that is away.
func (s *Scheduler) planAgain(now time.Time) {
	for _, e := range s.tasks {
		switch {
		case e.running():
		case e.asked:
			e.leave()
			s.queueUp(e, now)
		default:
			e.leave()
			s.awaitNext(e, now)
		}
	}
}

// leap leaves out the slots that a clock was put forward over: nobody was late for them.
func (s *Scheduler) leap(now time.Time) {
	for _, e := range s.tasks {
		switch {
		case e.running():
			e.replaced = true // finish finds its next slot
		case e.queued() && !e.asked:
			if n, last, _, _ := e.passed(e.due, now); n > 0 {
				e.leave()
				s.queueUp(e, last)
			}
		}
	}
}

// comeDue queues a task up whose time has come, unless the whole dispatcher has stood still for so long
// that very many would be queued up together. The same goes for a clock that leapt, but no slot is missed then.
func (s *Scheduler) comeDue(e *entry, now time.Time, leapt bool) {
	e.leave()
	if leapt {
		_, e.due, _, _ = e.passed(e.due, now)
	}
	if late := now.Sub(e.due); late > tolerance && !e.passedOver {
		if following, ok := e.next(e.due); ok && late > following.Sub(e.due)/patience {
			n, _, next, ok := e.passed(e.due, now)
			if !leapt {
				e.skipped += n + 1
			}
			e.passedOver = true
			if ok {
				s.await(e, next)
			}
			return
		}
	}
	s.queueUp(e, e.due)
}

// await has a task wait for its time.
func (s *Scheduler) await(e *entry, due time.Time) {
	e.due = due
	heap.Push(&s.waiting, e)
	if !s.until.IsZero() && due.Add(together).Before(s.until) {
		s.rouse()
	}
}

// awaitNext has a task wait for its next slot, if it has one.
func (s *Scheduler) awaitNext(e *entry, now time.Time) {
	if next, ok := e.next(now); ok {
		s.await(e, next)
	}
}

// queueUp has a task wait for a worker of its class.
func (s *Scheduler) queueUp(e *entry, due time.Time) {
	e.due = due
	p := e.home.pool
	heap.Push(&e.home.ready, e)
	p.waiting++
	e.home.settle()
	if !s.until.IsZero() && p.running < p.workers && p.first() != nil {
		s.rouse()
	}
}

// rouse has the dispatcher look now.
func (s *Scheduler) rouse() {
	s.until = time.Time{}
	select {
	case s.wake <- struct{}{}:
	default: // it has been told
	}
}

// work runs tasks of a class for as long as there are any.
func (s *Scheduler) work(ctx context.Context, p *pool) {
	s.mu.Lock()
	p.starting--
	for {
		e := p.first()
		if ctx.Err() != nil || e == nil || s.pace.left == 0 {
			p.running--
			if e != nil && !s.until.IsZero() {
				s.rouse()
			}
			s.mu.Unlock()
			return
		}
		s.pace.left--
		task, runCtx, slot := s.begin(ctx, e)
		s.mu.Unlock()
		if s.observe != nil {
			s.observe(Observation{Key: e.key, Class: task.Class, Slot: slot})
		}
		task.Run(runCtx, slot)
		s.mu.Lock()
		s.finish(e)
	}
}

// begin takes a task that waits.
func (s *Scheduler) begin(ctx context.Context, e *entry) (Task, context.Context, Slot) {
	e.leave()
	now := s.wall()
	if !e.asked {
		n, last, _, _ := e.passed(e.due, now)
		e.skipped += n
		e.due, e.ran = last, last
	}
	slot := Slot{Due: e.due, Started: now, Skipped: e.skipped, Overran: e.overran, Asked: e.asked}
	e.manual = e.asked
	e.skipped, e.overran, e.asked, e.passedOver, e.replaced = 0, 0, false, false, false
	e.by = e.home
	e.by.run(1)
	ctx, e.cancel = context.WithCancel(ctx)
	return e.task, ctx, slot
}

// finish gives a task its next slot, after its run.
func (s *Scheduler) finish(e *entry) {
	e.cancel()
	e.by.run(-1)
	e.by, e.cancel = nil, nil
	now := s.wall()
	switch {
	case e.removed:
		delete(s.tasks, e.key)
	case e.asked:
		s.queueUp(e, now)
	case e.manual, e.replaced, e.due.Sub(now) > tolerance: // the last: the clock was put back
		s.awaitNext(e, now)
	default:
		n, _, next, ok := e.passed(e.due, now)
		e.skipped += n
		e.overran += n
		if ok {
			s.await(e, next)
		}
	}
}
