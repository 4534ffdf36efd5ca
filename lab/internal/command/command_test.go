package command_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/maek-dev/maek/lab/internal/command"
)

func TestOutputIsWhatTheProgramPrints(t *testing.T) {
	t.Parallel()
	got, err := command.Output(t.Context(), "sh", "-c", "echo one; echo noise >&2")
	if err != nil {
		t.Fatal(err)
	}
	if got != "one" {
		t.Errorf("output = %q, want %q", got, "one")
	}
}

func TestAFailureTellsWhatWasRunAndWhatItSaidLast(t *testing.T) {
	t.Parallel()
	// One stream: how lines of two are mixed is up to the scheduler.
	_, err := command.Run(t.Context(), command.Command{
		Args:  []string{"sh", "-c", "(seq 30; echo no such host) >&2; exit 3"},
		Shown: []string{"w1:", "pull"},
	})
	if code, ok := command.ExitCode(err); !ok || code != 3 {
		t.Errorf("exit code = %d, %t, want 3", code, ok)
	}
	text := err.Error()
	for _, want := range []string{"w1: pull: exit status 3", "no such host", "\n30\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("error %q lacks %q", text, want)
		}
	}
	if strings.Contains(text, "\n5\n") {
		t.Errorf("error %q has more than the last lines", text)
	}
}

func TestAProgramThatWasStoppedTellsWhy(t *testing.T) {
	t.Parallel()
	stopped := errors.New("stopped by a person")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	if _, err := command.Output(ctx, "sh", "-c", "exec cat"); !errors.Is(err, stopped) {
		t.Errorf("error = %v, want %v", err, stopped)
	}
}
