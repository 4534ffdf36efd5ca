package source

import (
	"context"
	"errors"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/collect/bundle"
	"github.com/maek-dev/maek/internal/collect/live"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Reading is a cluster as it was read, with what the rules said about it.
type Reading struct {
	// Result of the rules. What is missing beyond their own skips is among its Skips.
	Result rule.Result
	// Stats of reading, evaluating and, after End, diagnosing.
	Stats v1alpha1.Stats
	// Recorded tells that it comes from a bundle.
	Recorded bool
	// NoAgents tells that agents were looked for, and the cluster has none.
	NoAgents bool
	// Client that read the cluster, to ask it more; nil where it comes from a bundle.
	Client *live.Client

	began time.Time
}

// End sets how long all of it took, once the diagnosis is made.
func (r *Reading) End(now time.Time) {
	r.Stats.Seconds = now.Sub(r.began).Round(time.Millisecond).Seconds()
}

// Judged is a reading of evidence that was gathered from a moment on.
func Judged(res rule.Result, began time.Time) *Reading {
	r := &Reading{Result: res, Stats: stats(res.Snapshot), began: began}
	r.Stats.Machines = new(len(res.Snapshot.MachineReports()))
	return r
}

// Read reads the cluster or the bundle that the flags name and runs the rules over it. Whatever is
// wrong with the cluster is in the Reading; an error is about the command line.
func (f *Flags) Read(ctx context.Context, inv *invocation.Invocation, rules []rule.Rule) (*Reading, error) {
	nodes, err := f.expected(ctx)
	if err != nil {
		return nil, err
	}
	if f.From != "" {
		b, err := bundle.Open(ctx, f.From)
		if err != nil {
			return nil, &exit.Error{Code: exit.Usage, Err: err}
		}
		return f.replay(ctx, inv, b, rules, nodes)
	}
	return f.live(ctx, inv, rules, nodes)
}

// Replay runs the rules over a bundle.
func Replay(ctx context.Context, inv *invocation.Invocation, b *bundle.Bundle, rules []rule.Rule) *Reading {
	return replayed(ctx, inv, b, b.Snapshot(), rules, b)
}

func (f *Flags) replay(ctx context.Context, inv *invocation.Invocation, b *bundle.Bundle, rules []rule.Rule, nodes []snapshot.ExpectedNode) (*Reading, error) {
	s, err := expectIn(b.Snapshot(), nodes)
	if err != nil {
		return nil, err
	}
	var answerer rule.Answerer = b
	if f.Passive {
		answerer = nil
	}
	return replayed(ctx, inv, b, s, rules, answerer), nil
}

func replayed(ctx context.Context, inv *invocation.Invocation, b *bundle.Bundle, s *snapshot.Snapshot, rules []rule.Rule, answerer rule.Answerer) *Reading {
	began := inv.Now()
	r := &Reading{
		Result:   rule.Evaluate(ctx, s, rules, answerer, rule.DefaultBudget),
		Recorded: true,
		began:    began,
	}
	r.Result.Skips = append(b.Gaps(), r.Result.Skips...)
	r.Stats = stats(r.Result.Snapshot)
	if n := len(s.MachineReports()); n > 0 {
		r.Stats.Machines = new(n)
	}
	return r
}

func (f *Flags) live(parent context.Context, inv *invocation.Invocation, rules []rule.Rule, nodes []snapshot.ExpectedNode) (*Reading, error) {
	t, err := f.Connection.resolve(inv.Program)
	if err != nil {
		return nil, err
	}
	began := inv.Now()
	ctx, cancel := context.WithTimeout(parent, f.Timeout)
	defer cancel()
	p := newProgress(inv)
	snap, client, err := live.Collect(ctx, t.config, rule.Kinds(rules), live.Options{
		Name:            t.name,
		Namespace:       f.Connection.Namespace(),
		CustomResources: rule.CustomResources(rules),
		Timeout:         max(time.Duration(float64(f.Timeout)*listShare), 1), // 0 would be the default
		RequestTimeout:  t.config.Timeout,
		Version:         inv.Version,
		Now:             inv.Now,
		Progress:        p.update,
	})
	p.end()
	if err != nil {
		return nil, exit.Misused("context %q of the kubeconfig cannot be used: %w; mend it, or write --context with another", t.name, oneLine(err))
	}
	if snap, err = expectIn(snap, nodes); err != nil {
		return nil, err
	}
	snap, told := f.askAgents(ctx, inv, t.config, snap, rules)
	var answerer rule.Answerer = client
	if f.Passive {
		answerer = nil
	}
	r := &Reading{Result: rule.Evaluate(ctx, snap, rules, answerer, rule.DefaultBudget), Client: client, began: began}
	r.Result.Skips = append(told.Skips, r.Result.Skips...)
	if cut := cutShort(parent, ctx, f.Timeout); cut != nil {
		r.Result.Skips = append([]finding.Skip{*cut}, r.Result.Skips...)
	}
	spent := client.Stats()
	r.Stats = stats(r.Result.Snapshot)
	r.Stats.Requests, r.Stats.Bytes = spent.Requests, spent.Bytes
	r.NoAgents = told.Looked && !told.Installed
	if told.Installed {
		r.Stats.Machines = new(len(told.Reports))
	}
	return r, nil
}

// cutShort says that the reading was ended before its time, and by what.
func cutShort(parent, ctx context.Context, timeout time.Duration) *finding.Skip {
	switch {
	case parent.Err() != nil:
		return &finding.Skip{Reason: finding.Textf(
			"interrupted; this is what was read until then",
			"중단되었습니다. 그때까지 읽은 내용만 보여 줍니다")}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &finding.Skip{Reason: finding.Textf(
			"the time was up after --timeout %s; this is what was read until then",
			"--timeout %s이 지났습니다. 그때까지 읽은 내용만 보여 줍니다", timeout)}
	default:
		return nil
	}
}

func stats(s *snapshot.Snapshot) v1alpha1.Stats {
	var st v1alpha1.Stats
	for _, k := range s.Kinds() {
		if s.Coverage(k).Readable() {
			st.Kinds++
		}
		st.Objects += s.Len(k)
	}
	return st
}
