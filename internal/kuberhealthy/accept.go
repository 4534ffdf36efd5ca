package kuberhealthy

import (
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/finding"
)

// Accept tells whether a report on a run is taken for a check in a state; nil where it is, and else the
// *Refusal that the check's version answers with.
//
// Version 2 takes the reports of the newest run as often as they come, and even when it was given up,
// until the next run is recorded. Version 3 takes one, before the deadline.
func Accept(check Check, state State, runID string, now time.Time) error {
	switch {
	case runID == "" || runID != state.Run.ID:
		return Unknown(check.API, runID)
	case check.API == V2:
		return nil
	case !state.Running:
		return Unknown(check.API, runID)
	case !now.Before(check.Deadline(state.Run)):
		return &Refusal{
			Status:  http.StatusGone,
			Message: fmt.Sprintf("the run's time of %s is over: its result is recorded as a failure", finding.Duration(check.Timeout)),
		}
	}
	return nil
}

// Unknown refuses the report of a run that no check is waiting for. The text of version 3 is
// Kuberhealthy's own (main: cmd/kuberhealthy/webserver.go); version 2 has none.
func Unknown(api API, runID string) *Refusal {
	refusal := &Refusal{Status: http.StatusBadRequest}
	switch {
	case runID == "":
		refusal.Message = "no run is named: send the value of KH_RUN_UUID in the header kh-run-uuid"
	case api == V3:
		refusal.Message = fmt.Sprintf("run uuid %s is invalid or expired", clip(runID, quotedLength))
	default:
		refusal.Message = fmt.Sprintf("run uuid %s is not that of the newest run of a check", clip(runID, quotedLength))
	}
	return refusal
}

// RunIDOf returns the run that a checker pod of either version was made for; empty for other pods.
func RunIDOf(pod metav1.Object) string {
	labels := pod.GetLabels()
	if id := labels[khv1.LabelRunID]; id != "" {
		return id
	}
	return labels[khv2.LabelRunID]
}
