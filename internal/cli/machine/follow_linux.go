package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/logs"
	"github.com/maek-dev/maek/internal/report"
)

// follow prints new lines of the machine's logs until the context ends.
func (o *Options) follow(ctx context.Context, inv *invocation.Invocation, names []string) error {
	h, err := lookHere(o.Root)
	if err != nil {
		return err
	}
	host := monitor.Host{Root: o.Root, Node: h.id.Node, Now: inv.Now}
	options := inv.Report(*o.Output.Display)
	tell := func(err error) {
		// The lines that can be read go on.
		_, _ = fmt.Fprintf(inv.ErrOut, "%s: %s\n", inv.Program, report.Clean(err.Error()))
	}
	picked := chosen{names: names}
	go func() {
		select {
		case <-ctx.Done():
		case <-inv.After(silentAfter):
			if hint := picked.hint(); hint != "" {
				tell(errors.New(hint))
			}
		}
	}()
	var failed error
	err = logs.Follow(ctx, host, inv.Now().Add(-followBack), tell, func(l logs.Line) bool {
		if picked.takes(l.Writer, l.Source) {
			_, failed = inv.Out.Write(options.LogLine(l.At, cmp.Or(l.Writer, l.Source), l.Severity, l.Text))
		}
		return failed == nil
	})
	switch {
	case failed != nil:
		return fmt.Errorf("printing the logs: %w", failed)
	case err != nil:
		return &exit.Error{Code: exit.Unknown, Err: fmt.Errorf("following the logs: %w", err)}
	}
	return nil
}
