package kuberhealthy

import (
	"time"

	kuberhealthyv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
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
	kuberhealthyv2.HealthCheckStatus

	NextRunUnix        int64  `json:"nextRunUnix,omitempty"`
	PodName            string `json:"podName,omitempty"`
	TimeoutSeconds     int64  `json:"timeoutSeconds,omitempty"`
	RunIntervalSeconds int64  `json:"runIntervalSeconds,omitempty"`
}

// DocumentV3 returns version 3's status document: what Kuberhealthy 3 serves at /json. HealthChecks are
// named by their bare names; only where two of those in the document have the same one are these named
// namespace/name, where Kuberhealthy loses all but one. What has never run is there, and is not OK.
func (s Status) DocumentV3() ([]byte, error) {
	entries := s.sorted()
	doc := documentV3{CheckDetails: map[string]detailV3{}, Metadata: s.metadata(nil)}
	doc.OK, doc.Errors = s.overall(V3, entries)
	namesakes := map[string]int{}
	for _, e := range entries {
		if e.Check.API == V3 {
			namesakes[e.Check.Name]++
		}
	}
	for _, e := range entries {
		if e.Check.API != V3 {
			continue
		}
		key := e.Check.Name
		if namesakes[key] > 1 {
			key = e.Check.String()
		}
		doc.CheckDetails[key] = s.detailV3(e)
	}
	return document(doc)
}

func (s Status) detailV3(e Entry) detailV3 {
	t := s.tell(e)
	detail := detailV3{
		HealthCheckStatus: kuberhealthyv2.HealthCheckStatus{
			OK: t.ok, Errors: t.errors,
			ConsecutiveFailures: e.State.ConsecutiveFailures,
			RunDuration:         e.State.Duration.Nanoseconds(),
			Namespace:           e.Check.Namespace,
			// CurrentUUID is a running run's, whose token is nobody's business, or empty.
			LastRunUnix:     unix(e.State.Run.Started),
			SuccessCount:    e.State.Successes,
			FailureCount:    e.State.Failures,
			LastOKUnix:      unix(e.State.LastOK),
			LastFailureUnix: unix(e.State.LastFailure),
		},
		TimeoutSeconds:     int64(e.Check.Timeout.Seconds()),
		RunIntervalSeconds: int64(e.Check.Interval.Seconds()),
	}
	switch {
	case e.State.Running:
		detail.PodName = e.Pod
	case detail.LastRunUnix != 0:
		detail.NextRunUnix = unix(e.Next)
	}
	return detail
}

// unix is a time in seconds since 1970, and zero for none.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
