// Command components builds the programs of a lab cluster into the cache, or
// prints where they are.
//
//	components build [NAME...]
//	components path PROGRAM
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/maek-dev/maek/lab/internal/component"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "components:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: components build [NAME...] | components path PROGRAM")
	}
	cache, err := component.Open(time.Now, func(e component.Event) { fmt.Fprintln(os.Stderr, e) })
	if err != nil {
		return err
	}
	switch {
	case args[0] == "build":
		return cache.Build(ctx, args[1:]...)
	case args[0] == "path" && len(args) == 2:
		path, err := cache.Path(args[1])
		if err != nil {
			return err
		}
		fmt.Println(path)
		return nil
	default:
		return errors.New("usage: components build [NAME...] | components path PROGRAM")
	}
}
