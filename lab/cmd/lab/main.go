// Command lab makes a real Kubernetes cluster on one Linux machine; see the README in the folder lab.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/maek-dev/maek/lab/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := cli.New(cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, time.Now).ExecuteContext(ctx)
	stop()
	if exit, ok := errors.AsType[*cli.ExitError](err); ok {
		os.Exit(exit.Code)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}
