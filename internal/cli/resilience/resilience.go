// Package resilience is the command that says what the next loss would take.
package resilience

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/rule"
)

const long = `Say what the next loss would take: a machine, a zone, a disk, a drain.

It looks at what https://kubernetes.io/docs/tasks/debug/debug-cluster/ names as mitigations: redundancy of the control
plane and of etcd, where its data lies, snapshots, machines that restart by themselves, replicas and where they run,
Services in front of them, disruption budgets, applications that bear a restart. Nothing of it is a fault today, and
nothing of it changes a verdict. The exit code is 0, or 2 where something could not be read.`

// terminal is the output for people, and the default.
const terminal = "terminal"

// renderers by the name that -o takes.
var renderers = map[string]func(io.Writer, v1alpha1.Resilience, report.Options) error{
	terminal:   report.Resilience,
	"json":     func(w io.Writer, r v1alpha1.Resilience, _ report.Options) error { return report.JSON(w, r) },
	"yaml":     func(w io.Writer, r v1alpha1.Resilience, _ report.Options) error { return report.YAML(w, r) },
	"markdown": report.ResilienceMarkdown,
}

var outputs = []string{terminal, "json", "yaml", "markdown"}

// New makes the command.
func New(inv *invocation.Invocation, connection *source.Connection, display *invocation.Display, rules []rule.Rule) *cobra.Command {
	flags := source.Flags{Connection: connection}
	var output string
	// The risks alone: what is wrong today is what diagnose is for.
	risks := slices.DeleteFunc(slices.Clone(rules), func(r rule.Rule) bool { return !r.Risk })
	cmd := &cobra.Command{
		Use:   "resilience",
		Short: "Say what the next loss would take: a machine, a zone, a drain",
		Long:  long,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if renderers[output] == nil {
				return exit.Misused("-o %q is no output; write one of: %s", output, strings.Join(outputs, ", "))
			}
			if err := flags.Validate(); err != nil {
				return err
			}
			return run(cmd.Context(), inv, &flags, *display, risks, output)
		},
	}
	flags.Add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", terminal, "how to print it: "+strings.Join(outputs, ", "))
	// The flag is registered just above, so completing it cannot fail.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func run(ctx context.Context, inv *invocation.Invocation, flags *source.Flags, display invocation.Display, risks []rule.Rule, output string) error {
	reading, err := flags.Read(ctx, inv, risks)
	if err != nil {
		return err
	}
	scope := diagnosis.Scope{Namespace: flags.Connection.Namespace()}
	d := diagnosis.Diagnose(reading.Result, risks).In(scope, risks)
	reading.End(inv.Now())
	options := inv.Report(display)
	options.Recorded = reading.Recorded
	if err := renderers[output](inv.Out, d.Resilience(options.Language, reading.Stats), options); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	for _, k := range rule.Kinds(risks) {
		if !d.Snapshot.Coverage(k).Readable() {
			return exit.With(exit.Unknown)
		}
	}
	return nil
}
