package run

import (
	"strings"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
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
	reason checkerpod.Reason
}{
	{"failed to create pod for checker", checkerpod.PodRefused},
	{"failed to create check pod", checkerpod.PodRefused},
	{" cannot be had on node ", checkerpod.ImagePullFailed},
	{"no node takes the checker pod ", checkerpod.Unschedulable},
	{"no scheduler has looked at the checker pod ", checkerpod.Unschedulable},
	{" cannot be made on node ", checkerpod.ConfigMissing},
	{"the init container ", checkerpod.InitFailed},
	{" had not started on node ", checkerpod.NotStarted},
	{" does not start on node ", checkerpod.NotStarted},
	{" ended well, ", checkerpod.NoReport},
	{" ended with exit code ", checkerpod.Crashed},
	{" failed, exit without report", checkerpod.Crashed},
	{" has not taken it up since", checkerpod.NodeLost},
	{" was taken away, as its node ", checkerpod.NodeLost},
	{" is on, does not answer", checkerpod.NodeLost},
	{" was evicted from node ", checkerpod.PodEvicted},
	{" was shut down, and the checker pod ", checkerpod.PodEvicted},
	{" for one of higher priority", checkerpod.PodEvicted},
	{" was taken away from node ", checkerpod.PodEvicted},
	{" was deleted before it had reported", checkerpod.PodDeleted},
	{"no pod of the run was seen ", checkerpod.PodDeleted},
	{" was still at work ", checkerpod.Deadline},
}

// recordedReason is the reason of a failure as its recorded text tells it. Of several words the first
// count: the others may be quoted.
func recordedReason(text string) checkerpod.Reason {
	reason, first := checkerpod.Deadline, len(text)
	for _, w := range words {
		if at := strings.Index(text, w.text); at >= 0 && at < first {
			reason, first = w.reason, at
		}
	}
	switch {
	case reason == checkerpod.Crashed && strings.Contains(text, "("+checkerpod.ExitOOMKilled+")"):
		return checkerpod.OOMKilled
	case first == len(text) && (strings.Contains(text, "pod deleted unexpectedly") || strings.Contains(text, " lost its pod ")):
		return checkerpod.PodDeleted
	}
	return reason
}
