package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/record"
	"github.com/maek-dev/maek/internal/probe/schedule"
)

// The classes of runs, with how many of each go on at a time: a question costs a connection, one that all
// nodes are asked a connection to each agent, and a pod a goroutine that waits.
const (
	classProbe schedule.Class = "probe"
	classNodes schedule.Class = "nodes"
	classPod   schedule.Class = "pod"
)

// Workers that nobody needs cost nothing: as many as 10,000 checks every 10 s take when every target answers
// only after the better part of a second (bench/probes).
var classes = map[schedule.Class]int{classProbe: 1024, classNodes: 32, classPod: 128}

const (
	// lookEvery is how often it is looked what time has brought: windows that open, verdicts that grow stale,
	// heartbeats.
	lookEvery = time.Second
	// retryEvery is how soon a run is tried again that could not be made, where its period is longer.
	retryEvery = time.Minute
	// prepareWithin is how long runs wait for what they read from; after that they say what is missing.
	prepareWithin = 30 * time.Second
)

// Controller runs the Checks of this replica. It is safe for concurrent use.
type Controller struct {
	o         Options
	scheduler *schedule.Scheduler
	metrics   *metrics
	writes    *writes
	// synced tells that the watch has given all Checks.
	synced atomic.Bool
	woken  chan struct{}

	mu       sync.Mutex
	subjects map[types.UID]*subject
	// running is how many of them this replica runs.
	running atomic.Int64
	// steps of the wall clock, as the goroutine sees them that looks at all.
	steps steps
}

// New returns a Controller that does nothing before Run; its error names an option that is missing.
func New(o Options) (*Controller, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Controller{o: o, writes: newWrites(), woken: make(chan struct{}, 1), subjects: map[types.UID]*subject{}, steps: steps{began: o.Clock.Now()}}
	c.metrics = newMetrics(c)
	c.scheduler = schedule.New(schedule.Options{Clock: o.Clock, Classes: classes, Observe: c.metrics.begun})
	return c, nil
}

// Wake has the controller look anew at what it owns, and at whether its kind is served. It returns at once,
// and may be called before Run.
func (c *Controller) Wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// Synced tells that all Checks are known.
func (c *Controller) Synced() bool { return c.synced.Load() }

// Exists tells whether there is such a Check. What was never read may exist.
func (c *Controller) Exists(check record.Check) bool {
	return c.subject(check.UID) != nil || !c.synced.Load()
}

// AddConsequences takes up what was done with pods of a check, the oldest first.
func (c *Controller) AddConsequences(check types.UID, done []v1alpha1.Consequence) {
	s := c.subject(check)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != nil {
		s.state.consequence(done)
		c.mark(s)
	}
}

// Stalled is for how long, in all, this replica should have got on since it runs Checks and did not
// (schedule.Scheduler.Stalled).
func (c *Controller) Stalled() time.Duration { return c.scheduler.Stalled() }

// Run runs Checks until ctx ends. Then it begins nothing more, gives the runs that go on up, writes what is
// not written yet, for some seconds at most, and returns nil. Where runs come to an end by themselves it does the
// same, and returns why. It can be called once.
func (c *Controller) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := c.runScheduler(ctx); err != nil {
			stop(fmt.Errorf("running Checks: %w", err))
		}
	})
	tasks.Go(func() { c.write(ctx) })
	var watching context.CancelFunc
	ended := make(chan struct{})
	close(ended)
	ticker := c.o.Clock.NewTicker(lookEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		switch served := c.o.Served(); {
		case served && watching == nil:
			var watched context.Context
			watched, watching = context.WithCancel(ctx)
			<-ended
			ended = make(chan struct{})
			go func() {
				defer close(ended)
				c.watch(watched)
			}()
		case !served && watching != nil:
			watching()
			<-ended
			watching = nil
			c.synced.Store(false)
			for _, s := range c.all() {
				c.drop(s.uid)
			}
		}
		c.lookAtAll()
		select {
		case <-ctx.Done():
		case <-ticker.C():
		case <-c.woken:
		}
	}
	if watching != nil {
		watching()
	}
	<-ended
	tasks.Wait()
	c.flush(ctx)
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// runScheduler runs what is due once there is something to run and what it reads from is filled.
func (c *Controller) runScheduler(ctx context.Context) error {
	ticker := c.o.Clock.NewTicker(lookEvery / 5)
	defer ticker.Stop()
	var since time.Time
	for {
		now := c.o.Clock.Now()
		if c.running.Load() > 0 {
			if since.IsZero() {
				since = now
			}
			if c.o.Prepare() {
				break
			}
			if now.Sub(since) > prepareWithin {
				c.o.Log.Warn("not all that Checks read from can be read; they are run all the same, and say what they miss")
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
	return c.scheduler.Run(ctx)
}

// checks is about how many Checks all replicas run together: each has its share of them.
func (c *Controller) checks() int { return int(c.running.Load()) * c.replicas() }

// replicas is how many share what may be written.
func (c *Controller) replicas() int { return max(1, c.o.Replicas()) }

func (c *Controller) subject(uid types.UID) *subject {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subjects[uid]
}

func (c *Controller) all() []*subject {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.subjects))
}

// take takes in a Check as the API server has it now.
func (c *Controller) take(check decoded) {
	c.mu.Lock()
	s := c.subjects[check.UID]
	if s == nil {
		s = &subject{uid: check.UID}
		c.subjects[check.UID] = s
	}
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check = check
	s.read()
	c.follow(s)
}

// drop forgets a Check that is no more.
func (c *Controller) drop(uid types.UID) {
	c.mu.Lock()
	s := c.subjects[uid]
	delete(c.subjects, uid)
	c.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	c.release(s)
}

// release stops running a check that this replica does not run any more.
func (c *Controller) release(s *subject) {
	if s.state == nil {
		return
	}
	s.state, s.counts = nil, counts{}
	c.running.Add(-1)
	c.scheduler.Remove(string(s.uid))
	c.writes.drop(s.uid)
	if c.o.Consequences != nil {
		c.o.Consequences.Forget(s.uid)
	}
}

// lookAtAll lets time, and a change of the replicas, have their consequences.
func (c *Controller) lookAtAll() {
	now := c.o.Clock.Now()
	by := c.steps.look(now, c.o.Clock.Since(c.steps.began))
	for _, s := range c.all() {
		s.mu.Lock()
		if !s.gone {
			if by != 0 {
				c.stepped(s, now, by)
			}
			c.look(s)
		}
		s.mu.Unlock()
	}
}

// follow brings what is run of a check in line with its object.
func (c *Controller) follow(s *subject) {
	if s.gone || s.check.DeletionTimestamp != nil || !c.o.Held(s.uid) {
		c.release(s)
		return
	}
	now := c.o.Clock.Now()
	fresh := s.state == nil
	if !fresh && s.overtaken(c.o.Self, now) {
		c.release(s)
		fresh = true
	}
	if fresh {
		s.begin(now)
		c.running.Add(1)
	}
	if s.state.follow(s.check.Check, now) || fresh {
		c.schedule(s, now, fresh)
	}
	c.grant(s, now)
	c.mark(s)
}

// schedule sets the rhythm of a check that is new to this replica, or was changed.
func (c *Controller) schedule(s *subject, now time.Time, fresh bool) {
	s.retryAt = time.Time{}
	refusal := s.setTimes(now, fresh)
	if refusal != nil {
		c.scheduler.Remove(string(s.uid))
		s.state.refuse(refusal, now)
		return
	}
	s.state.enter(s.phase(now), now)
	s.heartbeatAt = now.Add(s.heartbeat(now, c.checks()))
	s.expect(now)
	c.set(s)
	if s.state.refusal != nil {
		s.retryAt = now.Add(min(retryEvery, s.times.Interval(now)))
	}
	// Whoever changes a check waits for what comes of it, and a pod that somebody else began for its end.
	s.changed = (!fresh || s.resume) && s.state.phase == running
}

// set has a check run in its rhythm.
func (c *Controller) set(s *subject) {
	c.scheduler.Set(string(s.uid), schedule.Task{
		Class: classOf(&s.check.Spec), Group: s.check.Namespace, Next: s.times.Next,
		Run: func(ctx context.Context, slot schedule.Slot) { c.run(ctx, s, slot) },
	})
}

func classOf(spec *v1alpha1.CheckSpec) schedule.Class {
	switch {
	case inPod(spec):
		return classPod
	case spec.From == v1alpha1.FromNodes:
		return classNodes
	}
	return classProbe
}

// look lets time have its consequences for a check.
func (c *Controller) look(s *subject) {
	if held := c.o.Held(s.uid); held != (s.state != nil) {
		c.follow(s)
	}
	if s.state == nil {
		return
	}
	if s.times != nil {
		now := c.o.Clock.Now()
		if s.state.enter(s.phase(now), now) {
			s.expect(now)
		}
		s.state.look(now, s.lateAt, s.staleAt)
		if s.state.phase == running && !s.retryAt.IsZero() && !now.Before(s.retryAt) {
			s.retryAt = time.Time{}
			c.scheduler.RunNow(string(s.uid))
		}
		c.grant(s, now)
	}
	c.mark(s)
}
