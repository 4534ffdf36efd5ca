package probetest

import (
	"errors"
	"strings"

	"github.com/maek-dev/maek/internal/probe"
)

// ExecCase is a command in a container.
type ExecCase struct {
	// Command is what is run.
	Command []string
	// Output is what it prints, and ExitCode how it ends.
	Output   string
	ExitCode int
	// TimedOut: it does not end in time, which is a second.
	TimedOut bool
	// Err is why it was not run.
	Err error

	Want       probe.Verdict
	Difference probe.Difference
}

// Exec are the cases of commands. The sentences are their names.
func Exec() map[string]ExecCase {
	long := strings.Repeat("0123456789abcdef", 10<<20/16)
	return map[string]ExecCase{
		"it succeeds":               {Output: "fine\n", Want: passed(probe.Success, "fine\n")},
		"it succeeds and is silent": {Want: passed(probe.Success, "")},
		"it fails": {
			Command: []string{"cat", "/tmp/healthy"}, Output: "cat: can't open '/tmp/healthy': No such file or directory\n", ExitCode: 1,
			Want: failed("cat: can't open '/tmp/healthy': No such file or directory\n"),
		},
		"it fails and is silent": {ExitCode: 1, Want: failed("")},
		"it may not be run":      {Output: "permission denied", ExitCode: 126, Want: failed("permission denied")},
		"it is killed":           {ExitCode: 137, Want: failed("")},
		"it prints 10 MiB":       {Output: long, Want: passed(probe.Success, long[:probe.KubeletBodyLimit])},
		"it prints 10 MiB and fails": {
			Output: long, ExitCode: 1, Want: failed(long[:probe.KubeletBodyLimit]),
		},
		"it does not end": {
			Command: []string{"sleep", "60"}, TimedOut: true, Want: failed(`command timed out: "sleep 60" timed out after 1s`),
		},
		"it prints and does not end": {
			Command: []string{"sh", "-c", "echo a; sleep 60"}, Output: "a\n", TimedOut: true,
			Want: failed(`command timed out: "sh -c echo a; sleep 60" timed out after 1s`),
		},
		"the runtime cannot run it": {
			Err: errors.New("rpc error: code = Unknown desc = failed to exec in container: no such file"),
			Want: probe.Verdict{
				Result: probe.Unknown, Message: "rpc error: code = Unknown desc = failed to exec in container: no such file", Discarded: true,
			},
			Difference: probe.CommandNotRun,
		},
	}
}
