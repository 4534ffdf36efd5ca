//go:build linux

package faults

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/maek-dev/maek/test/faults/controlplane"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// run runs the tests again in a network of its own where control planes are asked for.
func run(m *testing.M) int {
	if *assets == "" {
		return m.Run()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // a process begins here
	defer stop()
	if !controlplane.Inside() {
		code, err := controlplane.Enter(ctx)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}
	klog.SetLogger(logr.Discard()) // API servers that are away are what is tested, not news
	if err := controlplane.PrepareNetwork(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "preparing a network of its own:", err)
		return 1
	}
	return m.Run()
}
