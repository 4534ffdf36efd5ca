package diagnose

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/report"
)

const (
	// defaultInterval between two looks: what one costs a cluster of 2,000 pods is a few requests a
	// second for half a second, and no fault of a node is told sooner than its Lease runs out (40 s).
	defaultInterval = 30 * time.Second
	// leastInterval keeps a slip of the finger from becoming a load.
	leastInterval = 5 * time.Second
)

// clearScreen puts the cursor home and clears what is below, leaving the scrollback alone
// (ECMA-48, 8.3.21 and 8.3.39).
const clearScreen = "\x1b[H\x1b[J"

func (o *Options) addWatch(cmd *cobra.Command) {
	set := cmd.Flags()
	set.BoolVarP(&o.Watch, "watch", "w", false, "look again and again, until interrupted")
	set.DurationVar(&o.Interval, "interval", defaultInterval, "with --watch: the time between two looks")
}

func (o *Options) validateWatch() error {
	switch {
	case !o.Watch:
		return nil
	case o.Output != Terminal && o.Output != "json":
		return exit.Misused("--watch prints to a terminal or as json, not as %s; leave out -o or write -o json", o.Output)
	case o.Source.From != "":
		return exit.Misused("--watch has nothing to wait for in a bundle; leave out --watch or --from")
	case o.Interval < leastInterval:
		return exit.Misused("--interval %s is too short; write at least %s", o.Interval, leastInterval)
	}
	return nil
}

// watch looks again and again until it is interrupted. A terminal shows the newest report; a file or
// a program gets a report whenever what is wrong has changed, each compared with the one before. What
// keeps one look from being made is said, and the next is made all the same.
func (o *Options) watch(ctx context.Context, inv *invocation.Invocation, wish *wishes) error {
	last := exit.OK
	for first := true; ; first = false {
		d, reading, err := o.look(ctx, inv, wish)
		switch {
		case err != nil && first:
			return err
		case ctx.Err() != nil:
			// What was read until an interruption is a smaller look, and no news.
			return exit.With(last)
		case err != nil:
			last = exit.Unknown
			// Where even this cannot be written, the next report says it.
			_, _ = fmt.Fprintf(inv.ErrOut, "%s: %s; the next look is in %s\n", inv.Program, report.Clean(err.Error()), o.Interval)
		default:
			doc := o.document(inv, d, reading, wish)
			if first || inv.OutTerminal || news(*wish.earlier, doc) {
				if err := o.show(inv, doc, reading); err != nil {
					return err
				}
			}
			last = o.code(d, doc)
			wish.earlier = remembered(doc)
		}
		select {
		case <-ctx.Done():
			return exit.With(last)
		case <-inv.After(o.Interval):
		}
	}
}

// show prints a report in the place of the one before.
func (o *Options) show(inv *invocation.Invocation, doc v1alpha1.Diagnosis, reading *source.Reading) error {
	if inv.OutTerminal && o.Output == Terminal {
		if _, err := fmt.Fprint(inv.Out, clearScreen); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	return o.print(inv, doc, reading)
}

// remembered is what the next report is compared with: what could not be seen this time is not
// forgotten, so that it is neither gone nor new once it can be.
func remembered(doc v1alpha1.Diagnosis) *v1alpha1.Diagnosis {
	if doc.Changes != nil {
		doc.Incidents = slices.Concat(doc.Incidents, doc.Changes.Unseen)
	}
	return &doc
}

// news tells whether a report says anything that the one before did not.
func news(earlier, now v1alpha1.Diagnosis) bool {
	c := diagnosis.Compare(earlier, now)
	return len(c.New)+len(c.Gone) > 0 || earlier.Verdict != now.Verdict
}
