package operator

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
	"github.com/maek-dev/maek/internal/operator/record"
	"github.com/maek-dev/maek/internal/operator/run"
)

// outcomes tells the histories of the runs of Kuberhealthy's checks.
type outcomes struct{ records *record.Keeper }

var _ run.Outcomes = outcomes{}

// Ended implements run.Outcomes.
func (o outcomes) Ended(ended run.Outcome) {
	o.records.Ended(record.Run{
		Check: recordedCheck(ended.Check), Run: runOf(ended),
		// What ended last is the verdict.
		Thresholds: history.Thresholds{Success: 1, Failure: 1},
	})
}

// recordedCheck names one of Kuberhealthy's checks as its record does.
func recordedCheck(check kuberhealthy.Check) record.Check {
	return record.Check{APIVersion: string(check.API), Kind: check.Kind, NamespacedName: check.NamespacedName, UID: check.UID}
}

// runOf reads an outcome. A run that could not be carried out is a failure too, as it is in the check's own
// object; its reason tells the two apart.
func runOf(o run.Outcome) history.Run {
	r := history.Run{Started: o.Run.Started, Ended: o.EndedAt, Result: v1alpha1.ResultSuccess, Latency: o.Duration}
	if !o.OK {
		r.Result, r.Reason, r.Message, r.LogTail = v1alpha1.ResultFailure, string(o.Reason), o.Message, o.LogTail
		// A record's failure has a reason in any case.
		if r.Reason == "" {
			r.Reason = string(checkerpod.ReportedFailure)
		}
	}
	return r
}
