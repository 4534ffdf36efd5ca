package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrCommandTimedOut is what a [Runner] returns when a command did not end in time.
var ErrCommandTimedOut = errors.New("command timed out")

// Runner runs commands in containers: through the container runtime on the node (ExecSync of CRI),
// or through the API server.
type Runner interface {
	// Run runs a command, without a shell, for as long as timeout. It returns its output, of which
	// a caller reads only the first [KubeletBodyLimit] bytes (see [Output]), and its exit code. An error
	// that is [ErrCommandTimedOut] says that it did not end in time, any other one that it was not run.
	Run(ctx context.Context, target Exec, timeout time.Duration) (output []byte, exitCode int, err error)
}

// Exec asks by a command in a container: it passes by exit code 0.
type Exec struct {
	Namespace string
	Pod       string
	Container string
	// Command is the program and its arguments.
	Command []string
}

// String implements [Target].
func (e Exec) String() string { return "command " + strings.Join(e.Command, " ") }

func (e Exec) attempt(ctx context.Context, p *Prober, timeout time.Duration) *Outcome {
	if p.run == nil {
		return new(discarded(Unknown, errNoRunner, CommandNotRun))
	}
	output, exitCode, err := p.run.Run(ctx, e, timeout)
	text := string(output[:min(len(output), KubeletBodyLimit)])
	switch {
	case errors.Is(err, ErrCommandTimedOut):
		// The text of k8s.io/cri-client, which the kubelet passes on.
		outcome := stopped(err, fmt.Sprintf("%v: %q timed out after %v", ErrCommandTimedOut, strings.Join(e.Command, " "), timeout))
		outcome.Cause = TimedOut
		return &outcome
	case err != nil:
		return new(discarded(Unknown, err, CommandNotRun).because(err))
	case exitCode != 0:
		return new(same(Failure, text))
	default:
		return new(same(Success, text))
	}
}

// Output keeps as much of a command's output as the kubelet does, whatever the command prints: of
// what was written to Stdout and Stderr, in this order, the first [KubeletBodyLimit] bytes.
type Output struct {
	Stdout, Stderr Head
}

// Bytes returns what was kept.
func (o *Output) Bytes() []byte {
	all := append(append([]byte(nil), o.Stdout.kept...), o.Stderr.kept...)
	return all[:min(len(all), KubeletBodyLimit)]
}

// Head is a writer that keeps the first [KubeletBodyLimit] bytes, and takes the rest without keeping it.
type Head struct {
	kept []byte
}

// Write implements [io.Writer]. It never fails.
func (h *Head) Write(data []byte) (int, error) {
	h.kept = append(h.kept, data[:min(len(data), KubeletBodyLimit-len(h.kept))]...)
	return len(data), nil
}
