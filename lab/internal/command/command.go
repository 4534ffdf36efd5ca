// Package command runs the programs that the lab is made with and turns their failures into errors that a person can
// read. It knows nothing of what the programs do.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// OwnerVariable is set in the environment of every process that a lab command starts outside the machines, to the state
// directory of the lab. `lab down` finds by it what a crashed command left running.
const OwnerVariable = "MAEK_LAB_OWNER"

// errorLines is how many of the last lines of a failed program's output its error carries.
const errorLines = 12

// Command is one run of a program.
type Command struct {
	// Args are the program and its arguments.
	Args []string
	// Shown is what an error says was run; nil is Args.
	Shown []string
	// Stdin is what the program reads; nil is nothing.
	Stdin io.Reader
	// Output, when not nil, gets what the program prints as it prints it, besides what Run returns.
	Output io.Writer
	// Env holds NAME=VALUE pairs added to the environment.
	Env []string
}

// Error is the failure of a program that ran.
type Error struct {
	// Args are the program and its arguments as they are shown.
	Args []string
	// Output is the end of what it printed.
	Output string
	// Err is what os/exec said, such as "exit status 1".
	Err error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %v", strings.Join(e.Args, " "), e.Err)
	if e.Output != "" {
		text += ":\n" + e.Output
	}
	return text
}

// Unwrap returns the error of os/exec.
func (e *Error) Unwrap() error { return e.Err }

// Run runs c to its end and returns its standard output. The error is an [*Error] when the program ran and failed, and
// the cause of ctx when ctx ended it.
func Run(ctx context.Context, c Command) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Stdin = c.Stdin
	cmd.Env = append(os.Environ(), c.Env...)
	var stdout, all bytes.Buffer
	outputs := []io.Writer{&all}
	if c.Output != nil {
		outputs = append(outputs, c.Output)
	}
	both := &lockedWriter{w: io.MultiWriter(outputs...)}
	cmd.Stdout = io.MultiWriter(&stdout, both)
	cmd.Stderr = both
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return stdout.Bytes(), fmt.Errorf("%s: %w", c.Args[0], context.Cause(ctx))
		}
		shown := c.Shown
		if shown == nil {
			shown = c.Args
		}
		return stdout.Bytes(), &Error{Args: shown, Output: lastLines(all.String(), errorLines), Err: err}
	}
	return stdout.Bytes(), nil
}

// Output runs a program without input and returns its standard output without the white space around it.
func Output(ctx context.Context, args ...string) (string, error) {
	out, err := Run(ctx, Command{Args: args})
	return strings.TrimSpace(string(out)), err
}

// ExitCode returns the exit code of the program whose run returned err, and false when err is of another kind.
func ExitCode(err error) (int, bool) {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
		return exit.ExitCode(), true
	}
	return 0, false
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
