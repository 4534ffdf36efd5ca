// Package diagnose is the command that says what is wrong with a cluster, and why.
package diagnose

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

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
	Terminal:   report.Terminal,
	"json":     func(w io.Writer, d v1alpha1.Diagnosis, _ report.Options) error { return report.JSON(w, d) },
	"yaml":     func(w io.Writer, d v1alpha1.Diagnosis, _ report.Options) error { return report.YAML(w, d) },
	"markdown": report.Markdown,
	"html":     report.HTML,
	"junit":    report.JUnit,
	"sarif":    report.SARIF,
}

var (
	outputs    = []string{Terminal, "json", "yaml", "markdown", "html", "junit", "sarif"}
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
	// Selector of labels to which the report is confined.
	Selector string
	// Ignore is the path of a file of findings not to show.
	Ignore string
	// Diff is the path of an earlier report, in JSON, to compare with.
	Diff string
	// FailOnNew makes only incidents count for the exit code that are not in Diff.
	FailOnNew bool
	// Events asks for the time line.
	Events bool
	// Watch looks again and again.
	Watch bool
	// Interval between two looks.
	Interval time.Duration
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
	o.addFlags(cmd)
	o.AddFailOn(cmd)
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

// AddFailOn adds --fail-on alone, for commands that end by a diagnosis of their own.
func (o *Options) AddFailOn(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.FailOn, "fail-on", string(finding.Warning), "least severity for exit code 1: critical, warning or info")
	// The flag is registered just above, so completing it cannot fail.
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(severities, cobra.ShellCompDirectiveNoFileComp))
}

// Validate refuses flags that make no sense.
func (o *Options) Validate() error {
	if err := o.ValidateOutput(); err != nil {
		return err
	}
	if err := o.ValidateFailOn(); err != nil {
		return err
	}
	if err := o.validateWatch(); err != nil {
		return err
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

// ValidateFailOn refuses a severity that does not exist.
func (o *Options) ValidateFailOn() error {
	if !slices.Contains(severities, o.FailOn) {
		return exit.Misused("--fail-on %q is no severity; write one of: %s", o.FailOn, strings.Join(severities, ", "))
	}
	return nil
}

// Run reads, judges and prints, once or again and again.
func (o *Options) Run(ctx context.Context, inv *invocation.Invocation) error {
	wish, err := o.prepare()
	if err != nil {
		return err
	}
	if o.Watch {
		return o.watch(ctx, inv, wish)
	}
	d, reading, err := o.look(ctx, inv, wish)
	if err != nil {
		return err
	}
	doc := o.document(inv, d, reading, wish)
	if err := o.print(inv, doc, reading); err != nil {
		return err
	}
	return exit.With(o.code(d, doc))
}

// look reads and judges.
func (o *Options) look(ctx context.Context, inv *invocation.Invocation, wish *wishes) (diagnosis.Diagnosis, *source.Reading, error) {
	reading, err := o.Source.Read(ctx, inv, o.Rules)
	if err != nil {
		return diagnosis.Diagnosis{}, nil, err
	}
	if err := o.known(wish.scope.Namespace, reading); err != nil {
		return diagnosis.Diagnosis{}, nil, err
	}
	return diagnosis.Diagnose(reading.Result, o.Rules, wish.ignore...).In(wish.scope, o.Rules), reading, nil
}

// document ends a reading and makes the document of its diagnosis, with all that was wished for.
func (o *Options) document(inv *invocation.Invocation, d diagnosis.Diagnosis, reading *source.Reading, wish *wishes) v1alpha1.Diagnosis {
	reading.End(inv.Now())
	language := inv.Language(*o.Display)
	doc := d.Document(language, reading.Stats)
	if wish.earlier != nil {
		doc.Changes = diagnosis.Compare(*wish.earlier, doc)
	}
	if o.Events {
		doc.Timeline = d.Timeline(language)
	}
	return doc
}

// Print ends the reading and renders its diagnosis as the flags say.
func (o *Options) Print(inv *invocation.Invocation, d diagnosis.Diagnosis, reading *source.Reading) error {
	return o.print(inv, o.document(inv, d, reading, &wishes{}), reading)
}

// PrintMachine is Print of what a machine found out about itself, with the exit code of what was found.
// Whole tells that it could read what it needed to.
func (o *Options) PrintMachine(inv *invocation.Invocation, d diagnosis.Diagnosis, reading *source.Reading, m *v1alpha1.Machine, whole bool) error {
	doc := o.document(inv, d, reading, &wishes{})
	doc.Machine = m
	code := o.code(d, doc)
	// Where the API server does not answer, nothing here may say why, and the cluster is not healthy.
	down := m.APIServer != nil && !m.APIServer.Answers
	if (down || !whole) && doc.Verdict == v1alpha1.VerdictHealthy {
		doc.Verdict, code = v1alpha1.VerdictUnknown, exit.Unknown
	}
	if err := o.print(inv, doc, reading); err != nil {
		return err
	}
	return exit.With(code)
}

func (o *Options) print(inv *invocation.Invocation, doc v1alpha1.Diagnosis, reading *source.Reading) error {
	options := inv.Report(*o.Display)
	options.Recorded, options.NoAgents = reading.Recorded, reading.NoAgents
	for _, r := range o.Rules {
		options.Rules = append(options.Rules, report.RuleInfo{Code: string(r.Code), Title: r.Title.In(options.Language), Severity: r.Severity, Link: r.Link})
	}
	if err := renderers[o.Output](inv.Out, doc, options); err != nil {
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
func (o *Options) code(d diagnosis.Diagnosis, doc v1alpha1.Diagnosis) exit.Code {
	least := finding.Rank(finding.Severity(o.FailOn))
	for _, i := range d.Incidents {
		known := o.FailOnNew && doc.Changes != nil && slices.Contains(doc.Changes.Still, i.ID)
		if finding.Rank(i.Severity) <= least && !known {
			return exit.Incidents
		}
	}
	for _, f := range d.Findings {
		// Info findings are no incidents; whoever asks to fail on them means the findings. An earlier
		// report does not tell which of them are new.
		if f.Incident == "" && !f.Settling && finding.Rank(f.Severity) <= least && !o.FailOnNew {
			return exit.Incidents
		}
	}
	if !diagnosis.SeenEnough(d.Snapshot, o.Rules) || len(d.Failures) > 0 {
		return exit.Unknown
	}
	return exit.OK
}
