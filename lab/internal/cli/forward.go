package cli

import (
	"context"
	"log/slog"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/lab/internal/forward"
	"github.com/maek-dev/maek/lab/internal/network"
)

// forward is run by `lab up` in the background.
func (a *app) forward() *cobra.Command {
	var listen, namespace, target string
	var readyFD int
	cmd := &cobra.Command{
		Use:    "forward",
		Short:  "Pass connections on into the lab",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			forwarder := &forward.Forwarder{
				Listen: listen,
				Dial: func(ctx context.Context) (net.Conn, error) {
					return network.DialIn(ctx, namespace, target)
				},
				Log: slog.New(slog.NewTextHandler(a.Err, nil)),
			}
			return forwarder.Run(cmd.Context(), func() error {
				ready := os.NewFile(uintptr(readyFD), "ready")
				if _, err := ready.WriteString("ready\n"); err != nil {
					return err
				}
				return ready.Close()
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&listen, "listen", "", "`IP:PORT` to listen at")
	flags.StringVar(&namespace, "namespace", network.SwitchNamespace, "network `namespace` of the target")
	flags.StringVar(&target, "target", "", "`IP:PORT` to connect to")
	flags.IntVar(&readyFD, "ready-fd", -1, "write \"ready\" to this file `descriptor` once connections are accepted")
	return cmd
}
