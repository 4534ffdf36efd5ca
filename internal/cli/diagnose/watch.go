package diagnose

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/diagnosis"
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
// a program gets a report whenever what is wrong has changed, each compared with the one before.
func (o *Options) watch(ctx context.Context, inv *invocation.Invocation, wish *wishes) error {
	last := exit.OK
	for first := true; ; first = false {
		d, reading, err := o.look(ctx, inv, wish)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			// What was read until an interruption is a smaller look, and no news.
			return exit.With(last)
		}
		doc := o.document(inv, d, reading, wish)
		if first || inv.OutTerminal || news(*wish.earlier, doc) {
			if inv.OutTerminal && o.Output == Terminal {
				if _, err := fmt.Fprint(inv.Out, clearScreen); err != nil {
					return fmt.Errorf("writing the report: %w", err)
				}
			}
			if err := o.print(inv, doc, reading); err != nil {
				return err
			}
		}
		last = o.code(d, doc)
		wish.earlier = &doc
		select {
		case <-ctx.Done():
			return exit.With(last)
		case <-inv.After(o.Interval):
		}
	}
}

// news tells whether a report says anything that the one before did not.
func news(earlier, now v1alpha1.Diagnosis) bool {
	c := diagnosis.Compare(earlier, now)
	return len(c.New)+len(c.Gone) > 0 || earlier.Verdict != now.Verdict
}
