package run

import (
	"strings"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// unreported tells, by its words, that a failure was recorded by an operator and reported by nobody.
func unreported(check kuberhealthy.Check, state kuberhealthy.State) bool {
	if len(state.Errors) != 1 {
		return false
	}
	if check.API == kuberhealthy.V3 {
		return strings.HasPrefix(state.Errors[0], "check run ") || strings.HasPrefix(state.Errors[0], "failed to create check pod")
	}
	return strings.HasPrefix(state.Errors[0], "Check execution error: ") || strings.HasPrefix(state.Errors[0], "Job execution error: ")
}

// words of failures, by which the reason of one is known again that an earlier owner recorded and did not
// live to tell: the objects have room for nothing but a text.
var words = []struct {
	text   string
	reason Reason
}{
	{"failed to create pod for checker", PodRefused},
	{"failed to create check pod", PodRefused},
	{" cannot be had on node ", ImagePullFailed},
	{"no node takes the checker pod ", Unschedulable},
	{"no scheduler has looked at the checker pod ", Unschedulable},
	{" cannot be made on node ", ConfigMissing},
	{"the init container ", InitFailed},
	{" had not started on node ", NotStarted},
	{" does not start on node ", NotStarted},
	{" ended well, ", NoReport},
	{" ended with exit code ", Crashed},
	{" failed, exit without report", Crashed},
	{" has not taken it up since", NodeLost},
	{" was taken away, as its node ", NodeLost},
	{" is on, does not answer", NodeLost},
	{" was evicted from node ", PodEvicted},
	{" was shut down, and the checker pod ", PodEvicted},
	{" for one of higher priority", PodEvicted},
	{" was taken away from node ", PodEvicted},
	{" was deleted before it had reported", PodDeleted},
	{"no pod of the run was seen ", PodDeleted},
	{" was still at work ", Deadline},
}

// recordedReason is the reason of a failure as its recorded text tells it. Of several words the first
// count: the others may be quoted.
func recordedReason(text string) Reason {
	reason, first := Deadline, len(text)
	for _, w := range words {
		if at := strings.Index(text, w.text); at >= 0 && at < first {
			reason, first = w.reason, at
		}
	}
	switch {
	case reason == Crashed && strings.Contains(text, "("+exitOOM+")"):
		return OOMKilled
	case first == len(text) && (strings.Contains(text, "pod deleted unexpectedly") || strings.Contains(text, " lost its pod ")):
		return PodDeleted
	}
	return reason
}
