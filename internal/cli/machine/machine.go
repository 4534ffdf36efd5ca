// Package machine is the command that looks at the machine on which it runs, without an API server: it
// diagnoses the machine, and through the machine's agent the cluster as seen from this side; it prints
// the values themselves; it follows the logs; and it restarts a unit.
package machine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/internal/cli/diagnose"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/machine/show"
	"github.com/maek-dev/maek/internal/rule"
)

const long = `Look at the machine on which this runs, as root, without an API server and without a kubeconfig.

Without further flags it diagnoses the machine with the rules that kubectl maek has too. Where Maek's agent runs, it
also asks the agents of all other machines through it, and so sees the cluster as this machine sees it.

  --show PART     prints the values themselves, healthy or not; parts are
                  %s,
                  and all
  --follow        prints new lines of all logs as they come, until Ctrl-C; sources can be named after it
  --repair UNIT   restarts a unit, if that can help: one of %s;
                  it only says what it would do, unless --yes is there

With --etcd-hash every member of etcd also hashes all its keys, and the hashes are compared. Each member reads its whole
database for that, which slows it down: use it when members seem to differ, and not in passing.`

// Options of the command.
type Options struct {
	// Output of the diagnosis.
	Output diagnose.Options
	// Show names the part whose values are printed; empty asks for the diagnosis.
	Show string
	// Follow prints the logs.
	Follow bool
	// Repair names the unit to restart.
	Repair string
	// Yes restarts it, and Force does so again within the time in which it would be refused.
	Yes, Force bool
	// EtcdHash has the members of etcd compare all their keys.
	EtcdHash bool
	// Root is where the file system of the host is.
	Root string
	// Rules to run.
	Rules []rule.Rule
}

// outputOfValues are the forms in which --show prints.
var outputOfValues = []string{diagnose.Terminal, "json", "yaml"}

// New makes the command.
func New(inv *invocation.Invocation, display *invocation.Display, rules []rule.Rule) *cobra.Command {
	inv = typed(inv)
	o := &Options{Output: diagnose.Options{Display: display, Rules: rules}, Rules: rules}
	cmd := &cobra.Command{
		Use:   "machine",
		Short: "Diagnose the machine on which this runs, as root and without an API server",
		Long:  fmt.Sprintf(long, strings.Join(show.Parts(), ", "), strings.Join(repairable, ", ")),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 && !o.Follow {
				return exit.Misused("machine takes no argument %q; after --follow there can be names of log sources", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(cmd.Context(), inv, args)
		},
	}
	o.Output.AddOutput(cmd)
	o.Output.AddFailOn(cmd)
	set := cmd.Flags()
	set.StringVar(&o.Show, "show", "", "print the values of this part, or of all")
	set.BoolVarP(&o.Follow, "follow", "f", false, "print new lines of the machine's logs as they come")
	set.StringVar(&o.Repair, "repair", "", "restart this unit, if that can help")
	set.BoolVar(&o.Yes, "yes", false, "with --repair: do it")
	set.BoolVar(&o.Force, "force", false, "with --repair: also where that was done a moment ago")
	set.BoolVar(&o.EtcdHash, "etcd-hash", false, "have every member of etcd read its whole database, and compare them")
	set.StringVar(&o.Root, "root", "/", "where the host's file system is")
	// The flags are registered just above, so completing them cannot fail.
	_ = cmd.RegisterFlagCompletionFunc("show", cobra.FixedCompletions(append(show.Parts(), show.All), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("repair", cobra.FixedCompletions(repairable, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// typed lets what is printed name the program as it can be typed on a machine: kubectl is on few of them,
// and what it runs as "kubectl maek" is kubectl-maek on the same PATH.
func typed(inv *invocation.Invocation) *invocation.Invocation {
	here := *inv
	if here.Program == "kubectl maek" {
		here.Program = "kubectl-maek"
	}
	return &here
}

func (o *Options) validate() error {
	asked := 0
	for _, yes := range []bool{o.Show != "", o.Follow, o.Repair != ""} {
		if yes {
			asked++
		}
	}
	if asked > 1 {
		return exit.Misused("--show, --follow and --repair do different things; write one of them")
	}
	if o.EtcdHash && (o.Follow || o.Repair != "") {
		return exit.Misused("--etcd-hash is for the diagnosis and for --show etcd; leave out --follow and --repair")
	}
	if (o.Yes || o.Force) && o.Repair == "" {
		return exit.Misused("--yes and --force are for --repair; write --repair UNIT, or leave them out")
	}
	if o.Show != "" {
		if !slices.Contains(append(show.Parts(), show.All), o.Show) {
			return exit.Misused("--show %q is no part; write one of: %s, all", o.Show, strings.Join(show.Parts(), ", "))
		}
		if !slices.Contains(outputOfValues, o.Output.Output) {
			return exit.Misused("-o %q does not print values; with --show write one of: %s", o.Output.Output, strings.Join(outputOfValues, ", "))
		}
		return nil
	}
	if o.Repair != "" {
		unit := unitName(o.Repair)
		if unit == "etcd" {
			return exit.Misused("--repair does not restart etcd: while another member is down that costs the quorum, and space, time or a peer, " +
				"which it may lack, do not come of it; see machine --show etcd")
		}
		if !slices.Contains(repairable, unit) {
			return exit.Misused("--repair restarts no %q; write one of: %s", o.Repair, strings.Join(repairable, ", "))
		}
	}
	if err := o.Output.ValidateOutput(); err != nil {
		return err
	}
	return o.Output.ValidateFailOn()
}

// repairable are the units that a restart may heal and that hold no data: what runs beneath pods goes on
// running, or is made anew by the kubelet. etcd is not among them: with another member down its restart
// costs the quorum, and what etcd lacks is space, time or a peer, none of which comes of a restart.
var repairable = []string{"kubelet", "containerd", "docker", "crio", "flanneld", "kube-proxy"}

// unitName is a unit's name without its ending.
func unitName(name string) string { return strings.TrimSuffix(name, ".service") }

func (o *Options) run(ctx context.Context, inv *invocation.Invocation, args []string) error {
	switch {
	case o.Follow:
		return o.follow(ctx, inv, args)
	case o.Show != "":
		return o.show(ctx, inv)
	case o.Repair != "":
		return o.repair(ctx, inv)
	default:
		return o.diagnose(ctx, inv)
	}
}

// lookTime bounds looking at this machine, its agent and the others together, unless a monitor was asked for what
// takes longer.
const lookTime = 20 * time.Second
