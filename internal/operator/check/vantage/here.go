package vantage

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

// atOnce is how many questions of one run are asked at a time.
const atOnce = 16

// HereOptions are what Here works with.
type HereOptions struct {
	// Now is the clock by which latencies are taken. It is needed.
	Now func() time.Time
	// Stalled is for how long, in all, this program should have got on and did not
	// (schedule.Scheduler.Stalled). It is needed.
	Stalled func() time.Duration
}

// Here asks from where this program runs.
type Here struct {
	o HereOptions
	// plain is the prober of questions without options of their own.
	plain *probe.Prober
}

// NewHere makes a Here.
func NewHere(o HereOptions) *Here {
	return &Here{o: o, plain: probe.New(probe.Options{Now: o.Now})}
}

// Each asks each question once, and gives the answers one by one as they come. Each attempt has the timeout from
// when it begins. When ctx ends, what is not answered is unasked.
func (h *Here) Each(ctx context.Context, questions []plan.Question, timeout time.Duration, tell func(plan.Answer)) {
	if len(questions) == 1 {
		// As most runs are: a goroutine more would be a good part of what they hold while they wait.
		tell(h.ask(ctx, questions[0], timeout))
		return
	}
	var mu sync.Mutex
	workqueue.ParallelizeUntil(context.WithoutCancel(ctx), atOnce, len(questions), func(i int) {
		answer := h.ask(ctx, questions[i], timeout)
		mu.Lock()
		defer mu.Unlock()
		tell(answer)
	})
}

func (h *Here) ask(ctx context.Context, q plan.Question, timeout time.Duration) plan.Answer {
	answer := plan.Answer{Question: q}
	if ctx.Err() == nil {
		before := h.o.Stalled()
		answer.Outcome = h.prober(q.Options).Probe(ctx, q.Probe, timeout)
		answer.Stalled = h.o.Stalled() - before
	}
	if err := ctx.Err(); err != nil {
		// What was cut short says nothing about the target.
		answer.Outcome, answer.Unasked = probe.Outcome{}, context.Cause(ctx)
	}
	answer.At = h.o.Now()
	return answer
}

func (h *Here) prober(o probe.Options) *probe.Prober {
	if o.Dial == nil && o.TLS == nil && o.Run == nil {
		return h.plain
	}
	o.Now = h.o.Now
	return probe.New(o)
}
