package kuberhealthy

import (
	"slices"
	"time"

	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
)

// StateOfV3 reads the status of a HealthCheck. All times have the precision of a second, and the ID of a
// run is forgotten when it ends.
//
// Kuberhealthy's own definition does not keep consecutiveFailures. What the counts prove stands for it
// there: all failures where nothing ever succeeded, and else one if the last run failed.
func StateOfV3(object *khv2.HealthCheck) State {
	status := object.Status
	state := State{
		Run:       Run{ID: status.CurrentUUID, Started: seconds(status.LastRunUnix)},
		Running:   status.CurrentUUID != "",
		Successes: max(status.SuccessCount, 0),
		Failures:  max(status.FailureCount, 0),

		LastOK:      seconds(status.LastOKUnix),
		LastFailure: seconds(status.LastFailureUnix),
	}
	state.EndedAt = state.LastOK
	if state.LastFailure.After(state.EndedAt) {
		state.EndedAt = state.LastFailure
	}
	state.Ended = !state.EndedAt.IsZero()
	if !state.Ended {
		return state
	}
	state.OK, state.Errors = outcome(status.OK, status.Errors)
	state.Duration = max(time.Duration(status.RunDuration), 0)
	state.ConsecutiveFailures = consecutive(state, status.ConsecutiveFailures)
	return state
}

func consecutive(state State, recorded int) int {
	switch {
	case state.OK:
		return 0
	case state.Successes == 0:
		return max(recorded, state.Failures, 1)
	}
	return max(recorded, 1)
}

// ToV3 returns a copy of a HealthCheck with its status set to this state, and all else as it was.
func (s State) ToV3(object *khv2.HealthCheck) *khv2.HealthCheck {
	object = object.DeepCopy()
	status := khv2.HealthCheckStatus{
		Namespace:           object.Namespace,
		LastRunUnix:         unix(s.Run.Started),
		SuccessCount:        s.Successes,
		FailureCount:        s.Failures,
		ConsecutiveFailures: s.ConsecutiveFailures,
		LastOKUnix:          unix(s.LastOK),
		LastFailureUnix:     unix(s.LastFailure),
		AdditionalMetadata:  object.Status.AdditionalMetadata,
	}
	if s.Running {
		status.CurrentUUID = s.Run.ID
	}
	if s.Ended {
		status.OK, status.Errors = s.OK, slices.Clone(s.Errors)
		status.RunDuration = s.Duration.Nanoseconds()
	}
	object.Status = status
	return object
}

// seconds is a moment that is given in seconds since 1970; zero stands for none. What lies outside of
// the years that RFC 3339 can write is none either.
func seconds(n int64) time.Time {
	at := time.Unix(n, 0).UTC()
	if n <= 0 || at.Year() > 9999 {
		return time.Time{}
	}
	return at
}

func unix(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.Unix()
}
