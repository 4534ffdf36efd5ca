// Package demo is the command that shows a diagnosis without a cluster: it replays a bundle that was
// recorded from a real one, in which a worker's kubelet was stopped and, apart from it, a Deployment
// was given an image that does not exist.
package demo

import (
	"context"
	"embed"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/internal/cli/diagnose"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/collect/bundle"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

// recordingName is the file of the recording. `kubectl maek dump` wrote it.
const recordingName = "demo.tar.gz"

//go:embed demo.tar.gz
var recording embed.FS

// next says how to go on.
var next = finding.Text{
	EN: `
This was a recording of a real cluster. Everything in it was found by the same rules that look at yours:
  on your cluster       %[1]s
  no cluster at hand?   make lab
  another recording     %[1]s --from BUNDLE
`,
	KO: `
실제 클러스터를 기록한 데모입니다. 사용 중인 클러스터도 같은 규칙으로 진단합니다.
  내 클러스터에서        %[1]s
  클러스터가 없다면      make lab
  다른 기록을 볼 때      %[1]s --from BUNDLE
`,
}

// New makes the command.
func New(inv *invocation.Invocation, display *invocation.Display, rules []rule.Rule) *cobra.Command {
	o := &diagnose.Options{Display: display, Rules: rules}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a diagnosis without a cluster, from a recording",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.ValidateOutput(); err != nil {
				return err
			}
			return run(cmd.Context(), inv, o)
		},
	}
	o.AddOutput(cmd)
	return cmd
}

// run prints the diagnosis of the recording. Showing it is a success, whatever it says.
func run(ctx context.Context, inv *invocation.Invocation, o *diagnose.Options) error {
	b, err := bundle.OpenFS(ctx, recording, recordingName)
	if err != nil {
		return fmt.Errorf("opening the recording: %w", err)
	}
	reading := source.Replay(ctx, inv, b, o.Rules)
	if err := o.Print(inv, diagnosis.Diagnose(reading.Result, o.Rules), reading); err != nil {
		return err
	}
	if o.Output != diagnose.Terminal {
		return nil
	}
	if _, err := fmt.Fprintf(inv.Out, next.In(inv.Language(*o.Display)), inv.Program); err != nil {
		return fmt.Errorf("saying how to go on: %w", err)
	}
	return nil
}
