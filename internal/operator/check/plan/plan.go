// Package plan holds the words in which the parts of running Checks speak to each other: what is to be
// asked in a run, what was answered, and what that came to.
//
//	Check --target--> []Question --vantage--> []Answer --expect--> []Result --verdict--> status
//
// Each arrow is a package beside this one, and none knows another.
package plan

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/probe"
)

// Question is what one run asks of one target.
type Question struct {
	// Probe is asked as it is: names of ports, Services and pods are settled, and where it names a host by
	// name, Dial guards what that turns out to be.
	Probe probe.Target
	// Name of the target for people, at most 253 bytes: a pod's name, a node's, an address, a host.
	Name string
	// Pod that answers; zero where the target is no pod.
	Pod Pod
	// Dial are the options with which the prober is made: how to connect, whom to trust, how commands are
	// run. Its Now is not read.
	Options probe.Options
	// Addresses are where the probe goes, host:port, when they are known before it is made: agents connect
	// to these alone. Empty for commands, and for names outside the cluster.
	Addresses []string
	// Roots are the authorities that Probe or Options trust, in PEM, where these are not the system's: agents
	// are told them.
	Roots []byte
	// Nodes tells that a policy allows Addresses to be nodes' own: agents refuse to ask them otherwise.
	Nodes bool
}

// Pod is one that a question is asked of.
type Pod struct {
	types.NamespacedName
	UID types.UID
}

// Answer is what a question came to at one place.
type Answer struct {
	Question
	// From is the node that it was asked from; empty for the operator.
	From string
	// At is when the attempt ended.
	At time.Time
	// Outcome of the probe; nothing where Unasked is set.
	Outcome probe.Outcome
	// Stalled is for how long whoever asked should have got on meanwhile and did not: what an answer took, or
	// that none came, may be due to that (schedule.Unheard). Zero where nobody took it.
	Stalled time.Duration
	// Unasked says why nobody could ask: an agent that does not answer, say. That is no word about the
	// target.
	Unasked error
}

// Result is what an answer comes to, or a run of a pod.
type Result struct {
	// Target, From and Pod as in the Answer.
	Target, From string
	Pod          Pod
	// Result is Unknown where nobody could ask.
	Result v1alpha1.CheckResult
	// Reason in one word, and Message in a sentence without a full stop: both empty after a success.
	Reason, Message string
	// Latency of the answer.
	Latency time.Duration
	// At is when it was known.
	At time.Time
	// LogTail is the redacted end of a pod's log, after a failure.
	LogTail string
}

// Refusal is why a Check cannot be run until somebody changes something: it makes Stalled true.
type Refusal struct { //nolint:errname // it is an answer that people read, and an error by the way
	// Reason in one word of CamelCase.
	Reason string
	// Message says what is wrong, where, and what to write or run instead.
	Message string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

// Refuse makes a Refusal.
func Refuse(reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Empty is why a run has nobody to ask: no pod that the selector fits, no endpoint. The run is Unknown, or
// a failure, as Failure says.
type Empty struct { //nolint:errname // as Refusal
	// Reason in one word, such as NoEndpoints.
	Reason string
	// Message says in a sentence what is missing.
	Message string
	// Failure tells that to have nobody is what the check is there to find: a Service without endpoints
	// cannot be used.
	Failure bool
}

// Error implements error.
func (e *Empty) Error() string { return e.Message }
