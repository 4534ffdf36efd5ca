// Package due says when a Check is run, and what follows from its rhythm: timeouts, heartbeats, and the age
// at which a verdict is stale. It knows the spec alone, and no clock.
package due

import (
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

const (
	// spread is the longest time over which first runs are spread, and runs after maintenance.
	spread = time.Minute
	// farthest is how far ahead the library looks for a time that a schedule names, in years.
	farthest = 5
	// lookups bounds how many slots in maintenance are passed over in search for one that is not: more than
	// a year of days.
	lookups = 400
)

// Times are when a Check is run. They do not change.
type Times struct {
	suspended bool
	// period and phase of a check with periodSeconds, and delay by which this check comes later than others
	// where all could run at once.
	period, phase, delay time.Duration
	// first run of a check whose phase is far off; zero where there is no need of it.
	first time.Time
	// cron of a check with a schedule; nil for others.
	cron  cron.Schedule
	rests []rest
	// timeout that the spec names; 0 where it names none. usual is the one for its kind.
	timeout, usual time.Duration
}

// New reads when a Check is run. The phase of one with periodSeconds follows from its UID, and is the same for
// every replica and after every restart. Where that leaves more than a minute until its first run, it is
// run once within a minute of began: the latest of when the Check was made, when its spec was changed, and when
// this replica took it up. A Check with a schedule is run at the times that this names, and no other.
//
// The error is a [*plan.Refusal]: the schedule or a time zone cannot be read, or no time is left to run.
func New(spec *v1alpha1.CheckSpec, uid types.UID, began time.Time) (*Times, error) {
	t := &Times{
		suspended: spec.Suspend,
		period:    time.Duration(spec.PeriodSeconds) * time.Second,
		timeout:   time.Duration(spec.TimeoutSeconds) * time.Second,
		usual:     probeTimeout,
	}
	if spec.Synthetic != nil || spec.PodTemplate != nil {
		t.usual = podTimeout
	}
	var err error
	if t.rests, err = readRests("spec.maintenance", spec.Maintenance); err != nil {
		return nil, err
	}
	began = began.Round(0)
	switch {
	case spec.Schedule != "":
		if t.cron, err = readSchedule(spec.Schedule, spec.TimeZone, began); err != nil {
			return nil, err
		}
	case t.period > 0:
		hash := xxhash.Sum64String(string(uid))
		t.phase = share(hash, t.period)
		t.delay = share(hash, min(t.period, spread))
		if next, _ := t.slot(began); next.Sub(began) > spread {
			t.first = began.Add(t.delay)
		}
	default:
		return nil, plan.Refuse("NeverDue", "the spec says neither how often nor when; write periodSeconds, such as periodSeconds: 60, or schedule")
	}
	if _, ok := t.nextOf(began); !ok {
		return nil, plan.Refuse("AlwaysInMaintenance", "spec.maintenance leaves no time at which the check would be run; shorten a window, or write suspend: true instead")
	}
	return t, nil
}

// share is the part of a span that a hash stands for: 0 or more, and less than the span.
func share(hash uint64, of time.Duration) time.Duration {
	return time.Duration(hash % uint64(of)) //nolint:gosec // less than of
}

// readSchedule reads cron fields as a CronJob's controller does, with the same library
// (pkg/controller/cronjob/utils.go), but in UTC where there is no time zone.
func readSchedule(fields, zone string, began time.Time) (cron.Schedule, error) {
	location, err := readZone("spec.timeZone", zone)
	if err != nil {
		return nil, err
	}
	schedule, err := cron.ParseStandard("CRON_TZ=" + location.String() + " " + fields)
	if err != nil {
		return nil, plan.Refuse("ScheduleInvalid", "spec.schedule %q cannot be read: %v; write five fields (minute hour day month weekday), such as \"*/5 * * * *\"", fields, err)
	}
	if schedule.Next(began).IsZero() {
		return nil, plan.Refuse("NeverDue", "spec.schedule %q names no date within %d years; write a day that its months have, such as \"0 0 28 2 *\"", fields, farthest)
	}
	return schedule, nil
}

// readZone finds a time zone by its name. An empty name is UTC. "Local" is none, as in a CronJob
// (pkg/apis/batch/validation/validation.go): it would be another on each machine.
func readZone(field, name string) (*time.Location, error) {
	location, err := time.LoadLocation(name)
	if err != nil || location == time.Local {
		return nil, plan.Refuse("UnknownTimeZone", "%s %q is not in the time zone database; write a name that is, such as Asia/Seoul or Etc/UTC", field, name)
	}
	return location, nil
}

// Next returns the first time after another, in UTC, at which the check is to be run; ok is false where it is
// suspended. Times in maintenance are left out. A check with a period that would have been run meanwhile is
// run within a minute after it: otherwise one whose phase lies in every night's maintenance would never be.
func (t *Times) Next(after time.Time) (at time.Time, ok bool) {
	if t.suspended {
		return time.Time{}, false
	}
	at, ok = t.nextOf(after.Round(0))
	return at.UTC(), ok
}

func (t *Times) nextOf(after time.Time) (time.Time, bool) {
	at, ok := t.slot(after)
	if after.Before(t.first) && (!ok || t.first.Before(at)) {
		at, ok = t.first, true
	}
	for range lookups {
		if !ok {
			return time.Time{}, false
		}
		until, _, resting := t.Resting(at)
		if !resting {
			return t.sooner(after, at), true
		}
		if until.Sub(at) > week {
			return time.Time{}, false
		}
		at, ok = t.slot(until.Add(-1))
		if late := until.Add(t.delay); t.late() && late.Before(at) {
			at = late
		}
	}
	return time.Time{}, false
}

// sooner returns the run after a maintenance, where that comes before another.
func (t *Times) sooner(after, at time.Time) time.Time {
	if !t.late() {
		return at
	}
	until, _, resting := t.Resting(after.Add(-t.delay))
	late := until.Add(t.delay)
	if !resting || !late.Before(at) {
		return at
	}
	if _, _, resting := t.Resting(late); resting {
		return at
	}
	return late
}

// late tells whether the check is run after maintenance without waiting for its phase.
func (t *Times) late() bool { return t.cron == nil && t.period > spread }

// slot is the first time after another that the rhythm alone names.
func (t *Times) slot(after time.Time) (time.Time, bool) {
	if t.cron != nil {
		at := t.cron.Next(after)
		return at, !at.IsZero()
	}
	gone := (time.Duration(after.UnixNano()) - t.phase) % t.period
	if gone < 0 { // before 1970
		gone += t.period
	}
	return after.Add(t.period - gone), true
}
