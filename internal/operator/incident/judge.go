package incident

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/maek-dev/maek/internal/collect/watched"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/operator/incident/lifecycle"
	"github.com/maek-dev/maek/internal/operator/incident/object"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// warmUp is how long the first diagnosis waits for kinds that are slow to read. Those that are not there
	// by then are told of as unread.
	warmUp = time.Minute
	// storedWithin is how long it waits after that to know what Incidents there are, and askedWithin to know what
	// agents tell.
	storedWithin = 5 * time.Second
	askedWithin  = 5 * time.Second
	// readyEvery is how often it is looked whether all is read, until it is.
	readyEvery = 50 * time.Millisecond
)

// judge diagnoses when something changed.
type judge struct {
	options  Options
	metrics  *metrics
	watcher  *watched.Watcher
	writer   *object.Writer
	machines *machines
	answers  *answers
	// news is a signal of something that the watcher does not see.
	news chan struct{}
	// ready tells that all is read that the first diagnosis needs.
	ready atomic.Bool
	// broken are the rules whose failure was logged.
	broken map[string]bool
}

func newJudge(d *Diagnoser, w *watched.Watcher) *judge {
	o := d.options
	j := &judge{options: o, metrics: d.metrics, watcher: w, news: make(chan struct{}, 1), broken: map[string]bool{}}
	tell := func() {
		select {
		case j.news <- struct{}{}:
		default:
		}
	}
	asking := o.Rules
	if o.NoAgents {
		asking = nil
	}
	j.machines = newMachines(o.Config, o.AgentToken, asking, o.Now, tell)
	j.answers = newAnswers(w.Client(), o.Now, tell)
	j.writer = object.NewWriter(object.Options{
		API: d.api, Book: lifecycle.New(o.Rules, lifecycle.Options{Language: o.Language, TTL: o.TTL, Most: o.Most}),
		Language: o.Language, Instance: o.Identity, Wrote: d.metrics.wrote, Log: o.Log, Now: o.Now,
	})
	return j
}

// current is the cluster as it is known now, or nil before all is read.
func (j *judge) current() *snapshot.Snapshot {
	if !j.ready.Load() {
		return nil
	}
	return j.watcher.Snapshot()
}

// run diagnoses until ctx ends: once all is read and it is known what is stored, and then as things
// change.
func (j *judge) run(ctx context.Context, stored <-chan struct{}) {
	if !j.awaitReady(ctx, stored) {
		return
	}
	for {
		before := processor()
		view := j.judge(ctx)
		if ctx.Err() != nil {
			return
		}
		least, most := pace(processor()-before, view.Lingering)
		if !pause(ctx, least, nil, nil) || !pause(ctx, most-least, j.watcher.Changed(), j.news) {
			return
		}
	}
}

// awaitReady waits for what the first diagnosis needs. What is stored and what agents
// tell is not waited for long: an API server that does not answer is to be told of too, and the rest can be joined
// later.
func (j *judge) awaitReady(ctx context.Context, stored <-chan struct{}) bool {
	began := j.options.Now()
	for j.options.Now().Sub(began) < warmUp && !j.watcher.Ready() {
		if !pause(ctx, readyEvery, nil, nil) {
			return false
		}
	}
	j.ready.Store(true)
	return pause(ctx, storedWithin, stored, nil) && pause(ctx, askedWithin, j.machines.asked, nil)
}

// judge makes one diagnosis.
func (j *judge) judge(ctx context.Context) object.View {
	began := j.options.Now()
	s := j.watcher.Snapshot()
	j.watcher.Client().Observe(s)
	s, skips := j.machines.add(s)
	var answerer rule.Answerer
	if !j.options.Passive {
		answerer = j.answers
	}
	j.answers.begin()
	res := rule.Evaluate(ctx, s, j.options.Rules, answerer, rule.DefaultBudget)
	res.Skips = slices.Concat(skips, res.Skips)
	d := diagnosis.Diagnose(res, j.options.Rules)
	if ctx.Err() != nil {
		// Half a diagnosis is none.
		return object.View{}
	}
	for _, f := range d.Failures {
		if code := string(f.Code); !j.broken[code] {
			j.broken[code] = true
			j.options.Log.Error("a rule failed", "code", code, "error", f.Err)
		}
	}
	view := j.writer.Take(d)
	j.metrics.seconds.Observe(j.options.Now().Sub(began).Seconds())
	j.metrics.tell(tellOf(d, view, j.options.Now()))
	// Questions that are still asked need a snapshot, and not the indexes that judging made of this one.
	j.watcher.Client().Observe(j.watcher.Snapshot())
	return view
}

// pause waits for some time, or until one of two signals comes; false where ctx ended.
func pause(ctx context.Context, most time.Duration, first, second <-chan struct{}) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-first:
	case <-second:
	}
	return ctx.Err() == nil
}
