// Package probe is the command that explains the probes of containers: what their specs mean, what the
// kubelet has seen of them, what they answer now, and what follows from that. It changes nothing in the
// cluster.
package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/source"
)

const long = `Explain the probes of a pod, or of the worst pods of a workload or Service: what each spec means, what the kubelet
has seen, what the probe answers now, and what happens when it fails.

HTTP, TCP and gRPC probes are asked from the pod's node, where an agent runs there, and by a port-forward; commands by
exec; each with the probe's own timeout and judged as the kubelet judges. Nothing is changed in the cluster; --no-ask asks nothing.

  %[1]s probe deploy/front -n shop
  %[1]s probe front-6b7f-x2x9k -n shop -c web --watch
  %[1]s probe --audit -n shop -o patch | sh

Exit codes: 0 all pass, 1 a probe fails or the audit warns, 2 it could not be told, 64 wrong usage.`

// Names that -o takes.
const (
	terminal = "terminal"
	asJSON   = "json"
	asPatch  = "patch"
)

// DefaultTimeout is how long reading and asking may take together.
const DefaultTimeout = 45 * time.Second

// options of the command.
type options struct {
	connection *source.Connection
	display    *invocation.Display

	container, output, from string
	noAsk, watch, audit     bool
	timeout                 time.Duration
}

// New makes the command.
func New(inv *invocation.Invocation, connection *source.Connection, display *invocation.Display) *cobra.Command {
	o := options{connection: connection, display: display}
	cmd := &cobra.Command{
		Use:   "probe POD | KIND/NAME",
		Short: "Explain the probes of containers: what they mean, what was seen, what they answer now",
		Long:  fmt.Sprintf(long, inv.Program),
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(args); err != nil {
				return err
			}
			return o.run(cmd.Context(), inv, args)
		},
	}
	set := cmd.Flags()
	set.StringVarP(&o.container, "container", "c", "", "only this container")
	set.StringVarP(&o.output, "output", "o", terminal, "how to print it: terminal, json; with --audit also patch, a script of kubectl commands for sh")
	set.StringVar(&o.from, "ask", "", "from where to ask: node (by its agent), forward (a port-forward), exec (HTTP probes by curl in the container, at the pod's own address); left out, node and forward")
	set.BoolVar(&o.noAsk, "no-ask", false, "do not ask the probes; say only what the spec means and what was seen")
	set.BoolVarP(&o.watch, "watch", "w", false, "show what happens, as it happens, until interrupted")
	set.BoolVar(&o.audit, "audit", false, "judge how probes are configured, with the patches that mend them; without a name the whole namespace")
	set.DurationVar(&o.timeout, "timeout", DefaultTimeout, "how long reading and asking may take")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{terminal, asJSON, asPatch}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// validate refuses what makes no sense.
func (o *options) validate(args []string) error {
	switch {
	case o.output != terminal && o.output != asJSON && o.output != asPatch:
		return exit.Misused("-o %q is no output; write one of: terminal, json, patch", o.output)
	case o.output == asPatch && !o.audit:
		return exit.Misused("-o patch is for --audit, which finds what to patch; add --audit")
	case o.audit && o.watch:
		return exit.Misused("--audit judges once; leave out --watch, or --audit")
	case o.from != "" && o.from != askNode && o.from != askForward && o.from != askExec:
		return exit.Misused("--ask %q is no way to ask; write one of: node, forward, exec", o.from)
	case o.from != "" && o.noAsk:
		return exit.Misused("--ask and --no-ask exclude each other; leave one out")
	case o.timeout <= 0:
		return exit.Misused("--timeout %s leaves no time at all; write a duration above zero, such as --timeout 30s", o.timeout)
	case len(args) > 2:
		return exit.Misused("%q are too many names; write POD or KIND/NAME", strings.Join(args, " "))
	case len(args) == 0 && !o.audit:
		return exit.Misused("whose probes? write POD, or KIND/NAME such as deploy/front; --audit alone judges all of a namespace")
	}
	return nil
}

func (o *options) run(ctx context.Context, inv *invocation.Invocation, args []string) error {
	if o.audit {
		return o.runAudit(ctx, inv, args)
	}
	namespace, err := o.connection.ObjectNamespace()
	if err != nil {
		return err
	}
	t, err := parseTarget(namespace, args)
	if err != nil {
		return err
	}
	cfg, err := o.connection.Config(inv.Program)
	if err != nil {
		return err
	}
	r, err := newReader(cfg)
	if err != nil {
		return exit.Misused("the kubeconfig cannot be used: %w; mend it, or write --context with another", err)
	}
	look := &looking{options: o, inv: inv, reader: r, target: t}
	if o.watch {
		return look.watch(ctx)
	}
	doc, err := look.once(ctx)
	if err != nil {
		return err
	}
	if o.output == asJSON {
		err = doc.printJSON(inv.Out)
	} else {
		err = doc.page(inv.Report(*o.display)).Write(inv.Out)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return exit.With(code(doc.Verdict))
}

func code(v verdict) exit.Code {
	switch v {
	case failing:
		return exit.Incidents
	case unknown:
		return exit.Unknown
	default:
		return exit.OK
	}
}

// looking is one run of the command over one target.
type looking struct {
	*options

	inv    *invocation.Invocation
	reader *reader
	target target
}

// once reads, asks and describes.
func (l *looking) once(parent context.Context) (document, error) {
	ctx, cancel := context.WithTimeout(parent, l.timeout)
	defer cancel()
	e, err := l.reader.read(ctx, l.target)
	if err != nil {
		return document{}, plainly(err)
	}
	if err := l.known(e); err != nil {
		return document{}, err
	}
	return l.describe(e, l.ask(ctx, e)).document(), nil
}

// plainly says of a target without pods what to do.
func plainly(err error) error {
	if none, ok := errors.AsType[noPodsError](err); ok {
		hint := "scale it up, or name another"
		switch none.of.kind {
		case "Job", "CronJob":
			hint = "none has begun, or those that ended are cleaned up; name another"
		case "DaemonSet":
			hint = "no node fits it; name another"
		case "Service":
			hint = "nothing that runs fits its selector; name another"
		}
		return exit.Misused("%w; %s", none, hint)
	}
	return err
}

// known refuses a container that none of the pods has.
func (l *looking) known(e *evidence) error {
	if l.container == "" {
		return nil
	}
	var names []string
	for _, pod := range e.pods {
		for _, c := range containersOf(pod) {
			if c.spec.Name == l.container {
				return nil
			}
			if !slices.Contains(names, c.spec.Name) {
				names = append(names, c.spec.Name)
			}
		}
	}
	return exit.Misused("%s has no container %q that may have probes; write one of: %s", l.target, l.container, strings.Join(names, ", "))
}

// ask asks all probes that can be; nil where nothing was to be asked.
func (l *looking) ask(ctx context.Context, e *evidence) map[key][]asked {
	if l.noAsk {
		return nil
	}
	var all []one
	for _, o := range e.probes(l.container) {
		if e.silent(o).IsZero() {
			all = append(all, o)
		}
	}
	a := &asker{config: l.reader.config, now: l.inv.Now, after: l.inv.After, from: l.from}
	if l.from == "" || l.from == askNode {
		a.agents = l.reader.agents(ctx, e)
	}
	return a.askAll(ctx, all)
}

func (l *looking) describe(e *evidence, answers map[key][]asked) *describer {
	options := l.inv.Report(*l.display)
	return &describer{
		evidence: e, container: l.container, answers: answers, now: l.inv.Now(), language: options.Language, location: options.Location,
	}
}
