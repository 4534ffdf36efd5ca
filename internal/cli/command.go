// Package cli is the command line of kubectl-maek: the root command, and how a run ends. Each folder
// below it is one command, but for exit, invocation and source, which commands share.
package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/internal/cli/check"
	"github.com/maek-dev/maek/internal/cli/demo"
	"github.com/maek-dev/maek/internal/cli/diagnose"
	"github.com/maek-dev/maek/internal/cli/dump"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/explain"
	"github.com/maek-dev/maek/internal/cli/install"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/machine"
	"github.com/maek-dev/maek/internal/cli/probe"
	"github.com/maek-dev/maek/internal/cli/resilience"
	listing "github.com/maek-dev/maek/internal/cli/rules"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/cli/version"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/rule"
)

const long = `Maek takes the pulse of a Kubernetes cluster: what is wrong, why, how far it reaches, and what to do.

Without a command it diagnoses the cluster that kubectl talks to. It only reads; check,
install --apply and machine --repair alone change something. All of kubectl's connection flags work, those not listed
below too (--server, --token, ...).

Exit codes: 0 nothing at or above --fail-on, 1 incidents, 2 too little could be checked to say, 64 wrong usage,
70 Maek itself failed.`

// Run carries out one command line and returns the exit code of the process.
func Run(ctx context.Context, inv *invocation.Invocation, rules []rule.Rule, args []string) exit.Code {
	cmd := newCommand(inv, rules)
	// cobra takes nil for "those of the process".
	cmd.SetArgs(append([]string{}, args...))
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exit.OK
	}
	if e, ok := errors.AsType[*exit.Error](err); ok && e.Err == nil {
		return e.Code
	}
	// Where even this cannot be written, the exit code must do.
	// Errors quote file names and objects, which anybody may have written.
	_, _ = fmt.Fprintf(inv.ErrOut, "%s: %s\n", inv.Program, report.Clean(err.Error()))
	return exit.CodeOf(err)
}

// newCommand makes the root command with all others below it.
func newCommand(inv *invocation.Invocation, rules []rule.Rule) *cobra.Command {
	var (
		connection source.Connection
		display    invocation.Display
	)
	root := &cobra.Command{
		Use:           "kubectl-maek",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: inv.Program},
		Short:         "Take the pulse of a Kubernetes cluster",
		Long:          long,
		Args:          noCommand(inv.Program),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if display.Lang != "" && display.Lang != "en" && display.Lang != "ko" {
				return exit.Misused("--lang %q is no language; write en or ko", display.Lang)
			}
			return nil
		},
	}
	root.SetOut(inv.Out)
	root.SetErr(inv.ErrOut)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.Misused("%w; see %s --help", err, cmd.CommandPath())
	})
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	connection.Add(root)
	flags := root.PersistentFlags()
	flags.StringVar(&display.Lang, "lang", "", "language of the text: en or ko (default from LC_ALL, LC_MESSAGES, LANG)")
	flags.BoolVar(&display.NoColor, "no-color", false, "no colours, even on a terminal (NO_COLOR does the same)")
	diagnose.Bind(root, inv, &connection, &display, rules)
	root.AddCommand(
		diagnose.New(inv, &connection, &display, rules),
		resilience.New(inv, &connection, &display, rules),
		dump.New(inv, &connection, rules),
		machine.New(inv, &display, rules),
		check.New(inv, &connection),
		probe.New(inv, &connection, &display),
		listing.New(inv, &display, rules),
		explain.New(inv, &display, rules),
		demo.New(inv, &display, rules),
		install.New(inv, &connection, rules),
		version.New(inv),
	)
	strict(root)
	return root
}

// noCommand refuses an argument that is no command.
func noCommand(program string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return exit.Misused("there is no command %q; write %s %s", args[0], program, near[0])
		}
		return exit.Misused("there is no command %q; see %s --help", args[0], program)
	}
}

// strict makes an argument too many wrong usage in every command.
func strict(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		check := cmd.Args
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				if _, ok := errors.AsType[*exit.Error](err); ok {
					return err
				}
				return exit.Misused("%s takes no argument %q; leave it out, or see %[1]s --help", cmd.CommandPath(), args[0])
			}
			return nil
		}
	}
}
