// Package diagnose is the command that says what is wrong with a cluster, and why.
package diagnose

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Terminal is the output for people, and the default.
const Terminal = "terminal"

// renderers by the name that -o takes.
var renderers = map[string]func(io.Writer, v1alpha1.Diagnosis, report.Options) error{
	Terminal: report.Terminal,
	"json":   func(w io.Writer, d v1alpha1.Diagnosis, _ report.Options) error { return report.JSON(w, d) },
	"yaml":   func(w io.Writer, d v1alpha1.Diagnosis, _ report.Options) error { return report.YAML(w, d) },
}

var (
	outputs    = []string{Terminal, "json", "yaml"}
	severities = []string{string(finding.Critical), string(finding.Warning), string(finding.Info)}
)

// Options of the command.
type Options struct {
	// Source of what is looked at.
	Source source.Flags
	// Display of the report.
	Display *invocation.Display
	// Output names the renderer.
	Output string
	// FailOn is the least severity for which the exit code is 1.
	FailOn string
	// Rules to run.
	Rules []rule.Rule
}

// New makes the command.
func New(inv *invocation.Invocation, connection *source.Connection, display *invocation.Display, rules []rule.Rule) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diagnose",
		Short: "Say what is wrong with the cluster, and why (what happens without a command)",
		Args:  cobra.NoArgs,
	}
	Bind(cmd, inv, connection, display, rules)
	return cmd
}

// Bind gives a command the flags of diagnose, and makes it run it.
func Bind(cmd *cobra.Command, inv *invocation.Invocation, connection *source.Connection, display *invocation.Display, rules []rule.Rule) {
	o := &Options{Source: source.Flags{Connection: connection}, Display: display, Rules: rules}
	o.Source.Add(cmd)
	o.AddOutput(cmd)
	cmd.Flags().StringVar(&o.FailOn, "fail-on", string(finding.Warning), "least severity for exit code 1: critical, warning or info")
	// The flag is registered just above, so completing it cannot fail.
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(severities, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.Validate(); err != nil {
			return err
		}
		return o.Run(cmd.Context(), inv)
	}
}

// AddOutput adds -o alone, for commands that print a diagnosis of their own.
func (o *Options) AddOutput(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.Output, "output", "o", Terminal, "how to print it: "+strings.Join(outputs, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
}

// Validate refuses flags that make no sense.
func (o *Options) Validate() error {
	if err := o.ValidateOutput(); err != nil {
		return err
	}
	if !slices.Contains(severities, o.FailOn) {
		return exit.Misused("--fail-on %q is no severity; write one of: %s", o.FailOn, strings.Join(severities, ", "))
	}
	return o.Source.Validate()
}

// ValidateOutput refuses an output that nothing renders.
func (o *Options) ValidateOutput() error {
	if renderers[o.Output] == nil {
		return exit.Misused("-o %q is no output; write one of: %s", o.Output, strings.Join(outputs, ", "))
	}
	return nil
}

// Run reads, judges and prints.
func (o *Options) Run(ctx context.Context, inv *invocation.Invocation) error {
	reading, err := o.Source.Read(ctx, inv, o.Rules)
	if err != nil {
		return err
	}
	namespace := o.Source.Connection.Namespace()
	if err := o.known(namespace, reading); err != nil {
		return err
	}
	d := diagnosis.Diagnose(reading.Result, o.Rules)
	if namespace != "" {
		d = d.In(namespace, o.Rules)
	}
	if err := o.Print(inv, d, reading); err != nil {
		return err
	}
	return exit.With(o.code(d))
}

// Print ends the reading and renders its diagnosis as the flags say.
func (o *Options) Print(inv *invocation.Invocation, d diagnosis.Diagnosis, reading *source.Reading) error {
	reading.End(inv.Now())
	options := inv.Report(*o.Display)
	options.Recorded = reading.Recorded
	if err := renderers[o.Output](inv.Out, d.Document(options.Language, reading.Stats), options); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// known refuses a namespace that the cluster certainly does not have: a report that finds nothing
// wrong in it would be true and useless.
func (o *Options) known(namespace string, reading *source.Reading) error {
	s := reading.Result.Snapshot
	if namespace == "" || s.Coverage(snapshot.KindOf[*corev1.Namespace]()).State != snapshot.Complete {
		return nil
	}
	if _, ok := snapshot.Get[*corev1.Namespace](s, "", namespace); ok {
		return nil
	}
	return exit.Misused("there is no namespace %q in %s; write -n with one that exists, or leave it out", namespace, s.Source().Name)
}

// code is the exit code for a diagnosis: what was found counts before what could not be looked at.
func (o *Options) code(d diagnosis.Diagnosis) exit.Code {
	least := finding.Rank(finding.Severity(o.FailOn))
	for _, i := range d.Incidents {
		if finding.Rank(i.Severity) <= least {
			return exit.Incidents
		}
	}
	for _, f := range d.Findings {
		// Info findings are no incidents; whoever asks to fail on them means the findings.
		if f.Incident == "" && !f.Settling && finding.Rank(f.Severity) <= least {
			return exit.Incidents
		}
	}
	if !diagnosis.SeenEnough(d.Snapshot, o.Rules) || len(d.Failures) > 0 {
		return exit.Unknown
	}
	return exit.OK
}
