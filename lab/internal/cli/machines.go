package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/lab/internal/cluster"
	"github.com/maek-dev/maek/lab/internal/machine"
	"github.com/maek-dev/maek/lab/internal/network"
)

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the machines and their nodes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lab, err := a.open()
			if err != nil {
				return err
			}
			if !lab.Ready {
				_, _ = fmt.Fprintln(a.Out, "The lab is unfinished: `lab up` is still at work, or it failed and `lab down` removes what it made.")
			}
			table := tabwriter.NewWriter(a.Out, 0, 0, 3, ' ', 0)
			_, _ = fmt.Fprintln(table, "MACHINE\tROLE\tADDRESS\tPOWER\tCABLE\tNODE")
			nodes := lab.Nodes(cmd.Context())
			for _, spec := range lab.Machines {
				on, connected, err := lab.Online(cmd.Context(), spec)
				if err != nil {
					return err
				}
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", spec.Name, spec.Role, spec.Address,
					word(on, "on", "off"), word(connected, "joined", "cut"), cmp.Or(nodes[spec.Name].Readiness, "?"))
			}
			if err := table.Flush(); err != nil || nodes != nil {
				return err
			}
			_, err = fmt.Fprintln(a.Out, "The API does not answer, so what it says about nodes is not known.")
			return err
		},
	}
}

func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

func (a *app) env() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print shell commands that point kubectl at the lab: eval \"$(lab env)\"",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			lab, err := a.open()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.Out, "export KUBECONFIG=%s\nexport PATH=%s:$PATH\n", lab.KubeconfigPath(), lab.BinPath())
			return err
		},
	}
}

func (a *app) exec() *cobra.Command {
	return &cobra.Command{
		Use:     "exec MACHINE -- COMMAND [ARGUMENT...]",
		Short:   "Run a command on a machine",
		Example: "  lab exec w1 -- systemctl stop kubelet",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := a.open()
			if err != nil {
				return err
			}
			m, err := lab.Machine(args[0])
			if err != nil {
				return err
			}
			program, err := m.Command(cmd.Context(), args[1:]...)
			if err != nil {
				return err
			}
			program.Stdin, program.Stdout, program.Stderr = a.In, a.Out, a.Err
			err = program.Run()
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				return &ExitError{Code: exitCode(exit)}
			}
			return err
		},
	}
}

// signalled is what shells add to the number of the signal that ended a program.
const signalled = 128

func exitCode(exit *exec.ExitError) int {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return signalled + int(status.Signal())
	}
	return exit.ExitCode()
}

func (a *app) cut() *cobra.Command {
	return a.port("cut MACHINE", "Unplug a machine's network cable: its port on the switch goes down", false)
}

func (a *app) join() *cobra.Command {
	return a.port("join MACHINE", "Plug a machine's network cable in again", true)
}

func (a *app) port(use, short string, up bool) *cobra.Command {
	return a.onMachine(use, short, func(ctx context.Context, _ *cluster.Lab, m *machine.Machine) error {
		if leader, err := m.Leader(); err != nil || leader == 0 {
			return errors.Join(err, &machine.OffError{Machine: m.Name})
		}
		return network.SetPort(ctx, m.Name, up)
	})
}

func (a *app) powerOff() *cobra.Command {
	return a.onMachine("power-off MACHINE", "Cut a machine's power: all its processes are killed at once",
		func(ctx context.Context, _ *cluster.Lab, m *machine.Machine) error { return m.PowerOff(ctx) })
}

func (a *app) powerOn() *cobra.Command {
	return a.onMachine("power-on MACHINE", "Boot a machine that is off",
		func(ctx context.Context, lab *cluster.Lab, m *machine.Machine) error {
			leader, err := m.Leader()
			if err != nil {
				return err
			}
			if leader != 0 {
				return fmt.Errorf("%s is on already", m.Name)
			}
			// A machine that went down by itself has left its network card and control groups behind.
			if err := m.PowerOff(ctx); err != nil {
				return err
			}
			return lab.Progress.Step(m.Name+": booted", func() error { return m.Boot(ctx, lab.Journal) })
		})
}

func (a *app) onMachine(use, short string, do func(context.Context, *cluster.Lab, *machine.Machine) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.change(cmd.Name()+" "+args[0], func(lab *cluster.Lab) error {
				m, err := lab.Machine(args[0])
				if err != nil {
					return err
				}
				return do(cmd.Context(), lab, m)
			})
		},
	}
}

func (a *app) load() *cobra.Command {
	return &cobra.Command{
		Use:   "load IMAGE.tar...",
		Short: "Give images in archives to every machine that is on",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := a.open()
			if err != nil {
				return err
			}
			for _, archive := range args {
				err := lab.Progress.Step(archive+" loaded", func() error { return lab.LoadEverywhere(cmd.Context(), archive) })
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}
