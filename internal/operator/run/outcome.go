package run

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

const (
	// freshEnd is how long ago a run may have ended for its log to be read and an Event to be made of it:
	// whoever takes many checks over need not do so for all that ever failed.
	freshEnd = time.Minute
	// rounding is how much earlier than its run a pod may seem to have been made: both times are told in
	// whole seconds, the one rounded down and the other up.
	rounding = 2 * time.Second
)

// The reasons of Events, as Kuberhealthy 3 has them (main: internal/kuberhealthy/kuberhealthy.go,
// cmd/kuberhealthy/webserver.go).
const (
	eventTimedOut     = "CheckRunTimedOut"
	eventCreateFailed = "PodCreateFailed"
	eventReported     = "CheckReported"
)

// fail records that a run has failed, and tells why.
func (e *Engine) fail(ctx context.Context, s *subject, v view, next step) error {
	run, before := s.state.Run, s.state
	var unread error
	if next.failure, unread = checkerpod.Witnessed(ctx, e.o.Witness, next.pod, next.failure); unread != nil {
		e.o.Log.Debug("the Events of a checker pod cannot be read", "pod", next.pod.Namespace+"/"+next.pod.Name, "error", unread)
	}
	end := kuberhealthy.End{At: v.now, Writer: e.o.Self}
	if next.pod != nil {
		end.Node = next.pod.Spec.NodeName
	}
	kind, why := wording(s.check, next.failure, v.now.Before(s.check.Deadline(run)))
	failed := s.state.Failed(s.check, s.check.Failure(kind, run, v.now, why), end)
	if err := e.record(ctx, s, failed); err != nil {
		return err
	}
	outcome := e.outcome(s, run, next.failure.Reason, next.failure.Message)
	if next.pod != nil {
		outcome.Pod = next.pod.Name
		outcome.LogTail = e.logTail(ctx, next.pod, next.failure.Container)
	}
	e.tell(s, before, outcome)
	return nil
}

// wording returns how the versions put a failure in words, and what is added to them.
func wording(check kuberhealthy.Check, f checkerpod.Failure, early bool) (kuberhealthy.Failure, string) {
	switch f.Reason {
	case checkerpod.PodRefused:
		return kuberhealthy.NotCreated, f.Message
	case checkerpod.PodDeleted, checkerpod.PodEvicted, checkerpod.NodeLost:
		if !f.Over.IsZero() && f.Container == "" {
			return kuberhealthy.Removed, f.Message
		}
		return kuberhealthy.NotReported, f.Message
	case checkerpod.ImagePullFailed:
		if check.API == kuberhealthy.V2 && early {
			return kuberhealthy.NotStarted, checkerpod.WaitErrImagePull + ": " + f.Message
		}
		return kuberhealthy.NotRunning, f.Message
	case checkerpod.Unschedulable, checkerpod.ConfigMissing, checkerpod.NotStarted:
		return kuberhealthy.NotRunning, f.Message
	case checkerpod.InitFailed:
		if f.Over.IsZero() {
			return kuberhealthy.NotRunning, f.Message
		}
	default:
	}
	return kuberhealthy.NotReported, f.Message
}

// observe tells of a run that has ended by a report, whichever replica stored it, or whose end an
// earlier owner recorded.
func (e *Engine) observe(ctx context.Context, s *subject, remembered note) {
	if s.state.Running || !s.state.Ended || !s.state.EndedAt.After(remembered.told) {
		return
	}
	outcome := e.outcome(s, s.state.Run, "", "")
	if pod := e.lastPod(ctx, s); pod != nil {
		outcome.Pod = pod.Name
		if !s.state.OK && s.state.EndedAt.After(remembered.resumed.Add(-freshEnd)) {
			logs, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeWithin)
			defer cancel()
			outcome.LogTail = e.logTail(logs, pod, checkerpod.MainContainer(pod))
		}
	}
	if !s.state.OK {
		outcome.Reason, outcome.Message = checkerpod.ReportedFailure, strings.Join(s.state.Errors, "; ")
		if unreported(s.check, s.state) {
			outcome.Reason = recordedReason(s.state.Errors[0])
		}
	}
	e.tell(s, kuberhealthy.State{}, outcome)
}

// lastPod is the pod of the newest run, as far as it is still there.
func (e *Engine) lastPod(ctx context.Context, s *subject) *corev1.Pod {
	pods, err := e.podsOf(ctx, s.check.UID, s.Namespace)
	if err != nil || len(pods) == 0 {
		return nil
	}
	last := pods[len(pods)-1]
	switch {
	case s.state.Run.ID != "" && kuberhealthy.RunIDOf(last) != s.state.Run.ID:
		return nil
	// Version 3 forgets the ID of a run that has ended, and records its start in whole seconds.
	case last.CreationTimestamp.Add(rounding).Before(s.state.Run.Started):
		return nil
	}
	return last
}

func (e *Engine) outcome(s *subject, run kuberhealthy.Run, reason checkerpod.Reason, message string) Outcome {
	return Outcome{
		Check: s.check, Run: run, EndedAt: s.state.EndedAt,
		OK: s.state.OK, Reason: reason, Message: message, Errors: s.state.Errors,
		Duration: max(s.state.EndedAt.Sub(run.Started), 0), Node: s.state.Node,
	}
}

// tell tells of a run that has ended: each of them to the history, and to Events what has changed.
func (e *Engine) tell(s *subject, before kuberhealthy.State, outcome Outcome) {
	var wasOK, known bool
	var resumed time.Time
	e.memory.note(s.check.UID, func(n *note) {
		wasOK, known, resumed = n.ok, !n.told.IsZero(), n.resumed
		n.told, n.ok = outcome.EndedAt, outcome.OK
	})
	if !known {
		wasOK, known = before.OK, before.Ended
	}
	// What ended before this replica looked after the check was counted by the one before it.
	if !outcome.EndedAt.Before(resumed.Truncate(time.Second)) {
		e.o.Metrics.Ended(outcome.Check, string(outcome.Reason), outcome.Duration)
	}
	if e.o.Outcomes != nil {
		e.o.Outcomes.Ended(outcome)
	}
	if e.o.Events == nil || outcome.EndedAt.Before(resumed.Add(-freshEnd)) {
		return
	}
	switch {
	case outcome.OK && known && !wasOK:
		e.o.Events.Eventf(s.object, nil, corev1.EventTypeNormal, eventReported, "Run", "the check reports that all is well again")
	case outcome.OK || known && !wasOK:
	case outcome.Reason == checkerpod.ReportedFailure:
		e.o.Events.Eventf(s.object, nil, corev1.EventTypeWarning, eventReported, "Run", "%s", note1024("the check reports: "+outcome.Message))
	case outcome.Reason == checkerpod.PodRefused:
		e.o.Events.Eventf(s.object, nil, corev1.EventTypeWarning, eventCreateFailed, "Run", "%s", note1024("PodRefused: "+outcome.Message))
	default:
		e.o.Events.Eventf(s.object, nil, corev1.EventTypeWarning, eventTimedOut, "Run", "%s", note1024(string(outcome.Reason)+": "+outcome.Message))
	}
}

// note1024 cuts a text to what an Event may hold (kubernetes: pkg/apis/core/validation/events.go,
// NoteLengthLimit).
func note1024(text string) string {
	const limit = 1024
	if len(text) < limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-4], "") + "…"
}

// logTail reads the end of a container's log. Nothing is said of what cannot be read.
func (e *Engine) logTail(ctx context.Context, pod *corev1.Pod, container string) string {
	tail, err := checkerpod.LogTail(ctx, e.o.Logs, client.ObjectKeyFromObject(pod), container)
	if err != nil {
		e.o.Log.Debug("the log of a checker pod cannot be read", "pod", pod.Namespace+"/"+pod.Name, "container", container, "error", err)
	}
	return tail
}
