// Package checker is the program of the checker pods that Maek makes: it runs one scenario, and reports
// what it found to whoever started it, to Maek or a Kuberhealthy of either version. The same program is
// the pods that scenarios make: it can do nothing, and it can serve.
package checker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/synthetic"
	"github.com/maek-dev/maek/internal/synthetic/launch"
)

// What the program ends with, as those who start it read it.
const (
	// ExitOK: nothing failed, or what failed was reported and taken.
	ExitOK = launch.ExitOK
	// ExitFailed: something failed, or the report was not taken.
	ExitFailed = launch.ExitFailed
	// ExitUnable: it could not be tried, for options or rights.
	ExitUnable = launch.ExitUnable
	// ExitMisused: the arguments make no sense.
	ExitMisused = launch.ExitMisused
)

// Options are what the program runs with.
type Options struct {
	// Args of the process; the first is the name that it was started under.
	Args []string
	// Getenv reads the environment.
	Getenv func(string) string
	// Hostname of the kernel: container runtimes put it into HOSTNAME too, which is an option of checks.
	Hostname string
	// Catalog holds the scenarios.
	Catalog *synthetic.Catalog
	// Config says how to reach the API server. Many scenarios do without one.
	Config func() (*rest.Config, error)
	// TerminationLog is the file that the kubelet reads a container's last words from; it is written only
	// where it exists.
	TerminationLog string
	// Stdout takes what was found, for people.
	Stdout io.Writer
	Log    *slog.Logger
	Clock  clock.WithTicker

	// dial opens the connections that reports go over; nil opens those of the network.
	dial dialer
}

const usage = `usage: %[1]s run NAME          runs a scenario, with options from the environment
       %[1]s list              lists the scenarios and their options
       %[1]s pause             does nothing until it is stopped
       %[1]s serve [--port N]  answers HTTP requests until it is stopped
       %[1]s write FILE TEXT   writes a text to a file of a volume
       %[1]s read FILE TEXT    fails where the file holds another text
`

// Run does what the arguments say and returns what the process ends with. It ends early with ctx, which
// the kubelet's signal ends, after it has cleaned up.
func Run(ctx context.Context, o Options) int {
	self, arguments := path.Base(o.Args[0]), o.Args[1:]
	if _, ok := o.Catalog.Find(self); ok && len(arguments) == 0 {
		// Started by the name of one of Kuberhealthy's programs.
		arguments = []string{"run", self}
	}
	command := ""
	if len(arguments) > 0 {
		command, arguments = arguments[0], arguments[1:]
	}
	switch {
	case command == "run" && len(arguments) == 1:
		return o.run(ctx, arguments[0])
	case command == "list" && len(arguments) == 0:
		o.list()
		return ExitOK
	case command == "pause" && len(arguments) == 0:
		pause(ctx)
		return ExitOK
	case command == "serve":
		return o.serve(ctx, arguments)
	case command == "write" && len(arguments) == 2:
		return o.write(arguments[0], arguments[1])
	case command == "read" && len(arguments) == 2:
		return o.read(arguments[0], arguments[1])
	case command == "help", command == "--help", command == "-h":
		fmt.Fprintf(o.Stdout, usage, "maek-checker")
		return ExitOK
	}
	o.Log.Error("the arguments make no sense", "arguments", o.Args[1:])
	fmt.Fprintf(o.Stdout, usage, "maek-checker")
	return ExitMisused
}

// run runs one scenario and tells everybody.
func (o Options) run(ctx context.Context, name string) int {
	scenario, ok := o.Catalog.Find(name)
	if !ok {
		o.Log.Error("there is no such scenario; list names those that there are", "name", name)
		return ExitMisused
	}
	r := o.newRun(scenario)
	outcome, unable := r.do(ctx)
	o.leave(outcome)
	o.print(scenario.Name, outcome)
	code := ExitOK
	switch {
	case unable:
		code = ExitUnable
	case !outcome.OK:
		code = ExitFailed
	}
	if r.reporter == nil {
		return code
	}
	if r.reported() {
		return ExitOK
	}
	return max(code, ExitFailed)
}

// leave writes the outcome as the container's last words.
func (o Options) leave(outcome synthetic.Outcome) {
	file, err := os.OpenFile(o.TerminationLog, os.O_WRONLY|os.O_TRUNC, 0)
	if errors.Is(err, os.ErrNotExist) || o.TerminationLog == "" {
		return
	}
	if err == nil {
		_, err = file.Write(outcome.Encode(synthetic.MaxOutcome))
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		o.Log.Warn("the outcome could not be left as termination message", "error", err)
	}
}

// print writes the outcome for people.
func (o Options) print(name string, outcome synthetic.Outcome) {
	word := "OK"
	if !outcome.OK {
		word = "FAILED"
	}
	fmt.Fprintf(o.Stdout, "%s: %s, after %.1f s\n", name, word, outcome.Seconds)
	for _, text := range outcome.Errors {
		fmt.Fprintf(o.Stdout, "  error: %s\n", text)
	}
	for _, node := range outcome.Nodes {
		if node.OK {
			fmt.Fprintf(o.Stdout, "  node %s: OK\n", node.Node)
		} else {
			fmt.Fprintf(o.Stdout, "  node %s: %s\n", node.Node, node.Message)
		}
	}
	for _, text := range outcome.Notes {
		fmt.Fprintf(o.Stdout, "  note: %s\n", text)
	}
}

// list writes what scenarios there are.
func (o Options) list() {
	for _, s := range o.Catalog.All() {
		fmt.Fprintf(o.Stdout, "%s\n  %s\n", s.Name, s.Doc)
		if len(s.Images) > 0 {
			fmt.Fprintf(o.Stdout, "  In place of: %s\n", strings.Join(s.Images, ", "))
		}
		for _, option := range s.Options {
			fmt.Fprintf(o.Stdout, "  %s", option.Name)
			if option.Default != "" {
				fmt.Fprintf(o.Stdout, "=%s", option.Default)
			}
			fmt.Fprintf(o.Stdout, "  %s\n", option.Doc)
		}
	}
}
