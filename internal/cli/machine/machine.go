// Package machine is the command that diagnoses the machine on which it runs, without an API server.
package machine

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/internal/cli/diagnose"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Options of the command.
type Options struct {
	// Output of the diagnosis.
	Output diagnose.Options
	// Show names the part whose values are printed; empty asks for the diagnosis.
	Show string
	// Root is where the file system of the host is.
	Root string
	// Rules to run.
	Rules []rule.Rule
}

// New makes the command.
func New(inv *invocation.Invocation, display *invocation.Display, rules []rule.Rule) *cobra.Command {
	o := &Options{Output: diagnose.Options{Display: display, Rules: rules}, Rules: rules}
	cmd := &cobra.Command{
		Use:   "machine",
		Short: "Diagnose the machine on which this runs, as root and without an API server",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Output.ValidateOutput(); err != nil {
				return err
			}
			return o.run(cmd.Context(), inv)
		},
	}
	o.Output.AddOutput(cmd)
	cmd.Flags().StringVar(&o.Show, "show", "", "print the values themselves: all, or the first segment of their keys")
	cmd.Flags().StringVar(&o.Root, "root", "/", "where the host's file system is")
	return cmd
}

func (o *Options) run(ctx context.Context, inv *invocation.Invocation) error {
	began := inv.Now()
	id, monitors, err := watchedHere(o.Root, inv.Now)
	if err != nil {
		return err
	}
	report := monitor.NewRunner(id, monitors, inv.Now, nil).Once(ctx)
	if o.Show != "" {
		for _, e := range report.Evidence {
			if o.Show == "all" || e.Key.Segments()[0] == o.Show {
				if _, err := fmt.Fprintf(inv.Out, "%s\t%s\t%s\n", e.Key, e.Value, e.At); err != nil {
					return err
				}
			}
		}
		for _, g := range report.Gaps {
			if _, err := fmt.Fprintf(inv.Out, "! %s: %s\n", g.Monitor, g.Reason); err != nil {
				return err
			}
		}
		return nil
	}
	b := snapshot.NewBuilder(began, snapshot.Source{Name: id.Machine, Machine: id.Node})
	b.AddMachine(report)
	reading := &source.Reading{Result: rule.Evaluate(ctx, b.Build(), rule.OnMachines(o.Rules), nil, rule.DefaultBudget)}
	return o.Output.Print(inv, diagnosis.Diagnose(reading.Result, o.Rules), reading)
}
