// Package here asks cluster DNS and the API server from this machine: each server by itself, and
// through its Service, so that a server that fails, a path that is cut and a Service that leads
// nowhere on this machine are told apart.
package here

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
)

// What became of a request, in a word.
const (
	// OK: it was answered as it should be.
	OK = "ok"
	// Refused: the machine is there, and nothing listens.
	Refused = "refused"
	// TimedOut: nothing came back in time.
	TimedOut = "timeout"
	// Unreachable: this machine's kernel, or a router, knows no way there.
	Unreachable = "unreachable"
	// Reset: the connection was broken off.
	Reset = "reset"
	// Untrusted: what answered could not prove who it is, or did not accept who asks.
	Untrusted = "untrusted"
	// Failing: it answered that it fails.
	Failing = "failing"
	// Error: anything else; its text says what.
	Error = "error"
)

// FailureError is an answer that says that who answers fails, or refuses what was asked.
type FailureError struct{ Text string }

func (f *FailureError) Error() string { return f.Text }

// Word tells what became of a request that ended with an error; OK for none.
func Word(err error) string {
	if err == nil {
		return OK
	}
	if _, ok := errors.AsType[*FailureError](err); ok {
		return Failing
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return Refused
	}
	if errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.ENETDOWN) {
		return Unreachable
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) {
		return TimedOut
	}
	if untrusted(err) {
		return Untrusted
	}
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return Reset
	}
	return Error
}

func untrusted(err error) bool {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	var header tls.RecordHeaderError
	return errors.As(err, &header)
}
