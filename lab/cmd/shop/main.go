// Command shop runs one tier of the lab's application.
//
//	shop front | api | db | report
//
// It exits with 2 when its configuration is bad and with 1 on any other failure.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/maek-dev/maek/lab/internal/shop"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	logger := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	var tier string
	if len(os.Args) > 1 {
		tier = os.Args[1]
	}
	err := shop.Run(ctx, tier, environment(), logger)
	stop()
	if err != nil {
		logger.Error("ended", "tier", tier, "err", err)
		if errors.Is(err, shop.ErrConfig) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func environment() shop.Environment {
	env := shop.Environment{}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}
