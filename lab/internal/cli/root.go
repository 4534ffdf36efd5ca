// Package cli is the command line of the lab: flags, words for people, and which package does what.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/lab/internal/cgroup"
	"github.com/maek-dev/maek/lab/internal/cluster"
	"github.com/maek-dev/maek/lab/internal/command"
	"github.com/maek-dev/maek/lab/internal/component"
	"github.com/maek-dev/maek/lab/internal/progress"
	"github.com/maek-dev/maek/lab/internal/state"
)

// Streams are what commands read and write.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// app is what all commands share.
type app struct {
	Streams
	now       func() time.Time
	directory state.Directory
}

// ExitError ends the program with a code of its own and without a word: the program that `lab exec` ran has said all.
type ExitError struct {
	// Code is the exit code.
	Code int
}

func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// New returns the lab's command line. It reads the time from now.
func New(streams Streams, now func() time.Time) *cobra.Command {
	a := &app{Streams: streams, now: now, directory: state.DefaultDirectory}
	root := &cobra.Command{
		Use:   "lab",
		Short: "A real Kubernetes cluster on one Linux machine",
		Long: `lab makes a real Kubernetes cluster on this machine, without Docker and without a registry: each node is a
systemd-nspawn container with a kernel network namespace, disks, systemd and a journal of its own, joined
by a switch. Faults are the real thing: stop a unit, cut a cable, pull the power.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			// `lab down` finds what a killed command left running by this mark.
			return os.Setenv(command.OwnerVariable, string(a.directory))
		},
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.AddCommand(
		a.up(), a.down(), a.status(), a.env(), a.exec(), a.cut(), a.join(), a.powerOff(), a.powerOn(), a.load(),
		a.build(), a.prerequisites(), a.forward(),
	)
	return root
}

// programs returns the cache of built programs.
func (a *app) programs(printer *progress.Printer) (*component.Cache, error) {
	return component.Open(a.now, func(e component.Event) { printer.Say("         " + e.String()) })
}

// open returns the lab that is there, for a command that changes nothing on the host.
func (a *app) open() (*cluster.Lab, error) {
	lab := &cluster.Lab{Directory: a.directory, Progress: progress.New(a.Err, a.now)}
	if err := requireRoot(); err != nil {
		return nil, err
	}
	if err := a.directory.Load(&lab.Description); err != nil {
		return nil, err
	}
	var err error
	if lab.Programs, err = a.programs(lab.Progress); err != nil {
		return nil, err
	}
	lab.Layout, err = cgroup.Detect()
	return lab, err
}

// change runs do on the lab that is there, with the lock held and the journal open.
func (a *app) change(what string, do func(*cluster.Lab) error) error {
	lab, err := a.open()
	if err != nil {
		return err
	}
	return a.locked(what, lab, do)
}

// locked runs do with the lock held and the journal open.
func (a *app) locked(what string, lab *cluster.Lab, do func(*cluster.Lab) error) (err error) {
	unlock, err := a.lock(what)
	if err != nil {
		return err
	}
	defer unlock()
	lab.Journal, err = state.OpenJournal(a.directory.JournalPath())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Journal.Close()) }()
	return do(lab)
}

func (a *app) lock(what string) (unlock func(), err error) {
	return a.directory.Lock(fmt.Sprintf("lab %s, process %d", what, os.Getpid()))
}

// explain adds to an error what the person can do about what is left behind.
func explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = errors.New("stopped half-way")
	}
	return fmt.Errorf("%w\nWhat was made so far is still there; `lab down` removes it", err)
}

func requireRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("the lab belongs to root: run it with sudo")
	}
	return nil
}

// joinNames joins names for a sentence.
func joinNames(names []string) string { return strings.Join(names, ", ") }
