package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/lab/internal/cgroup"
	"github.com/maek-dev/maek/lab/internal/cluster"
	"github.com/maek-dev/maek/lab/internal/host"
	"github.com/maek-dev/maek/lab/internal/node"
	"github.com/maek-dev/maek/lab/internal/progress"
	"github.com/maek-dev/maek/lab/internal/teardown"
)

func (a *app) up() *cobra.Command {
	options := cluster.Options{FlannelStore: node.StoreKubernetes}
	var install bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make a cluster and wait until all of it works",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := options.Validate(); err != nil {
				return err
			}
			printer := progress.New(a.Err, a.now)
			lab, err := a.newLab(cmd.Context(), printer, install)
			if err != nil {
				return err
			}
			if lab.Description, err = cluster.Describe(options); err != nil {
				return err
			}
			return a.make(cmd.Context(), lab)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&options.ControlPlanes, "control-planes", 1, "control-plane machines: 1 or 3")
	flags.IntVar(&options.Workers, "workers", 2, "other machines")
	flags.StringVar((*string)(&options.FlannelStore), "flannel-store", string(node.StoreKubernetes), "where flannel keeps subnets: kubernetes or etcd")
	flags.BoolVar(&options.Docker, "docker", false, "run Docker Engine beside containerd on every machine")
	flags.BoolVar(&options.Shop, "shop", true, "install the sample application")
	flags.BoolVar(&install, "install", false, "install missing Debian packages first")
	return cmd
}

// newLab returns a lab that is to be made, after a look whether it can be.
func (a *app) newLab(ctx context.Context, printer *progress.Printer, install bool) (*cluster.Lab, error) {
	if install {
		if err := a.install(ctx, printer); err != nil {
			return nil, err
		}
	}
	if err := host.Check(ctx); err != nil {
		return nil, err
	}
	layout, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	programs, err := a.programs(printer)
	if err != nil {
		return nil, err
	}
	return &cluster.Lab{Directory: a.directory, Layout: layout, Programs: programs, Progress: printer}, nil
}

func (a *app) make(ctx context.Context, lab *cluster.Lab) error {
	if err := a.requireNone(); err != nil {
		return err
	}
	err := a.locked("up", lab, func(lab *cluster.Lab) error { return lab.Up(ctx) })
	if err != nil {
		return explain(ctx, err)
	}
	lab.Progress.Total("in all")
	_, err = fmt.Fprintln(a.Out, "The lab is up. `eval \"$(lab env)\"` points kubectl at it.")
	return err
}

// requireNone refuses to make a lab over one that is there, or over what is left of one.
func (a *app) requireNone() error {
	var description cluster.Description
	err := a.directory.Load(&description)
	switch {
	case err == nil && description.Ready:
		return errors.New("there is a lab already; see it with `lab status`, remove it with `lab down`")
	case err == nil, a.directory.Exists():
		return errors.New("there is an unfinished lab; remove it with `lab down`")
	}
	return nil
}

func (a *app) install(ctx context.Context, printer *progress.Printer) error {
	packages := host.Missing()
	if len(packages) == 0 {
		return nil
	}
	return printer.Step("Debian packages installed: "+joinNames(packages), func() error { return host.Install(ctx, packages) })
}

func (a *app) prerequisites() *cobra.Command {
	var install bool
	cmd := &cobra.Command{
		Use:   "prerequisites",
		Short: "Say whether a lab can run on this host",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if install {
				if err := a.install(cmd.Context(), progress.New(a.Err, a.now)); err != nil {
					return err
				}
			}
			if err := host.Check(cmd.Context()); err != nil {
				return err
			}
			_, err := fmt.Fprintln(a.Out, "A lab can run here.")
			return err
		},
	}
	cmd.Flags().BoolVar(&install, "install", false, "install missing Debian packages")
	return cmd
}

func (a *app) build() *cobra.Command {
	var docker, install bool
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build what is kept between labs, so that `lab up` is quick",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			printer := progress.New(a.Err, a.now)
			lab, err := a.newLab(cmd.Context(), printer, install)
			if err != nil {
				return err
			}
			lab.Docker = docker
			err = a.locked("build", lab, func(lab *cluster.Lab) error {
				_, err := lab.Build(cmd.Context())
				return err
			})
			if err != nil {
				return explain(cmd.Context(), err)
			}
			printer.Total("in all")
			return nil
		},
	}
	cmd.Flags().BoolVar(&docker, "docker", false, "also what `lab up --docker` needs")
	cmd.Flags().BoolVar(&install, "install", false, "install missing Debian packages first")
	return cmd
}

func (a *app) down() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove the lab and all that is left of an unfinished one",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := requireRoot(); err != nil {
				return err
			}
			layout, err := cgroup.Detect()
			if err != nil {
				return err
			}
			existed := a.directory.Exists()
			unlock, err := a.lock("down")
			if err != nil {
				return err
			}
			defer unlock()
			printer := progress.New(a.Err, a.now)
			if err := printer.Step("lab removed", func() error { return teardown.Run(cmd.Context(), a.directory, layout) }); err != nil {
				return err
			}
			verb := "was"
			if !existed {
				verb = "is" // nothing had to be removed, but it was looked for all the same
			}
			_, err = fmt.Fprintf(a.Out, "The lab %s removed: no %s of it is left on this host.\n", verb, joinNames(teardown.Kinds()))
			return err
		},
	}
}
