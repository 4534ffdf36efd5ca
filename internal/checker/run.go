package checker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/synthetic"
)

const (
	// margin is what a run leaves of its time for the report, as Kuberhealthy's checks do.
	margin = 5 * time.Second
	// grace is what a scenario has for cleaning up when it is stopped: less than the 30s that a pod has by
	// default between the signal and its end.
	grace = 20 * time.Second
	// returnTime is how long a scenario whose time is over may take to return what it found, before it
	// is reported that it did not end.
	returnTime = time.Second
)

// run is one run of a scenario.
type run struct {
	Options
	scenario synthetic.Scenario
	env      synthetic.Environment
	started  time.Time
	// deadline of the report, and notes on what was wrong with what was given.
	deadline time.Time
	notes    []string
	// reporter is nil where nobody waits for a report.
	reporter *reporter

	// once the result is reported; taken is what came of it.
	once  sync.Once
	taken bool
}

func (o Options) newRun(s synthetic.Scenario) *run {
	r := &run{Options: o, scenario: s, started: o.Clock.Now()}
	r.deadline, r.notes = o.deadline(s, r.started)
	r.env = o.environment(r.started)
	r.reporter = o.newReporter(r.env)
	return r
}

// reported tells whether the result was reported, and taken.
func (r *run) reported() bool { return r.taken }

// do runs the scenario and reports. Whatever happens, there is an outcome; unable tells that nothing was
// tried.
func (r *run) do(stop context.Context) (outcome synthetic.Outcome, unable bool) {
	// What a scenario does ends with its time or the signal; the report goes on for a moment.
	ctx, cancel := context.WithDeadline(stop, r.deadline.Add(-margin))
	defer cancel()
	ill := r.reporter.wait(ctx)
	if ill != nil {
		r.Log.Warn("the endpoint for reports does not answer; the check goes on", "error", ill)
	}

	done := make(chan finding, 1)
	r.prepare(ctx)
	go func() {
		result, err := r.try(ctx)
		done <- finding{result: result, err: err}
	}()
	var f finding
	select {
	case f = <-done:
	case <-ctx.Done():
		select {
		case f = <-done:
		case <-r.Clock.After(returnTime):
			// It cleans up. Whoever waits for the report does not wait for that.
			r.report(stop, r.outcome(finding{ended: r.over(stop), ill: ill}))
			select {
			case f = <-done:
			case <-r.Clock.After(r.env.Grace + margin):
				r.Log.Error("the scenario did not clean up in time")
			}
			f.err = cmp.Or(f.err, context.Cause(ctx))
		}
	}
	f.ill = ill
	if ctx.Err() != nil && (f.err != nil || !f.result.OK()) {
		f.ended = r.over(stop)
	}
	outcome = r.outcome(f)
	r.report(stop, outcome)
	return outcome, f.err != nil && f.ended == nil
}

// finding is what came of a run.
type finding struct {
	result synthetic.Result
	// err says that it could not be tried, ended that its time was over or that it was stopped, and ill
	// that the endpoint for reports could not be reached before.
	err, ended, ill error
}

// try runs the scenario. One that panics has failed, and the report says so: a pod that only crashes
// would have to be waited for.
func (r *run) try(ctx context.Context) (result synthetic.Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the check itself is broken: %v", v)
		}
	}()
	if err := ctx.Err(); err != nil {
		return synthetic.Result{}, fmt.Errorf("before the check began: %w", err)
	}
	return r.scenario.Run(ctx, r.env)
}

// over says why a run ended before it was done, in Kuberhealthy's words where it has some.
func (r *run) over(stop context.Context) error {
	switch {
	case stop.Err() != nil && !errors.Is(stop.Err(), context.DeadlineExceeded):
		return fmt.Errorf("the %s check was stopped before it was done: its pod was told to end", r.scenario.Name)
	case r.started.After(r.deadline.Add(-margin)):
		return fmt.Errorf("the %s check had no time: its pod began at %s, and the run was to end by %s; its node may have been slow to start it",
			r.scenario.Name, r.started.UTC().Format(time.RFC3339), r.deadline.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("Failed to complete %s check in time! Timeout was reached.", r.scenario.Name) //nolint:revive,staticcheck // Kuberhealthy's words, which people alert on
}

// outcome is what becomes of a finding: without credentials, and of a size that everybody takes.
func (r *run) outcome(f finding) synthetic.Outcome {
	o := synthetic.Outcome{Nodes: f.result.Nodes, Seconds: r.Clock.Since(r.started).Seconds()}
	var texts []string
	if f.ended != nil {
		texts = append(texts, f.ended.Error())
	}
	// Of a run whose time was over, only that is said: every request fails then.
	if f.err != nil && f.ended == nil {
		texts = append(texts, strings.Split(f.err.Error(), "\n")...)
	}
	texts = append(texts, f.result.Errors...)
	if len(texts) > 0 && f.ill != nil {
		texts = append(texts, fmt.Sprintf("the checker pod itself may be at fault: before the check began it could not reach %s either: %v", r.reporter.host(), f.ill))
	}
	for _, text := range texts {
		if text = r.clean(text); text != "" {
			o.Errors = append(o.Errors, text)
		}
	}
	o.Errors = synthetic.Cut(o.Errors, kuberhealthy.MaxErrors)
	for i, node := range o.Nodes {
		o.Nodes[i].Message = r.clean(node.Message)
	}
	for _, note := range slices.Concat(r.notes, f.result.Notes) {
		o.Notes = append(o.Notes, r.clean(note))
	}
	o.OK = len(o.Errors) == 0
	return o
}

// clean takes credentials out of a text, the run's own among them.
func (r *run) clean(text string) string {
	if id := r.Getenv(envRunID); id != "" {
		text = strings.ReplaceAll(text, id, secret.Blot)
	}
	return secret.Redact(strings.TrimSpace(text))
}

// report sends the outcome, once.
func (r *run) report(stop context.Context, outcome synthetic.Outcome) {
	if r.reporter == nil {
		return
	}
	r.once.Do(func() {
		// A signal that has come already must not keep the report from being sent.
		ctx := context.WithoutCancel(stop)
		until := r.deadline
		if least := r.Clock.Now().Add(margin); until.Before(least) {
			until = least
		}
		err := r.reporter.send(ctx, outcome, until)
		r.taken = err == nil
		if err != nil {
			r.Log.Error("the result was NOT taken: whoever started this check does not know it", "error", err)
			return
		}
		r.Log.Info("the result was reported", "ok", outcome.OK)
	})
}

// prepare finds out what a scenario that makes pods needs to know of its own.
func (r *run) prepare(ctx context.Context) {
	if r.env.Image != "" || !creates(r.scenario) {
		return
	}
	image, err := ownImage(ctx, r.env)
	if err != nil {
		r.Log.Warn("the checker's own image is not known; pods that need one have to be given theirs", "error", r.clean(err.Error()))
		return
	}
	r.env.Image = image
}
