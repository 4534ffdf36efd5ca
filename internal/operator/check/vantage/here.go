package vantage

import (
	"context"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

// atOnce is how many questions of one run are asked at a time.
const atOnce = 16

// Here asks from where this program runs.
type Here struct {
	now func() time.Time
	// plain is the prober of questions without options of their own.
	plain *probe.Prober
}

// NewHere makes a Here. Latencies are taken by now.
func NewHere(now func() time.Time) *Here {
	return &Here{now: now, plain: probe.New(probe.Options{Now: now})}
}

// Ask asks each question once, and returns the answers in their order. Each attempt has the timeout from when
// it begins. When ctx ends, what is not answered is unasked.
func (h *Here) Ask(ctx context.Context, questions []plan.Question, timeout time.Duration) []plan.Answer {
	out := make([]plan.Answer, len(questions))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(atOnce, len(questions)) {
		wg.Go(func() {
			for i := range next {
				out[i] = h.ask(ctx, questions[i], timeout)
			}
		})
	}
	for i := range questions {
		next <- i
	}
	close(next)
	wg.Wait()
	return out
}

func (h *Here) ask(ctx context.Context, q plan.Question, timeout time.Duration) plan.Answer {
	answer := plan.Answer{Question: q}
	if ctx.Err() == nil {
		answer.Outcome = h.prober(q.Options).Probe(ctx, q.Probe, timeout)
	}
	if err := ctx.Err(); err != nil {
		// What was cut short says nothing about the target.
		answer.Outcome, answer.Unasked = probe.Outcome{}, context.Cause(ctx)
	}
	answer.At = h.now()
	return answer
}

func (h *Here) prober(o probe.Options) *probe.Prober {
	if o.Dial == nil && o.TLS == nil && o.Run == nil {
		return h.plain
	}
	o.Now = h.now
	return probe.New(o)
}
