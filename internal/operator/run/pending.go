package run

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

const (
	reportWorkers = 2
	// maxPending bounds how many reports are kept while the API server does not answer: one of each check
	// of the largest clusters. Their texts are bounded too (kuberhealthy.MaxErrors).
	maxPending = 4096
	// Storing is tried again after these times, doubled each time.
	leastStoreRetry, mostStoreRetry = 500 * time.Millisecond, 5 * time.Second
)

// reportOf is a report that is being stored.
type reportOf struct {
	key      key
	run      string
	api      kuberhealthy.API
	report   kuberhealthy.Report
	received time.Time
	// done is closed when it was stored or refused; err is valid then.
	done chan struct{}
	err  error
}

// pending are reports that wait for the API server: at most one of each check, the newest.
type pending struct {
	queue workqueue.TypedRateLimitingInterface[key]

	mu      sync.Mutex
	reports map[key]*reportOf
}

func newPending(c clock.WithTicker) *pending {
	return &pending{
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[key](leastStoreRetry, mostStoreRetry),
			workqueue.TypedRateLimitingQueueConfig[key]{Clock: c},
		),
		reports: map[key]*reportOf{},
	}
}

// keep keeps a report until it is stored; false where there are too many.
func (p *pending) keep(one *reportOf) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, replaced := p.reports[one.key]; !replaced && len(p.reports) >= maxPending {
		return false
	}
	p.reports[one.key] = one
	p.queue.AddRateLimited(one.key)
	return true
}

func (p *pending) get(k key) *reportOf {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reports[k]
}

// has tells whether a report on a run waits.
func (p *pending) has(k key, run string) bool {
	one := p.get(k)
	return one != nil && one.run == run
}

// finish ends the waiting of a report.
func (p *pending) finish(one *reportOf, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reports[one.key] == one {
		delete(p.reports, one.key)
	}
	one.err = err
	close(one.done)
}

// storePending stores reports that waited. Nobody fails a run meanwhile whose report this replica holds.
func (e *Engine) storePending(ctx context.Context) {
	for {
		k, stop := e.pending.queue.Get()
		if stop {
			return
		}
		if one := e.pending.get(k); one != nil && ctx.Err() == nil {
			e.storeOne(ctx, one)
		}
		e.pending.queue.Done(k)
	}
}

func (e *Engine) storeOne(ctx context.Context, one *reportOf) {
	storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeWithin)
	defer cancel()
	err := e.store(storing, one)
	if err != nil && unstored(err) {
		e.pending.queue.AddRateLimited(one.key)
		return
	}
	e.pending.queue.Forget(one.key)
	e.pending.finish(one, err)
	e.queue.Add(one.key)
}
