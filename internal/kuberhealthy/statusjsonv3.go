package kuberhealthy

import (
	"time"

	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
)

// ContentTypeV3 of version 3's document (main: internal/health/health.go, WriteHTTPStatusResponse).
const ContentTypeV3 = "application/json; charset=utf-8"

// documentV3 is version 3's status document (main: internal/health/health.go, State).
type documentV3 struct {
	OK           bool
	Errors       []string
	CheckDetails map[string]detailV3
	// CurrentMaster is always empty there.
	CurrentMaster string
	Metadata      map[string]string
}

// detailV3 is what it says of a check (main: internal/health/health.go, CheckDetail).
type detailV3 struct {
	khv2.HealthCheckStatus

	NextRunUnix        int64  `json:"nextRunUnix,omitempty"`
	PodName            string `json:"podName,omitempty"`
	TimeoutSeconds     int64  `json:"timeoutSeconds,omitempty"`
	RunIntervalSeconds int64  `json:"runIntervalSeconds,omitempty"`
}

// DocumentV3 returns version 3's status document: what Kuberhealthy 3 serves at /json. HealthChecks are
// named by their bare names; only where two of those in the document have the same one are these named
// namespace/name, where Kuberhealthy loses all but one. What has never run is there, and is not OK.
func (s Status) DocumentV3() ([]byte, error) {
	all := s.tell()
	doc := documentV3{CheckDetails: map[string]detailV3{}, Metadata: s.metadata(nil)}
	doc.OK, doc.Errors = overall(V3, all)
	namesakes := map[string]int{}
	for _, t := range all {
		if t.Check.API == V3 {
			namesakes[t.Check.Name]++
		}
	}
	for _, t := range all {
		if t.Check.API != V3 {
			continue
		}
		key := t.Check.Name
		if namesakes[key] > 1 {
			key = t.Check.String()
		}
		doc.CheckDetails[key] = t.detailV3()
	}
	return document(doc)
}

func (t *told) detailV3() detailV3 {
	detail := detailV3{
		HealthCheckStatus: khv2.HealthCheckStatus{
			OK: t.ok, Errors: t.errors,
			ConsecutiveFailures: t.State.ConsecutiveFailures,
			RunDuration:         t.State.Duration.Nanoseconds(),
			Namespace:           t.Check.Namespace,
			// CurrentUUID is a running run's, whose token is nobody's business, or empty.
			LastRunUnix:     statusUnix(t.State.Run.Started),
			SuccessCount:    t.State.Successes,
			FailureCount:    t.State.Failures,
			LastOKUnix:      statusUnix(t.State.LastOK),
			LastFailureUnix: statusUnix(t.State.LastFailure),
		},
		TimeoutSeconds:     int64(t.Check.Timeout.Seconds()),
		RunIntervalSeconds: int64(t.Check.Interval.Seconds()),
	}
	switch {
	case t.State.Running:
		detail.PodName = t.Pod
	case detail.LastRunUnix != 0:
		detail.NextRunUnix = statusUnix(t.Next)
	}
	return detail
}

// statusUnix is a time in seconds since 1970, and zero for none.
func statusUnix(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.Unix()
}
