package expect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/schedule"
)

// Judge says what an answer comes to. The spec is a Check's as the API server accepted it; defaults that it
// fills in need not be there.
func Judge(spec *v1alpha1.CheckSpec, a plan.Answer) plan.Result {
	result := plan.Result{
		Target: a.Name, From: a.From, Pod: a.Pod,
		Result: v1alpha1.ResultSuccess, Latency: a.Outcome.Latency, At: a.At,
	}
	f := find(spec, a)
	if f == nil {
		return result
	}
	result.Result, result.Reason, result.Message = f.result, f.reason, sentence(sentTo(a).hide(f.message))
	return result
}

// finding is why an answer is not good.
type finding struct {
	result          v1alpha1.CheckResult
	reason, message string
}

func bad(reason, format string, args ...any) *finding {
	return &finding{result: v1alpha1.ResultFailure, reason: reason, message: fmt.Sprintf(format, args...)}
}

func unknown(reason, message string) *finding {
	return &finding{result: v1alpha1.ResultUnknown, reason: reason, message: message}
}

func find(spec *v1alpha1.CheckSpec, a plan.Answer) *finding {
	if f := notAsked(a); f != nil {
		return f
	}
	o, expected := a.Outcome, spec.Expect
	if expected == nil {
		expected = &v1alpha1.CheckExpectation{}
	}
	verdict := o.Strict
	if spec.Semantics == v1alpha1.SemanticsKubelet {
		verdict = o.Kubelet
	}
	if verdict.Discarded {
		return unknown(v1alpha1.ReasonDiscarded, "a kubelet would repeat this attempt and throw its result away: "+withoutURL(verdict.Message))
	}
	if o.Cause == probe.TimedOut && !verdict.Passed() && schedule.Unheard(a.Stalled, o.Latency) {
		return stoodStill("no answer was heard within "+span(o.Latency), a.Stalled)
	}
	steps := []func() *finding{
		func() *finding { return judgeVerdict(spec, o, verdict) },
		func() *finding { return judgeHTTP(expected, o.HTTP, sentTo(a)) },
		func() *finding { return judgeOutput(spec, expected, verdict) },
		func() *finding { return judgeRecords(spec, expected, o.Records) },
		func() *finding { return judgeDaysLeft(expected, o) },
		func() *finding { return judgeLatency(expected, o.Latency, a.Stalled) },
	}
	for _, step := range steps {
		if f := step(); f != nil {
			return f
		}
	}
	return nil
}

// notAsked finds that nobody could ask: that is no word about the target.
func notAsked(a plan.Answer) *finding {
	err := a.Unasked
	if err == nil {
		err = a.Outcome.Err
	}
	if err == nil {
		return nil
	}
	if refusal, ok := errors.AsType[*plan.Refusal](err); ok {
		return unknown(refusal.Reason, refusal.Message)
	}
	if empty, ok := errors.AsType[*plan.Empty](err); ok {
		if empty.Failure {
			return bad(empty.Reason, "%s", empty.Message)
		}
		return unknown(empty.Reason, empty.Message)
	}
	if a.Unasked != nil || errors.Is(err, context.Canceled) {
		return unknown(v1alpha1.ReasonNotAsked, "the target was not asked: "+err.Error())
	}
	return nil
}

// judgeVerdict judges what the prober says already. An HTTP status is left to what is expected of it.
func judgeVerdict(spec *v1alpha1.CheckSpec, o probe.Outcome, verdict probe.Verdict) *finding {
	if o.HTTP != nil && (o.Difference != probe.BodyLost || spec.Semantics == v1alpha1.SemanticsKubelet) {
		return judgeStatus(spec, o, verdict)
	}
	if verdict.Passed() {
		return nil
	}
	return whyFailed(spec, o, verdict)
}

// whyFailed gives an attempt that failed its word and its sentence.
func whyFailed(spec *v1alpha1.CheckSpec, o probe.Outcome, verdict probe.Verdict) *finding {
	detail := withoutURL(verdict.Message)
	cause := o.Cause
	switch {
	case cause != "":
	case o.Difference == probe.BodyLost:
		cause = probe.BodyIncomplete
	case spec.Exec == nil:
		cause = causeByWords(verdict.Message)
	}
	switch cause {
	case probe.ConnectionRefused:
		return bad(string(cause), "the connection was refused: nothing listens there")
	case probe.ConnectionReset:
		return bad(string(cause), "the connection was closed before there was an answer")
	case probe.Unreachable:
		return bad(string(cause), "no route leads there: %s", detail)
	case probe.TimedOut:
		if spec.Exec != nil {
			return bad(string(cause), "the command did not end within %s", span(o.Latency))
		}
		return bad(string(cause), "no answer within %s (%s)", span(o.Latency), lastPhase(o.Phases))
	case probe.NameNotFound:
		return bad(string(cause), "the name does not exist: %s", detail)
	case probe.BodyIncomplete:
		return bad(string(cause), "the answer began and was cut off: %s", detail)
	case probe.CertificateInvalid:
		return bad(string(cause), "the certificate cannot be trusted: %s", detail)
	case probe.NameLookupFailed, probe.TLSHandshakeFailed, probe.NotServing, probe.RecordMissing:
		return bad(string(cause), "%s", detail)
	default:
		return whyFailedOtherwise(spec, o, detail)
	}
}

// whyFailedOtherwise tells failures that have no cause on the network.
func whyFailedOtherwise(spec *v1alpha1.CheckSpec, o probe.Outcome, detail string) *finding {
	switch {
	case o.Difference == probe.PortUnresolved:
		return bad(v1alpha1.ReasonPortNotFound, "%s", detail)
	case o.Difference == probe.CommandNotRun:
		return bad(v1alpha1.ReasonCommandNotRun, "the command was not run: %s", detail)
	case spec.Exec != nil && detail == "":
		return bad(v1alpha1.ReasonCommandFailed, "the command ended with an exit code other than 0, and said nothing")
	case spec.Exec != nil:
		return bad(v1alpha1.ReasonCommandFailed, "the command ended with an exit code other than 0: %s", quote(detail))
	default:
		return bad(v1alpha1.ReasonRequestFailed, "%s", detail)
	}
}

// lastPhase says what an attempt was at when its time was over.
func lastPhase(p probe.Phases) string {
	switch {
	case p.Read > 0:
		return "while the answer was read"
	case p.Wait > 0:
		return "while waiting for the first byte"
	case p.TLS > 0:
		return "in the TLS handshake"
	case p.Connect > 0:
		return "while connecting"
	case p.Resolve > 0:
		return "while looking up the name"
	default:
		return "before a connection was begun"
	}
}

func judgeLatency(expected *v1alpha1.CheckExpectation, took, stalled time.Duration) *finding {
	most := time.Duration(expected.LatencyMilliseconds) * time.Millisecond
	switch {
	case most == 0 || took <= most:
		return nil
	case took-stalled <= most:
		return stoodStill("the answer took "+span(took), stalled)
	}
	return bad(v1alpha1.ReasonTooSlow, "the answer took %s, expected at most %s", span(took), span(most))
}

// stoodStill is that what was seen may be the operator's own doing.
func stoodStill(what string, stalled time.Duration) *finding {
	return unknown(v1alpha1.ReasonOperatorStalled, fmt.Sprintf("%s, of which the operator itself stood still for %s for want of processor time; that says nothing about the target", what, span(stalled)))
}

// span writes a duration as short as people read it.
func span(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}
