// Maek-operator runs the checks of Kuberhealthy's APIs, shows their results as Kuberhealthy does, and
// diagnoses the cluster as it changes. What it does is in internal/operator and internal/statuspage.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // Checks name time zones, and an image of one file has none

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maek-dev/maek/internal/operator"
	"github.com/maek-dev/maek/internal/rules"
)

// version is set by release builds: -ldflags "-X main.version=v0.1.0".
var version string

func main() { os.Exit(run()) }

func run() int {
	f, err := parse(os.Args[1:], os.Getenv)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case err != nil:
		return misused(err)
	case f.version:
		_, _ = fmt.Fprintln(os.Stdout, build())
		return 0
	}
	o := f.options
	o.Version, o.Getenv, o.Clock, o.Level = build(), os.Getenv, clock.RealClock{}, new(slog.LevelVar)
	o.Log = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: o.Level}))
	if f.debug {
		o.Level.Set(slog.LevelDebug)
		o.Level = nil // the configuration does not take it back
	}
	if f.incidents {
		o.Rules = rules.All()
	}
	library := slog.New(operator.Quiet(o.Log.Handler()))
	klog.SetSlogLogger(library)
	// The standard library logs what servers send unasked, by the package log, whose words go this way too then.
	// It is part of their answers, and told as such.
	slog.SetDefault(library)
	log.SetLogger(logr.FromSlogHandler(library.Handler()))
	if o.Config, err = config(f.kubeconfig); err != nil {
		return misused(fmt.Errorf("finding the API server: %w", err))
	}
	if err := o.Validate(); err != nil {
		return misused(err)
	}
	patience()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := operate(ctx, o, f.compatibility); err != nil {
		o.Log.Error("the operator ends", "error", err)
		return 1
	}
	return 0
}

func operate(ctx context.Context, o operator.Options, compatibility bool) error {
	op, err := operator.New(o)
	if err != nil {
		return err
	}
	page, err := newPage(op, o, compatibility)
	if err != nil {
		return err
	}
	return op.Run(ctx, page.Server)
}

// patience makes client-go give up a connection whose API server vanished before this replica's Lease
// lapses (k8s.io/apimachinery/pkg/util/net/http.go); its own patience is 45 s.
func patience() {
	for name, seconds := range map[string]string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "3", "HTTP2_PING_TIMEOUT_SECONDS": "2"} {
		if _, set := os.LookupEnv(name); !set {
			_ = os.Setenv(name, seconds) // the name is one
		}
	}
}

// build names the version: the release's, else what the Go tool recorded.
func build() string {
	info, _ := debug.ReadBuildInfo()
	if version == "" && info != nil {
		return info.Main.Version
	}
	return cmp.Or(version, "(unknown)")
}
