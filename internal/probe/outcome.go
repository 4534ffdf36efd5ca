package probe

import (
	"fmt"
	"time"
)

// Result is what one attempt came to, in the kubelet's words (k8s.io/kubernetes/pkg/probe).
type Result string

// The results.
const (
	Success Result = "success"
	// Warning: counted as a success, with an event that says what was odd.
	Warning Result = "warning"
	Failure Result = "failure"
	// Unknown: nobody could ask. Without an error beside it, the kubelet counts it as a failure.
	Unknown Result = "unknown"
)

// Verdict is what is made of one attempt.
type Verdict struct {
	Result Result
	// Message is the kubelet's own text: the first of the answer's body or output after a success,
	// the reason after a failure.
	Message string
	// Discarded tells that the kubelet repeats the attempt, and after the third throws the result
	// away: no counter moves, so that a liveness probe stays green and a readiness probe red for ever.
	Discarded bool
}

// Passed tells whether the attempt counts as a success.
func (v Verdict) Passed() bool {
	return !v.Discarded && (v.Result == Success || v.Result == Warning)
}

// Failed tells whether the attempt counts as a failure. What is discarded counts as neither.
func (v Verdict) Failed() bool {
	return !v.Discarded && !v.Passed()
}

// The reasons of the kubelet's events about probes (pkg/kubelet/events/event.go).
const (
	ReasonUnhealthy    = "Unhealthy"
	ReasonProbeWarning = "ProbeWarning"
)

// Event is an event of type Warning that the kubelet writes about a pod after an attempt.
type Event struct {
	Reason  string
	Message string
}

// Event returns the event that the kubelet writes after an attempt with this verdict, or nil where
// it is silent. For a discarded result that is once, after the third attempt.
func (v Verdict) Event(kind Kind) *Event {
	switch {
	case v.Discarded:
		return &Event{ReasonUnhealthy, fmt.Sprintf("%s probe errored and resulted in %s state: %s", kind, v.Result, v.Message)}
	case v.Result == Failure:
		return &Event{ReasonUnhealthy, fmt.Sprintf("%s probe failed: %s", kind, v.Message)}
	case v.Result == Warning:
		return &Event{ReasonProbeWarning, fmt.Sprintf("%s probe warning: %s", kind, v.Message)}
	default:
		return nil
	}
}

// Phases are the parts of an attempt, each zero where there was none; over all redirects together.
type Phases struct {
	// Resolve is the look-up of a name.
	Resolve time.Duration
	// Connect is the opening of the connection.
	Connect time.Duration
	// TLS is its handshake.
	TLS time.Duration
	// Wait is from the request being written until the first byte of the answer.
	Wait time.Duration
	// Read is from that byte until the attempt was over.
	Read time.Duration
}

// Outcome is what one attempt showed.
type Outcome struct {
	// Kubelet is the kubelet's verdict. For kinds that the kubelet has not it is the strict one.
	Kubelet Verdict
	// Strict is the verdict of somebody who wants to know whether the target works.
	Strict Verdict
	// Difference says why the two are not the same; "" where they are.
	Difference Difference

	// Latency is how long the attempt took.
	Latency time.Duration
	Phases  Phases

	// HTTP is the answer to an HTTP request; nil where there was none.
	HTTP *HTTPAnswer
	// Records are the answers to a DNS question, as the data of each record is written in zone files.
	Records []string
	// Certificates are what a TLS server sent, its own first. Of an HTTPS server only where
	// [HTTP.Certificates] asks for them.
	Certificates []Certificate
	// EndsFirst is the certificate that ends first of the chain that lasts longest; nil where none was
	// verified. Of an HTTPS server whose certificate is not verified, the chain is what the server sent.
	EndsFirst *Certificate

	// Cause is what stopped the attempt, in one word; "" where nothing did.
	Cause Cause
	// Err is the same as an error, for those who are in the same program.
	Err error `json:"-"`
}

// same makes an outcome about which both agree.
func same(result Result, message string) Outcome {
	verdict := Verdict{Result: result, Message: message}
	return Outcome{Kubelet: verdict, Strict: verdict}
}

// discarded makes an outcome that the kubelet throws away, and that is a failure to everybody else.
func discarded(result Result, err error, why Difference) Outcome {
	return Outcome{
		Kubelet:    Verdict{Result: result, Message: err.Error(), Discarded: true},
		Strict:     Verdict{Result: Failure, Message: err.Error()},
		Difference: why,
	}
}
