// Package version is the command that says which build this is.
package version

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/internal/cli/invocation"
)

// New makes the command.
func New(inv *invocation.Invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := fmt.Fprintf(inv.Out, "kubectl-maek %s (%s, %s/%s)\n", inv.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH); err != nil {
				return fmt.Errorf("saying the version: %w", err)
			}
			return nil
		},
	}
}
