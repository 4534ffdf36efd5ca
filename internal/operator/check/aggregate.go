package check

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// The bounds of status, as in its schema.
const (
	maxFailing      = 10
	maxRecent       = 5
	maxTransitions  = 10
	maxConsequences = 10
	maxConditions   = 16
	maxReason       = 63
	maxMessage      = 512
	maxName         = 253
)

// outcome is what one run came to at all of its targets.
type outcome struct {
	started, ended time.Time
	result         v1alpha1.CheckResult
	// reason in one word, and message in a sentence; empty after a success.
	reason, message string
	// latency of the slowest target that was asked.
	latency time.Duration
	counts  v1alpha1.TargetCounts
	// failing are the targets that failed, by target and place: maxFailing of them at most.
	failing []v1alpha1.CheckFailure
	// target that message is about, and the end of its log.
	target, logTail string
}

// aggregate sums up a run: one target that failed makes it a failure, whatever the others said, and one that
// could not be asked makes it Unknown where none failed.
func aggregate(started, ended time.Time, results []plan.Result) outcome {
	o := outcome{started: started, ended: ended, result: v1alpha1.ResultSuccess}
	var failed, unknown []plan.Result
	for _, r := range results {
		o.latency = max(o.latency, r.Latency)
		o.counts.Total++
		switch r.Result {
		case v1alpha1.ResultSuccess:
			o.counts.Healthy++
		case v1alpha1.ResultFailure:
			o.counts.Unhealthy++
			failed = append(failed, r)
		default:
			o.counts.Unknown++
			unknown = append(unknown, r)
		}
	}
	switch {
	case len(failed) > 0:
		o.result = v1alpha1.ResultFailure
		o.explain(failed, len(results), "failed")
		for _, r := range failed[:min(len(failed), maxFailing)] {
			o.failing = append(o.failing, v1alpha1.CheckFailure{
				At: metav1.NewTime(r.At), Target: history.Cut(r.Target, maxName), From: history.Cut(r.From, maxName),
				Reason: word(r.Reason), Message: history.Cut(r.Message, maxMessage),
			})
		}
	case len(unknown) > 0:
		o.result = v1alpha1.ResultUnknown
		o.explain(unknown, len(results), "could not be asked")
	case len(results) == 0:
		o.result, o.reason, o.message = v1alpha1.ResultUnknown, "NothingAsked", "the run asked nobody"
	}
	return o
}

// explain says of several results what is to be said: the reason that most of them have, and the first of
// those that have it. It sorts them by target and place.
func (o *outcome) explain(results []plan.Result, of int, what string) {
	slices.SortStableFunc(results, func(a, b plan.Result) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.From, b.From))
	})
	counts := map[string]int{}
	most := results[0]
	for _, r := range results {
		counts[r.Reason]++
	}
	for _, r := range results {
		if counts[r.Reason] > counts[most.Reason] {
			most = r
		}
	}
	o.reason, o.target, o.logTail = word(most.Reason), most.Target, most.LogTail
	message := most.Message
	switch at := place(most); {
	case of > 1:
		message = fmt.Sprintf("%d of %d targets %s; %s: %s", len(results), of, what, at, most.Message)
	case most.From != "":
		message = at + ": " + most.Message
	}
	o.message = history.Cut(message, maxMessage)
}

// place names a target, and from where it was asked.
func place(r plan.Result) string {
	switch {
	case r.From == "":
		return cmp.Or(r.Target, "the check")
	case r.Target == "":
		return "from node " + r.From
	}
	return r.Target + " from node " + r.From
}

// words are the reasons that a condition may have (k8s.io/apimachinery/pkg/apis/meta/v1/types.go, Condition).
var words = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// word is a reason as a condition may have it.
func word(reason string) string {
	if len(reason) > maxReason || !words.MatchString(reason) {
		return "Failed"
	}
	return reason
}
