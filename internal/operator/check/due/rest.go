package due

import (
	"fmt"
	"slices"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// weekdays by their names in the API.
var weekdays = map[v1alpha1.Weekday]time.Weekday{
	"Sun": time.Sunday, "Mon": time.Monday, "Tue": time.Tuesday, "Wed": time.Wednesday,
	"Thu": time.Thursday, "Fri": time.Friday, "Sat": time.Saturday,
}

// rest is a maintenance window that was read.
type rest struct {
	window       v1alpha1.MaintenanceWindow
	days         []time.Weekday
	hour, minute int
	lasts        time.Duration
	zone         *time.Location
}

// readRests reads the windows of a field.
func readRests(of string, windows []v1alpha1.MaintenanceWindow) ([]rest, error) {
	var rests []rest
	for i, w := range windows {
		field := fmt.Sprintf("%s[%d]", of, i)
		zone, err := readZone(field+".timeZone", w.TimeZone)
		if err != nil {
			return nil, err
		}
		start, err := time.Parse("15:04", w.Start)
		if err != nil || w.DurationMinutes <= 0 {
			return nil, plan.Refuse("MaintenanceInvalid", "%s cannot be read: write start as HH:MM of the 24-hour clock, such as 02:00, and durationMinutes of 1 or more", field)
		}
		r := rest{window: w, hour: start.Hour(), minute: start.Minute(), lasts: time.Duration(w.DurationMinutes) * time.Minute, zone: zone}
		for _, name := range w.Days {
			weekday, ok := weekdays[name]
			if !ok {
				return nil, plan.Refuse("MaintenanceInvalid", "%s.days has no day %q: write Sun, Mon, Tue, Wed, Thu, Fri or Sat", field, name)
			}
			r.days = append(r.days, weekday)
		}
		rests = append(rests, r)
	}
	return rests, nil
}

// Within tells whether a time lies in one of the windows of a field, which the error names: a [*plan.Refusal] where
// one cannot be read. It lies in none where there are none.
func Within(field string, windows []v1alpha1.MaintenanceWindow, at time.Time) (bool, error) {
	rests, err := readRests(field, windows)
	if err != nil {
		return false, err
	}
	_, _, in := (&Times{rests: rests}).covering(at.Round(0))
	return in, nil
}

// Resting tells whether the check is in maintenance at a time, until when (in UTC), and by which window. Where
// windows overlap or follow one another, until is the end of the last, and the window that which ends first.
// Where they leave no gap in a week, until is more than a week ahead.
func (t *Times) Resting(at time.Time) (until time.Time, window v1alpha1.MaintenanceWindow, ok bool) {
	if len(t.rests) == 0 {
		return time.Time{}, v1alpha1.MaintenanceWindow{}, false
	}
	at = at.Round(0)
	until = at
	for until.Sub(at) <= week {
		end, w, covered := t.covering(until)
		if !covered {
			break
		}
		if !ok {
			window, ok = w, true
		}
		until = end
	}
	return until.UTC(), window, ok
}

// covering finds the windows that a time lies in: the latest end, and the window that ends first.
func (t *Times) covering(at time.Time) (last time.Time, window v1alpha1.MaintenanceWindow, ok bool) {
	var soonest time.Time
	for _, r := range t.rests {
		end, in := r.end(at)
		if !in {
			continue
		}
		if !ok || end.Before(soonest) {
			soonest, window = end, r.window
		}
		if !ok || end.After(last) {
			last = end
		}
		ok = true
	}
	return last, window, ok
}

// end returns when the window that a time lies in ends: the latest, if it is longer than until it begins
// again.
func (r rest) end(at time.Time) (time.Time, bool) {
	local := at.In(r.zone)
	// The day before the earliest on which it may have begun, for days that are longer than others.
	days := int(r.lasts/day) + 2
	for back := range days + 1 {
		begin := r.begin(local.Year(), local.Month(), local.Day()-back)
		if begin.IsZero() || begin.After(at) {
			continue
		}
		// Of those that began before, this one ends last.
		end := begin.Add(r.lasts)
		return end, at.Before(end)
	}
	return time.Time{}, false
}

// begin is when the window begins on a day of its zone; zero where it does not. Where clocks are put forward
// over its start, that is when they are, and where they are put back over it, the first time.
func (r rest) begin(year int, month time.Month, date int) time.Time {
	if len(r.days) > 0 && !slices.Contains(r.days, time.Date(year, month, date, 0, 0, 0, 0, time.UTC).Weekday()) {
		return time.Time{}
	}
	t := time.Date(year, month, date, r.hour, r.minute, 0, 0, r.zone)
	from, to := t.ZoneBounds()
	wanted := time.Date(year, month, date, r.hour, r.minute, 0, 0, time.UTC)
	if got := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC); !got.Equal(wanted) {
		// There is no such time, and [time.Date] does not say on which side of the gap t lies.
		if got.After(wanted) {
			return from
		}
		return to
	}
	if !from.IsZero() {
		_, before := from.Add(-time.Second).Zone()
		_, now := t.Zone()
		if again := t.Add(time.Duration(now-before) * time.Second); again.Before(from) && before > now {
			return again
		}
	}
	return t
}
