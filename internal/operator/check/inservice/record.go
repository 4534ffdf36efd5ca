package inservice

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// color is what the results of one run about one pod come to.
type color int

const (
	// unknown: nobody could ask.
	unknown color = iota
	// green: it answered well somewhere. That it did not elsewhere is the way's fault, not the pod's.
	green
	// red: it failed wherever somebody could ask.
	red
)

// verdict is what a check's runs say about a pod.
type verdict struct {
	pod   plan.Pod
	color color
	// failures and successes in a row; one of them is zero.
	failures, successes int
	// reason and message of the newest failure.
	reason, message string
}

// record is what a check's runs say, as far as this replica has seen them without a gap.
type record struct {
	check *v1alpha1.Check
	// at is when the newest run ended.
	at time.Time
	// interval between the newest two runs; zero before the second.
	interval time.Duration
	pods     map[types.UID]verdict
}

// period of the check: its own, or as its schedule has been; zero while nobody knows.
func (r *record) period() time.Duration {
	if s := r.check.Spec.PeriodSeconds; s > 0 {
		return time.Duration(s) * time.Second
	}
	return r.interval
}

// window is how long somebody must look on before the verdict means something: the runs that make it, and
// one more, and a minute at least.
func (r *record) window() time.Duration {
	return max(time.Duration(threshold(r.check.Spec.FailureThreshold, 3)+1)*r.period(), time.Minute)
}

// after is the record with one run more. Runs in a row count only where none is missing between them, the
// clock has not been set back, and the question is the same.
func (r *record) after(check *v1alpha1.Check, at time.Time, results []plan.Result) *record {
	next := &record{check: check, at: at, pods: map[types.UID]verdict{}}
	var before map[types.UID]verdict
	if r != nil && r.check.UID == check.UID && at.After(r.at) {
		next.interval = at.Sub(r.at)
		same := r.check.Generation == check.Generation
		fixed := time.Duration(check.Spec.PeriodSeconds) * time.Second
		if same && (fixed == 0 || next.interval <= 2*fixed+fixed/2) {
			before = r.pods
		}
	}
	for _, result := range results {
		if result.Pod.UID == "" {
			continue
		}
		v, seen := next.pods[result.Pod.UID]
		if !seen {
			v = verdict{pod: result.Pod}
		}
		next.pods[result.Pod.UID] = v.with(result)
	}
	for uid, v := range next.pods {
		old := before[uid]
		switch v.color {
		case green:
			v.successes = old.successes + 1
		case red:
			v.failures = old.failures + 1
		case unknown:
		}
		next.pods[uid] = v
	}
	return next
}

// with joins the result from one more place.
func (v verdict) with(result plan.Result) verdict {
	switch result.Result {
	case v1alpha1.ResultSuccess:
		v.color = green
	case v1alpha1.ResultFailure:
		if v.color == unknown {
			v.color, v.reason, v.message = red, result.Reason, result.Message
		}
	case v1alpha1.ResultUnknown:
	}
	return v
}

// forgetRuns keeps what is known of the check, but no runs in a row.
func (r *record) forgetRuns() *record {
	out := *r
	out.pods = make(map[types.UID]verdict, len(r.pods))
	for uid, v := range r.pods {
		v.failures, v.successes = 0, 0
		out.pods[uid] = v
	}
	return &out
}

// reds counts the pods that failed in the newest run.
func (r *record) reds() int {
	n := 0
	for _, v := range r.pods {
		if v.color == red {
			n++
		}
	}
	return n
}

// control is a pod that answered well in the newest run: the first by name, so that it stays the same one.
func (r *record) control() (plan.Pod, bool) {
	var best plan.Pod
	found := false
	for _, v := range r.pods {
		if v.color == green && (!found || v.pod.String() < best.String()) {
			best, found = v.pod, true
		}
	}
	return best, found
}

func threshold(value, standard int32) int {
	if value <= 0 {
		return int(standard)
	}
	return int(value)
}
