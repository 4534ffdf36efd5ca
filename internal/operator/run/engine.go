package run

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

const (
	defaultWorkers = 16
	defaultStarts  = 50

	// maxSteps bounds how many steps are taken for a check at a time; the others have their turn then.
	maxSteps = 8

	// Backing off from errors that are this check's own.
	leastBackoff, mostBackoff = time.Second, 5 * time.Minute

	// writeWithin bounds a request, also of those that are finished while the engine stops.
	writeWithin = 15 * time.Second
)

// Engine runs the checks that this replica owns, and takes in reports for all.
type Engine struct {
	o        Options
	queue    workqueue.TypedRateLimitingInterface[key]
	kinds    *kinds
	memory   *memory
	reach    *reach
	pace     *pace
	pending  *pending
	arrivals *arrivals
	woken    chan struct{}
	// filled tells that all kinds that are served can be read.
	filled atomic.Bool
	// entries is set while the caches can be read.
	entries atomic.Pointer[func() []kuberhealthy.Entry]
}

var _ kuberhealthy.Reporter = (*Engine)(nil)

// New returns an Engine; its error names an option that is missing.
func New(o Options) (*Engine, error) {
	for name, missing := range map[string]bool{
		"Client": o.Client == nil, "Cache": o.Cache == nil, "Owns": o.Owns == nil, "Served": o.Served == nil, "Adopted": o.Adopted == nil,
		"Self": o.Self == "", "Settings": o.Settings == nil, "Clock": o.Clock == nil, "Log": o.Log == nil,
	} {
		if missing {
			return nil, fmt.Errorf("making the engine of runs: the option %s is missing", name)
		}
	}
	if o.Workers == 0 {
		o.Workers = defaultWorkers
	}
	if o.StartsPerSecond == 0 {
		o.StartsPerSecond = defaultStarts
	}
	return &Engine{
		o: o,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[key](leastBackoff, mostBackoff),
			workqueue.TypedRateLimitingQueueConfig[key]{Clock: o.Clock},
		),
		kinds:    &kinds{on: map[schema.GroupVersionKind]bool{}},
		memory:   newMemory(),
		reach:    &reach{outer: o.Reachable, aside: map[key]struct{}{}},
		pace:     &pace{apart: time.Duration(float64(time.Second) / o.StartsPerSecond), held: map[key]time.Time{}},
		pending:  newPending(o.Clock),
		arrivals: &arrivals{waiting: map[string]map[chan struct{}]struct{}{}},
		woken:    make(chan struct{}, 1),
	}, nil
}

// Run looks after the checks until ctx ends. Then it begins nothing more, finishes the request that it
// is at and returns nil: runs that go on are recorded, and whoever owns their checks next goes on with
// them.
func (e *Engine) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer e.pending.queue.ShutDown()
	defer e.queue.ShutDown()
	for missing := e.follow(ctx); missing && !e.kinds.ready(podKind); missing = e.follow(ctx) {
		if !e.pause(ctx, syncAgain) {
			return nil
		}
	}
	e.entries.Store(new(func() []kuberhealthy.Entry { return e.entriesNow(ctx) }))
	for range e.o.Workers {
		tasks.Go(func() { e.work(ctx) })
	}
	for range reportWorkers {
		tasks.Go(func() { e.storePending(ctx) })
	}
	for ctx.Err() == nil {
		missing := e.follow(ctx)
		e.filled.Store(!missing && ctx.Err() == nil)
		e.enqueueAll(ctx)
		e.awaitChange(ctx, missing)
	}
	return nil
}

// awaitChange waits until the engine is woken, or for a while where a kind is missing.
func (e *Engine) awaitChange(ctx context.Context, missing bool) {
	var again <-chan time.Time
	if missing {
		timer := e.o.Clock.NewTimer(syncAgain)
		defer timer.Stop()
		again = timer.C()
	}
	select {
	case <-ctx.Done():
	case <-e.woken:
	case <-again:
	}
}

// pause waits, and returns whether ctx still goes on.
func (e *Engine) pause(ctx context.Context, d time.Duration) bool {
	timer := e.o.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

// Wake makes the engine look at all checks anew: call it after what Owns, Served or Adopted answer has
// changed. It returns at once, and may be called before Run.
func (e *Engine) Wake() {
	select {
	case e.woken <- struct{}{}:
	default:
	}
}

// enqueueAll has all checks looked at, and the states of checks that are gone.
func (e *Engine) enqueueAll(ctx context.Context) {
	for _, kind := range []schema.GroupVersionKind{checkKind, jobKind, healthCheckKind} {
		if e.kinds.ready(kind) {
			e.each(ctx, kind, func(o client.Object) { e.queue.Add(key{kind.Kind, client.ObjectKeyFromObject(o)}) })
		}
	}
	if e.kinds.ready(checkKind) {
		e.each(ctx, stateKind, func(o client.Object) {
			e.queue.Add(key{kuberhealthy.KindCheck, client.ObjectKeyFromObject(o)})
		})
	}
}

// each visits all objects of a kind. They are the cache's own.
func (e *Engine) each(ctx context.Context, kind schema.GroupVersionKind, visit func(client.Object)) {
	list := listOf(kind)
	err := e.o.Cache.List(ctx, list, client.UnsafeDisableDeepCopy)
	if err == nil {
		err = meta.EachListItem(list, func(item runtime.Object) error {
			if object, ok := item.(client.Object); ok {
				visit(object)
			}
			return nil
		})
	}
	if err != nil && ctx.Err() == nil {
		e.o.Log.Warn("a cache cannot be read", "kind", kind.Kind, "error", err)
	}
}

// work looks after one check after the other.
func (e *Engine) work(ctx context.Context) {
	for {
		k, stop := e.queue.Get()
		if stop {
			return
		}
		if ctx.Err() == nil {
			e.process(ctx, k)
		}
		e.queue.Done(k)
	}
}

// process takes the steps that are due for a check.
func (e *Engine) process(ctx context.Context, k key) {
	if !e.kinds.ready(k.gvk()) || !e.o.Adopted() {
		e.pace.drop(k)
		return
	}
	for range maxSteps {
		now := e.o.Clock.Now()
		again, more, err := e.step(ctx, k, now)
		switch {
		case err != nil:
			e.failing(ctx, k, err)
			return
		case !again.IsZero():
			e.queue.AddAfter(k, max(again.Sub(e.o.Clock.Now()), 0))
			return
		case !more || ctx.Err() != nil:
			return
		}
	}
	e.queue.Add(k)
}

// step takes the next step for a check. It returns when to look again, zero for when something changes,
// and whether there may be more to do now.
func (e *Engine) step(ctx context.Context, k key, now time.Time) (again time.Time, more bool, err error) {
	s, err := e.subject(ctx, k)
	if err != nil {
		return time.Time{}, false, err
	}
	if s == nil {
		e.pace.drop(k)
		if err := e.absent(ctx, k); err != nil {
			return time.Time{}, false, err
		}
		e.queue.Forget(k)
		return time.Time{}, false, nil
	}
	if namespace := e.o.Settings().Namespace; namespace != "" && namespace != k.Namespace {
		return time.Time{}, false, nil
	}
	mine := e.o.Owns(s.check.UID)
	remembered := e.memory.note(s.check.UID, func(n *note) {
		switch {
		case !mine:
			n.resumed = time.Time{}
		case n.resumed.IsZero():
			n.resumed = now
		}
	})
	if !mine {
		e.pace.drop(k)
		return time.Time{}, false, nil
	}
	s.state = credible(s.state, remembered.resumed, now)
	e.observe(ctx, s, remembered)
	v, err := e.view(ctx, s, remembered, now)
	if err != nil {
		return time.Time{}, false, err
	}
	next := next(v)
	if next.action == wait {
		return next.until, false, nil
	}
	if !e.reach.admit(k, now) {
		return now.Add(asideFor), false, nil
	}
	again, err = e.perform(ctx, s, v, next)
	if err != nil {
		return time.Time{}, false, err
	}
	e.well(k, s)
	return again, again.IsZero(), nil
}

// well notes that requests for a check are answered.
func (e *Engine) well(k key, s *subject) {
	e.queue.Forget(k)
	e.memory.note(s.check.UID, func(n *note) { n.warned = "" })
	e.answered()
}

// answered notes that the API server answers, and has everybody look who waited for that.
func (e *Engine) answered() {
	aside, fresh := e.reach.answered(e.o.Clock.Now())
	if fresh {
		e.o.Log.Info("the API server answers again")
	}
	for _, k := range aside {
		e.queue.Add(k)
	}
}

// failing sees to a check for which a request has failed.
func (e *Engine) failing(ctx context.Context, k key, err error) {
	if ctx.Err() != nil {
		return
	}
	now := e.o.Clock.Now()
	switch {
	case outdated(err):
		// The cache will hear of what was done; if it has already, nothing else wakes this check.
		e.answered()
		e.queue.AddRateLimited(k)
	case checkerpod.Unanswered(err):
		if e.reach.failed(now) {
			e.o.Log.Warn("the API server does not answer: nothing is begun or failed until it does", "error", err)
		}
		e.queue.AddAfter(k, probeEvery)
	default:
		e.answered()
		e.queue.AddRateLimited(k)
		e.warn(ctx, k, err)
	}
}

// warn logs what is wrong with a check, once.
func (e *Engine) warn(ctx context.Context, k key, err error) {
	s, readErr := e.subject(ctx, k)
	if readErr != nil || s == nil {
		e.o.Log.Warn("a check cannot be looked after", "check", k.String(), "error", err)
		return
	}
	fresh := false
	e.memory.note(s.check.UID, func(n *note) {
		fresh = n.warned != err.Error()
		n.warned = err.Error()
	})
	switch {
	case !fresh:
	case checkerpod.Terminating(err):
		e.o.Log.Info("a check is not run any more: its namespace is being deleted", "check", k.String())
	default:
		e.o.Log.Warn("a check cannot be looked after", "check", k.String(), "error", err)
	}
}
