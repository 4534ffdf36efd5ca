// Maek-checker is the program of checker pods: it runs one of Maek's scenarios and reports what it found,
// also to Kuberhealthy. It is the program of the pods that scenarios make too. This file gives it the
// world that it runs in; what it does is in internal/checker and internal/synthetic.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // CronJobs name time zones, and an image of one file has none.

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/checker"
	"github.com/maek-dev/maek/internal/synthetic"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What client-go has to say is in the errors of requests.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	// The standard library logs what servers send unasked, by the package log, whose words go this way too then.
	// It is part of their answers, and told as such.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	// Without a name there is none to tell the option HOSTNAME from.
	hostname, _ := os.Hostname()
	return checker.Run(ctx, checker.Options{
		Args: os.Args, Getenv: os.Getenv, Hostname: hostname, Catalog: &synthetic.All,
		Config: config, TerminationLog: "/dev/termination-log",
		Stdout: os.Stdout, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Clock: clock.RealClock{},
	})
}

// config finds the API server as kubectl does, and in a pod by what every pod has.
func config() (*rest.Config, error) {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
}
