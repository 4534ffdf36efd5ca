// Kubectl-maek says what is wrong with a Kubernetes cluster, and why. As a kubectl plugin it is
// called `kubectl maek`. This file gives the command line the world that it runs in; what it does
// is in internal/cli.
package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // CronJobs name time zones, and the machine at hand may know none

	"golang.org/x/term"
	"k8s.io/klog/v2"

	"github.com/maek-dev/maek/internal/cli"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/rules"
)

// version is set by release builds: -ldflags "-X main.version=v0.1.0".
var version string

func main() { os.Exit(int(run())) }

// memoryLimit is where the garbage collector begins to work harder, in bytes. Without it a process takes
// twice what it holds: 913 MiB for a snapshot of 100,000 pods that is 509 MiB, and 595 MiB with it, for
// twice the processor time. Smaller clusters never come near it, and larger ones get what they need, for
// the runtime gives no more than half of the processors to that work (docs/performance.md).
const memoryLimit = 540 << 20

func run() exit.Code {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal ends the reading and lets the report be written; the next one ends the process.
	defer context.AfterFunc(ctx, stop)()
	// Whatever client-go would log is an error that finds its place in the report.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	// The standard library logs what servers send unasked, by the package log, whose words go this way too then.
	// It is part of their answers, and told as such.
	slog.SetDefault(slog.New(slog.DiscardHandler))

	columns, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		columns = 0
	}
	inv := &invocation.Invocation{
		Out:         os.Stdout,
		ErrOut:      os.Stderr,
		Program:     program(os.Args[0]),
		Version:     build(),
		Now:         time.Now,
		After:       time.After,
		Getenv:      os.Getenv,
		Location:    time.Local,
		OutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		ErrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Columns:     columns,
	}
	return cli.Run(ctx, inv, rules.All(), os.Args[1:])
}

// program is what the user typed. kubectl runs a plugin by the absolute path at which it found it;
// a shell passes on what stood on the command line.
func program(arg string) string {
	if filepath.IsAbs(arg) && strings.HasPrefix(filepath.Base(arg), "kubectl-maek") {
		return "kubectl maek"
	}
	return arg
}

// build names the version: the release's, else what the Go tool recorded.
func build() string {
	info, _ := debug.ReadBuildInfo()
	if version == "" && info != nil {
		return info.Main.Version
	}
	return cmp.Or(version, "(unknown)")
}
