// Package dump is the command that writes what a diagnosis saw into a bundle, from which the same
// diagnosis can be made anywhere.
package dump

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/collect/bundle"
	"github.com/maek-dev/maek/internal/collect/live"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

type options struct {
	source source.Flags
	logs   logOptions
	output string
	rules  []rule.Rule
}

// New makes the command.
func New(inv *invocation.Invocation, connection *source.Connection, rules []rule.Rule) *cobra.Command {
	o := &options{source: source.Flags{Connection: connection, AllEvidence: true}, rules: rules}
	cmd := &cobra.Command{
		Use:   "dump -o PATH",
		Short: "Write what a diagnosis sees into a bundle: a folder, or an archive (.tar.gz, .tgz, .tar)",
		Long: `Write what a diagnosis sees into a bundle, to look at later, elsewhere, or by somebody else.

The bundle holds the objects that rules read, as the JSON that kubectl prints, the answers to the questions that
they asked, the logs of containers that are sick, and all that agents know of their machines. What could not be
read stands in its MANIFEST.json, with the reason. It never holds the values of Secrets, of ConfigMaps that no rule
asked for, and of literal environment variables; names and keys stay. In commands, messages, values and logs, what
looks like a credential is blotted out. --from PATH makes the same diagnosis of it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			if err := o.logs.validate(o.source.From != "", cmd.Flags()); err != nil {
				return err
			}
			return o.run(cmd.Context(), inv)
		},
	}
	o.source.Add(cmd)
	o.logs.add(cmd.Flags())
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "where to write it: a folder that does not exist, or an archive by its ending")
	return cmd
}

func (o *options) validate() error {
	if o.output == "" {
		return exit.Misused("dump does not know where to write; write -o with a path, such as -o incident.tar.gz")
	}
	if ending := filepath.Ext(o.output); otherFormats[ending] && !archive(o.output) {
		return exit.Misused("-o %s: a bundle is no %s file; write a name that ends in .tar.gz, .tgz or .tar, or that of a folder", o.output, ending)
	}
	if info, err := os.Stat(o.output); err == nil && (!info.IsDir() || archive(o.output)) {
		return exit.Misused("%s is there already; write -o with a path that is not", o.output)
	}
	if parent := filepath.Dir(o.output); archive(o.output) {
		if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
			return exit.Misused("there is no folder %s; make it, or write -o with another path", parent)
		}
	}
	return o.source.Validate()
}

// otherFormats are endings by which people ask for a file that a bundle cannot be.
var otherFormats = map[string]bool{".zip": true, ".gz": true, ".xz": true, ".bz2": true, ".zst": true, ".7z": true, ".json": true, ".yaml": true, ".yml": true}

func archive(path string) bool {
	return strings.HasSuffix(path, ".tar.gz") || strings.HasSuffix(path, ".tgz") || strings.HasSuffix(path, ".tar")
}

func (o *options) run(ctx context.Context, inv *invocation.Invocation) error {
	reading, err := o.source.Read(ctx, inv, o.rules)
	if err != nil {
		return err
	}
	s := reading.Result.Snapshot
	options := bundle.WriteOptions{Program: "kubectl-maek " + inv.Version, Missing: missing(reading.Result)}
	if client := reading.Client; client != nil && !o.source.Passive && s.API().Failure == nil {
		asking, cancel := context.WithTimeout(ctx, o.source.Timeout)
		defer cancel()
		s = withMetrics(asking, client, s)
		options.Logs = o.logs.read(asking, inv, client, s)
	}
	// What was read before an interrupt is worth keeping.
	err = bundle.Write(context.WithoutCancel(ctx), o.output, s, options)
	if errors.Is(err, bundle.ErrThere) {
		return &exit.Error{Code: exit.Usage, Err: err}
	}
	if err != nil {
		return err
	}
	machines := ""
	if n := len(s.MachineReports()); n > 0 {
		machines = fmt.Sprintf(", machines %d", n)
	}
	if _, err := fmt.Fprintf(inv.Out, "%s: objects %d, kinds %d, answers to questions %d%s\ndiagnose it: %s --from %s\n",
		o.output, reading.Stats.Objects, reading.Stats.Kinds, len(s.Asked()), machines, inv.Program, o.output); err != nil {
		return fmt.Errorf("saying what was written: %w", err)
	}
	if !diagnosis.SeenEnough(s, o.rules) {
		return &exit.Error{Code: exit.Unknown, Err: fmt.Errorf("the bundle is not whole: %s --from %s says what is missing", inv.Program, o.output)}
	}
	return nil
}

// withMetrics asks for the API server's metrics, which whoever reads the bundle may want where no rule
// did.
func withMetrics(ctx context.Context, client *live.Client, s *snapshot.Snapshot) *snapshot.Snapshot {
	q := snapshot.Question{Kind: snapshot.APIServerMetrics}
	if _, ok := s.Answer(q); ok {
		return s
	}
	return s.With(client.Answer(ctx, []snapshot.Question{q}))
}

// missing keeps the gaps that concern no single rule and no machine's report: those come again when the
// bundle is read.
func missing(res rule.Result) []finding.Skip {
	again := rule.MachineGaps(res.Snapshot)
	var out []finding.Skip
	for _, s := range res.Skips {
		if s.Code == "" && !slices.Contains(again, s) {
			out = append(out, s)
		}
	}
	return out
}
