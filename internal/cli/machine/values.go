package machine

import (
	"context"
	"fmt"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/machine/show"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/snapshot"
)

// show prints values. As a document it prints the whole report, whatever the part.
func (o *Options) show(ctx context.Context, inv *invocation.Invocation) error {
	l, err := o.look(ctx, inv, false)
	if err != nil {
		return err
	}
	for _, s := range l.skips {
		// Where even this cannot be written, the values must do.
		_, _ = fmt.Fprintf(inv.ErrOut, "%s\n", report.Clean(s.Reason.In(inv.Language(*o.Output.Display))))
	}
	switch o.Output.Output {
	case "json":
		err = report.JSON(inv.Out, withVersion(l.report))
	case "yaml":
		err = report.YAML(inv.Out, withVersion(l.report))
	default:
		b := snapshot.NewBuilder(l.report.ObservedAt.Time, snapshot.Source{})
		b.AddMachine(l.report)
		m, _ := b.Build().Machine(l.report.Node)
		err = show.Print(inv.Out, m, l.report, o.Show, inv.Report(*o.Output.Display))
	}
	if err != nil {
		return fmt.Errorf("printing the values: %w", err)
	}
	if len(l.report.Reads) == 0 {
		return exit.With(exit.Unknown)
	}
	return nil
}
