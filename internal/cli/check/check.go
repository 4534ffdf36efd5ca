// Package check is the command that runs stock checks once, as pods: one by its name, or the whole set to
// verify a cluster after an installation.
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/install"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/synthetic"
)

const long = `Run stock checks once, as pods in a namespace that is made for them and removed after: they act on the cluster as
its users do. Without a name the whole set, as verification after an installation: pods on every node, a Deployment
that is rolled, names, storage, and more; --list shows them all.

A check that takes options is given them by --set:

  %[1]s check http --set CHECK_URL=https://shop.example.com/ --set COUNT=5

With the whole set come the namespaces of the platform (--platform): all pods in them have to be well, and if they are
not, the cluster is not.

Exit codes: 0 all passed, 1 something failed, 2 something could not be checked, 64 wrong usage.`

// outputs that -o takes.
const (
	terminal   = "terminal"
	jsonOutput = "json"
)

// maxTimeout of one check. What a killed run left is removed after all its checks' time is over.
const maxTimeout = 24 * time.Hour

// platformCheck is the scenario that looks at a namespace of the platform, and platformOption its option
// that names the namespace.
const (
	platformCheck  = "pod-status"
	platformOption = "TARGET_NAMESPACE"
	// storageCheck belongs to the whole set where there is a default StorageClass.
	storageCheck = "storage"
)

// New makes the command.
func New(inv *invocation.Invocation, connection *source.Connection) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "check [NAME...]",
		Short: "Run stock checks once, as pods: by name, or the whole set to verify a cluster",
		Long:  fmt.Sprintf(long, inv.Program),
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.list {
				return list(inv.Out)
			}
			tasks, err := o.tasks(args)
			if err != nil {
				return err
			}
			if connection.Namespace() != "" {
				return exit.Misused("-n %s: checks run in a namespace of their own; leave out -n, or name namespaces of the platform with --platform", connection.Namespace())
			}
			return o.run(cmd.Context(), inv, connection, tasks)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return names(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	set := cmd.Flags()
	set.BoolVar(&o.list, "list", false, "list the checks and their options instead")
	set.StringArrayVar(&o.set, "set", nil, "NAME=VALUE of an option of the check; may be repeated")
	set.StringSliceVar(&o.platform, "platform", []string{"kube-system"}, "namespaces whose pods have to be well; with the whole set only")
	set.StringVar(&o.image, "image", "", "image of the checker; by default "+install.CheckerRepository+" of this version")
	set.DurationVar(&o.timeout, "timeout", 0, "how long each check may take; by default what it needs at most")
	set.IntVar(&o.parallel, "parallel", 4, "how many checks run at once")
	set.StringVarP(&o.output, "output", "o", terminal, "how to print it: terminal, json")
	return cmd
}

// options of the command.
type options struct {
	list          bool
	set, platform []string
	image, output string
	timeout       time.Duration
	parallel      int
}

// task is one check to run.
type task struct {
	// title under which its result is printed.
	title    string
	scenario synthetic.Scenario
	env      map[string]string
	// defaultClass tells that it is skipped where no StorageClass is the default.
	defaultClass bool
}

// tasks turns the command line into checks, or says what is wrong with it.
func (o *options) tasks(args []string) ([]task, error) {
	switch {
	case o.output != terminal && o.output != jsonOutput:
		return nil, exit.Misused("-o %q is no output; write one of: terminal, json", o.output)
	case o.timeout < 0 || o.timeout > maxTimeout:
		return nil, exit.Misused("--timeout %s is no time that a check may take; write one above zero and up to %s, such as --timeout 5m", o.timeout, maxTimeout)
	case o.parallel < 1 || o.parallel > 32:
		return nil, exit.Misused("--parallel %d is no number of checks at once; write 1 to 32", o.parallel)
	case len(o.set) > 0 && len(args) != 1:
		return nil, exit.Misused("--set gives options to one check: name it, as in check http --set CHECK_URL=https://example.com/")
	}
	if len(args) == 0 {
		return o.wholeSet(), nil
	}
	var out []task
	for _, name := range args {
		s, known := synthetic.All.Find(name)
		if !known {
			return nil, exit.Misused("there is no check %q; write one of: %s", name, strings.Join(names(), ", "))
		}
		env, err := environment(s, o.set)
		if err != nil {
			return nil, err
		}
		out = append(out, task{title: s.Name, scenario: s, env: env})
	}
	return out, nil
}

// wholeSet is all that can be run without options, and the namespaces of the platform.
func (o *options) wholeSet() []task {
	var out []task
	for _, s := range synthetic.All.All() {
		if s.Standing || s.Name == storageCheck {
			out = append(out, task{title: s.Name, scenario: s, defaultClass: s.Name == storageCheck})
		}
	}
	if s, known := synthetic.All.Find(platformCheck); known {
		for _, namespace := range o.platform {
			out = append(out, task{title: s.Name + " " + namespace, scenario: s, env: map[string]string{platformOption: namespace}})
		}
	}
	return out
}

// environment reads NAME=VALUE pairs.
func environment(s synthetic.Scenario, pairs []string) (map[string]string, error) {
	env := map[string]string{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		known := slices.ContainsFunc(s.Options, func(o synthetic.Option) bool { return o.Name == name })
		switch {
		case !ok:
			return nil, exit.Misused("--set %q sets nothing; write NAME=VALUE", pair)
		case !known && len(s.Options) == 0:
			return nil, exit.Misused("--set %s: %s takes no options; leave it out", name, s.Name)
		case !known:
			return nil, exit.Misused("--set %s: %s has no such option; write one of: %s", name, s.Name, strings.Join(optionNames(s), ", "))
		}
		env[name] = value
	}
	return env, nil
}

func names() []string {
	var out []string
	for _, s := range synthetic.All.All() {
		out = append(out, s.Name)
	}
	return out
}

func optionNames(s synthetic.Scenario) []string {
	out := make([]string, len(s.Options))
	for i, o := range s.Options {
		out[i] = o.Name
	}
	return out
}

// run runs the tasks and prints what came of them.
func (o *options) run(ctx context.Context, inv *invocation.Invocation, connection *source.Connection, tasks []task) error {
	cfg, err := connection.Config(inv.Program)
	if err != nil {
		return err
	}
	r, err := newRunner(cfg, cmp.Or(o.image, install.CheckerRepository+":"+inv.Version), o.timeout)
	if err != nil {
		return err
	}
	p := printer{out: inv.Out, color: inv.Report(invocation.Display{}).Color, quiet: o.output == jsonOutput}
	if inv.ErrTerminal {
		p.progress = inv.ErrOut
	}
	results, err := r.runAll(ctx, tasks, o.parallel, &p)
	if err != nil {
		return err
	}
	if err := p.end(results); err != nil {
		return fmt.Errorf("printing the results: %w", err)
	}
	if ctx.Err() != nil {
		return &exit.Error{Code: exit.Unknown, Err: errors.New("interrupted; what the checks made is being removed")}
	}
	return exit.With(code(results))
}

// code is the exit code: what failed counts before what could not be checked.
func code(results []result) exit.Code {
	c := exit.OK
	for _, r := range results {
		switch r.Result {
		case failed:
			return exit.Incidents
		case unknown:
			c = exit.Unknown
		case passed, skipped:
		}
	}
	return c
}
