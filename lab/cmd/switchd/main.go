// Command switchd serves what the lab's switch offers the machines.
//
//	switchd -config FILE [-ready-fd N]
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/maek-dev/maek/lab/internal/switchd"
)

func main() {
	config := flag.String("config", "", "`file` with the configuration, in JSON")
	readyFD := flag.Int("ready-fd", -1, "write \"ready\" to this file descriptor and close it once everything is served")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *config, *readyFD)
	stop()
	if err != nil {
		slog.Error("switch ended", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, path string, readyFD int) error {
	config, err := switchd.ReadConfig(path)
	if err != nil {
		return err
	}
	return switchd.Run(ctx, config, slog.Default(), func(switchd.Addresses) {
		if readyFD < 0 {
			return
		}
		file := os.NewFile(uintptr(readyFD), "ready")
		_, err := file.WriteString("ready\n")
		if err := errors.Join(err, file.Close()); err != nil {
			slog.Warn("nobody was told that the switch is ready", "err", err)
		}
	})
}
