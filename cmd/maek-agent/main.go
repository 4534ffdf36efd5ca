// Maek-agent watches the machine that it runs on, and answers what is wrong with it, also when the
// cluster has no API server. This file gives it the world that it runs in; what it does is in
// internal/agent.
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

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/agent"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/rules"
)

// version is set by release builds: -ldflags "-X main.version=v0.1.0".
var version string

func main() { os.Exit(run()) }

func run() int {
	o := agent.Options{Version: build(), Rules: rules.All(), Clock: clock.RealClock{}}
	flags := pflag.NewFlagSet("maek-agent", pflag.ContinueOnError)
	flags.StringVar(&o.Root, "root", "/host", "where the host's file system is")
	flags.StringVar(&o.Node, "node", os.Getenv("NODE_NAME"), "name of the Node object of this machine")
	flags.StringVar(&o.Namespace, "namespace", cmp.Or(os.Getenv("POD_NAMESPACE"), "maek-system"), "namespace of the agents' pods")
	flags.StringVar(&o.StatePath, "state", monitor.StatePath, "the agent's own folder")
	flags.StringVar(&o.SocketPath, "socket", monitor.SocketPath, "the socket for root on this machine")
	flags.Uint16Var(&o.Port, "port", monitor.Port, "port of all agents")
	flags.BoolVar(&o.NodeConditions, "node-conditions", false, "write conditions of the own Node, and events")
	flags.StringVar(&o.Logs.ProblemDetector, "node-problem-detector-config", "", "a folder of the host with node-problem-detector's configuration files, to read logs by them too")
	flags.BoolVar(&o.Logs.RunPlugins, "run-plugins", false, "run the custom plugins that those files name, in the agent's own file system")
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server; without it, as a pod does")
	verbose := flags.Bool("verbose", false, "log requests too")
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case err != nil:
		return misused(err)
	case o.Node == "":
		return misused(errors.New("--node is missing, and NODE_NAME is not set"))
	}
	if err := o.Validate(); err != nil {
		return misused(err)
	}

	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	o.Log = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	// What client-go has to say of watches is evidence of the report, and else of interest to few.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	// The standard library logs what servers send unasked, by the package log, whose words go this way too then.
	// It is part of their answers, and told as such.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	var err error
	if o.Config, err = config(*kubeconfig); err != nil {
		o.Log.Warn("there is no API server to ask; the agent goes on with what it knows", "error", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := agent.Run(ctx, o); err != nil {
		o.Log.Error("the agent ends", "error", err)
		return 1
	}
	return 0
}

func misused(err error) int {
	fmt.Fprintf(os.Stderr, "maek-agent: %v\n", err)
	return 64
}

func config(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", kubeconfig)
}

// build names the version: the release's, else what the Go tool recorded.
func build() string {
	info, _ := debug.ReadBuildInfo()
	if version == "" && info != nil {
		return info.Main.Version
	}
	return cmp.Or(version, "(unknown)")
}
