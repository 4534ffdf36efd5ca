// Package invocation is what a command is given by the world: streams, clock, environment, terminal.
// Commands take nothing from anywhere else, so a test gives them a world of its own and compares
// all that they print.
package invocation

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
)

// Invocation is one run of the program.
type Invocation struct {
	// Out takes what was asked for.
	Out io.Writer
	// ErrOut takes what else there is to say: progress, and why nothing could be done.
	ErrOut io.Writer

	// Program is what the user types to run it: "kubectl maek" or "kubectl-maek".
	Program string
	// Version of the program, such as v0.1.0.
	Version string
	// Now is this machine's clock.
	Now func() time.Time
	// After waits by this machine's clock, as time.After does.
	After func(time.Duration) <-chan time.Time
	// Getenv reads the environment.
	Getenv func(string) string
	// Location is the user's time zone.
	Location *time.Location
	// OutTerminal tells whether standard output is a terminal.
	OutTerminal bool
	// ErrTerminal tells whether standard error is a terminal.
	ErrTerminal bool
	// Columns of the terminal; 0 where there is none.
	Columns int
}

// ClearLine goes to a terminal's beginning of the line and erases it (ECMA-48, 8.3.41): progress is told
// in one line that is written again and again.
const ClearLine = "\r\x1b[K"

// Display are the flags that say how text for people looks.
type Display struct {
	// Lang is --lang: empty, en or ko.
	Lang string
	// NoColor is --no-color.
	NoColor bool
}

// Language is the one that was asked for, else that of the environment's locale for messages
// (POSIX.1-2017, Base Definitions 8.2), else English.
func (i *Invocation) Language(d Display) finding.Language {
	locale := d.Lang
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if locale == "" {
			locale = i.Getenv(name)
		}
	}
	if locale == "ko" || strings.HasPrefix(locale, "ko_") || strings.HasPrefix(locale, "ko.") {
		return finding.Korean
	}
	return finding.English
}

// Report makes the options for a report on standard output.
func (i *Invocation) Report(d Display) report.Options {
	return report.Options{
		Language: i.Language(d),
		Width:    i.width(),
		Color:    i.OutTerminal && !d.NoColor && i.Getenv("NO_COLOR") == "" && i.Getenv("TERM") != "dumb",
		Location: i.Location,
		Program:  i.Program,
	}
}

// width is that of the terminal, else what COLUMNS says, else the report's own.
func (i *Invocation) width() int {
	if i.OutTerminal && i.Columns > 0 {
		return i.Columns
	}
	if n, err := strconv.Atoi(i.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return report.DefaultWidth
}
