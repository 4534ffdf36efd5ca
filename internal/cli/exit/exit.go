// Package exit holds the codes with which the command line ends. Commands return errors that carry
// a code; only the program under cmd/ ends the process.
package exit

import (
	"errors"
	"fmt"
)

// Code is a process's exit code.
type Code int

// The codes.
const (
	// OK: nothing at or above --fail-on was found.
	OK Code = 0
	// Incidents: at least one incident is at or above --fail-on.
	Incidents Code = 1
	// Unknown: nothing of that weight was found, and too little could be checked to say that there
	// is nothing.
	Unknown Code = 2
	// Usage: the command line cannot be carried out as written (EX_USAGE of sysexits.h).
	Usage Code = 64
	// Failed: Maek itself could not do what it was asked to, such as write its output (EX_SOFTWARE
	// of sysexits.h).
	Failed Code = 70
)

// Error ends the program with a code. One without Err has said all there is to say already.
type Error struct {
	// Code to exit with.
	Code Code
	// Err is the sentence for the user; nil for none.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap gives Err.
func (e *Error) Unwrap() error { return e.Err }

// With ends the program with a code and without a word; nil for OK.
func With(c Code) error {
	if c == OK {
		return nil
	}
	return &Error{Code: c}
}

// Misused makes an error of the command line's: one sentence that says what is wrong, where, and
// what to write instead.
func Misused(format string, args ...any) error {
	return &Error{Code: Usage, Err: fmt.Errorf(format, args...)}
}

// CodeOf returns the code that an error carries: OK for nil, Failed for an error without one.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Failed
}
