package workload

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
)

// schedule is when a CronJob runs.
type schedule struct {
	cron.Schedule

	// zones are those in which the schedule may be meant: one, or several where nothing tells which.
	zones []*time.Location
}

// scheduleOf reads a CronJob's schedule with the parser that the CronJob controller uses, which may
// panic (k8s.io/kubernetes/pkg/util/parsers, ParseCronScheduleWithPanicRecovery). A schedule without a
// time zone is meant in that of the controller manager, which nobody tells: it is mostly UTC.
func scheduleOf(c *batchv1.CronJob) (s schedule, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("parsing the schedule %q: %v", c.Spec.Schedule, v)
		}
	}()
	parsed, err := cron.ParseStandard(c.Spec.Schedule)
	if err != nil {
		return schedule{}, fmt.Errorf("parsing the schedule %q: %w", c.Spec.Schedule, err)
	}
	s = schedule{Schedule: parsed, zones: []*time.Location{time.UTC}}
	switch {
	case c.Spec.TimeZone != nil:
		zone, err := time.LoadLocation(*c.Spec.TimeZone)
		if err != nil {
			return schedule{}, fmt.Errorf("loading the time zone %q: %w", *c.Spec.TimeZone, err)
		}
		s.zones = []*time.Location{zone}
	case strings.Contains(c.Spec.Schedule, "TZ="), strings.HasPrefix(c.Spec.Schedule, "@every"):
	case c.Status.LastScheduleTime != nil:
		s.zones = []*time.Location{s.zoneOf(c.Status.LastScheduleTime.Time)}
	default:
		// The farthest from UTC that zones are, either way.
		s.zones = append(s.zones, time.FixedZone("", 14*60*60), time.FixedZone("", -12*60*60))
	}
	return s, nil
}

// zoneOf finds a zone in which the schedule runs at a time; UTC where none is found.
func (s schedule) zoneOf(ran time.Time) *time.Location {
	const step = 15 * time.Minute
	for ahead := time.Duration(0); ahead <= 14*time.Hour; ahead += step {
		for _, offset := range []time.Duration{ahead, -ahead} {
			zone := time.FixedZone("", int(offset/time.Second))
			if s.Next(ran.In(zone).Add(-time.Second)).Equal(ran) {
				return zone
			}
		}
	}
	return time.UTC
}

// missed returns the first time after one moment at which a CronJob should have run, and how many such
// times there are until another, counted up to a limit. Where several zones are possible, it is the
// latest first time and the smallest number.
func (s schedule) missed(after, until time.Time, limit int) (first time.Time, n int) {
	n = limit
	for _, zone := range s.zones {
		count := 0
		for t := s.Next(after.In(zone)); !t.IsZero() && !t.After(until) && count < limit; t = s.Next(t) {
			if count == 0 && t.After(first) {
				first = t
			}
			count++
		}
		if n = min(n, count); n == 0 {
			return time.Time{}, 0
		}
	}
	return first, n
}
