package kuberhealthy

import (
	"context"
	"net/netip"
)

// Report is what a checker pod says of its run.
type Report struct {
	// OK tells that all is well.
	OK bool
	// Errors say what is not; there is at least one that is not blank where OK is false.
	Errors []string
}

// Origin is who sends a report.
type Origin struct {
	// API by whose endpoint it came: /externalCheckStatus is V2's and /check is V3's.
	API API
	// RunID from the header kh-run-uuid; empty where there was none.
	RunID string
	// Address that it came from, by which V2 knows pods whose clients send no header.
	Address netip.Addr
}

// HeaderRunID names the run in a report (http canonicalizes it).
const HeaderRunID = "Kh-Run-Uuid"

// Reporter takes reports in. It returns nil when the report is stored, or will be although the API
// server does not answer just now; a *Refusal where it is not to be stored; and any other error where
// the sender had better try again.
type Reporter interface {
	Report(ctx context.Context, from Origin, report Report) error
}

// Refusal is a report that is not taken, and the HTTP answer that the version gives for that.
//
//nolint:errname // it is an answer more than an error
type Refusal struct {
	// Status of the answer: 400, 405, 409, 410, 413 or 415.
	Status int
	// Message is its body: one sentence without a newline; it may be empty.
	Message string
}

// Error is the message.
func (r *Refusal) Error() string { return r.Message }
