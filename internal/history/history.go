// Package history keeps what is worth remembering of a check's runs, within bounds: how the newest
// ended, how many ended how by hour and by day, the verdict and since when it holds, and the last
// failure with what was seen of it. It is pure, and it is what a CheckRecord holds.
package history

import (
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// The bounds of texts, as in the schema of CheckRecord.
const (
	maxReason  = 63
	maxMessage = 512
	maxTarget  = 253
)

// Run is one run that ended.
type Run struct {
	// Started and Ended by whatever clock the cluster's machines have: they may be earlier than those of
	// the run before.
	Started, Ended time.Time
	Result         v1alpha1.CheckResult
	// Latency that the run took.
	Latency time.Duration
	// Reason in a word, Message in a sentence, the Target that failed where the check has several, and the
	// end of the checker's log: for a run that did not succeed.
	Reason, Message, Target, LogTail string
}

// Thresholds are how many runs in a row must end alike before the verdict follows them; what is below 1
// counts as 1.
type Thresholds struct{ Success, Failure int32 }

// Change says what a run changed beside the counts.
type Change struct {
	// Verdict tells that the check is healthy now and was not, or the other way round.
	Verdict bool
	// Failure tells that the run failed otherwise than the last failure: with another reason or message.
	Failure bool
	// Repeated tells that the run was known already, and changed nothing.
	Repeated bool
}

// History of one check. The zero value is that of a check that never ran.
type History struct {
	// Healthy is the verdict, empty before there is one, and Since when it became so.
	Healthy metav1.ConditionStatus
	Since   time.Time
	// Streak counts how many runs in a row ended as the newest did.
	Streak int32
	// Outcomes of runs, the newest first: in the order in which they ended, whatever the clock said.
	Outcomes []v1alpha1.Outcome
	// Hours and Days of UTC in which runs began, the newest first, with those that go on.
	Hours, Days []v1alpha1.OutcomeSummary
	LastFailure *v1alpha1.FailureRecord
}

// Add takes in a run that ended after those that were added before.
func (h *History) Add(run Run, thresholds Thresholds) Change {
	if h.knows(run) {
		return Change{Repeated: true}
	}
	if len(h.Outcomes) > 0 && h.Outcomes[0].Result == run.Result {
		h.Streak++
	} else {
		h.Streak = 1
	}
	outcome := v1alpha1.Outcome{At: metav1.NewTime(run.Started), Result: run.Result, LatencyMilliseconds: milliseconds(run.Latency)}
	if run.Result != v1alpha1.ResultSuccess {
		outcome.Reason = Cut(run.Reason, maxReason)
	}
	h.Outcomes = push(h.Outcomes, outcome, v1alpha1.MaxOutcomes)
	h.Hours = count(h.Hours, outcome, time.Hour, v1alpha1.MaxHours)
	h.Days = count(h.Days, outcome, 24*time.Hour, v1alpha1.MaxDays)
	change := Change{Verdict: h.judge(run, thresholds)}
	if run.Result == v1alpha1.ResultFailure {
		change.Failure = h.fail(run)
	}
	return change
}

// knows tells that the run is the newest one, told of again. Only the newest is looked at: after a clock
// was set back, runs begin at times that others began at before.
func (h *History) knows(run Run) bool {
	return len(h.Outcomes) > 0 && h.Outcomes[0].At.Unix() == run.Started.Unix() && h.Outcomes[0].Result == run.Result
}

// judge lets the verdict follow a streak that is long enough. A run that could not ask says nothing
// either way.
func (h *History) judge(run Run, thresholds Thresholds) (changed bool) {
	verdict, needed := metav1.ConditionTrue, thresholds.Success
	switch run.Result {
	case v1alpha1.ResultSuccess:
	case v1alpha1.ResultFailure:
		verdict, needed = metav1.ConditionFalse, thresholds.Failure
	default:
		return false
	}
	if h.Healthy == "" || h.Healthy == metav1.ConditionUnknown {
		// There is nothing to recover from. A failure waits all the same: what a check asks is often made
		// together with it.
		if verdict == metav1.ConditionTrue {
			needed = 1
		}
	}
	if h.Healthy == verdict || h.Streak < max(needed, 1) {
		return false
	}
	h.Healthy, h.Since = verdict, run.Ended
	return true
}

// Forget makes the next run decide the verdict by itself. What is known of earlier runs stays.
func (h *History) Forget() { h.Healthy, h.Streak = "", 0 }

func (h *History) fail(run Run) (differs bool) {
	failure := &v1alpha1.FailureRecord{
		CheckFailure: v1alpha1.CheckFailure{
			At: metav1.NewTime(run.Ended), Target: Cut(run.Target, maxTarget),
			Reason: Cut(run.Reason, maxReason), Message: Cut(run.Message, maxMessage),
		},
		LogTail: Tail(run.LogTail, v1alpha1.MaxLogTail),
	}
	last := h.LastFailure
	h.LastFailure = failure
	return last == nil || last.Reason != failure.Reason || last.Message != failure.Message
}

// push puts the newest first, and lets the oldest go.
func push[T any](all []T, newest T, most int) []T {
	kept := all[:min(len(all), most-1)]
	return append([]T{newest}, kept...)
}

func milliseconds(d time.Duration) int32 {
	return int32(min(max(d.Milliseconds(), 0), 1<<31-1)) //nolint:gosec // it is within the bounds of an int32 here
}

// Cut shortens a text to so many bytes without cutting a character in two.
func Cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	const sign = "…"
	end := most - len(sign)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + sign
}

// Tail keeps the end of a log, at most so many bytes, from the start of a line where there is one.
func Tail(log string, most int) string {
	log = strings.ToValidUTF8(log, "\uFFFD")
	if len(log) <= most {
		return log
	}
	log = log[len(log)-most:]
	if _, rest, found := strings.Cut(log, "\n"); found && rest != "" {
		return rest
	}
	for len(log) > 0 && !utf8.RuneStart(log[0]) {
		log = log[1:]
	}
	return log
}
