package due_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/due"
)

func TestResting(t *testing.T) {
	type window = v1alpha1.MaintenanceWindow
	night := []window{{Start: "23:00", DurationMinutes: 180}}
	for name, tc := range map[string]struct {
		windows []window
		at      string
		want    string // until; empty for no rest
		by      string // start of the window
	}{
		"before it begins":               {night, "2026-03-02T22:59:59Z", "", ""},
		"as it begins":                   {night, "2026-03-02T23:00:00Z", "2026-03-03T02:00:00Z", "23:00"},
		"past midnight":                  {night, "2026-03-03T01:59:59Z", "2026-03-03T02:00:00Z", "23:00"},
		"as it ends":                     {night, "2026-03-03T02:00:00Z", "", ""},
		"on its day":                     {[]window{{Days: []v1alpha1.Weekday{"Mon"}, Start: "02:00", DurationMinutes: 60}}, "2026-03-02T02:30:00Z", "2026-03-02T03:00:00Z", "02:00"},
		"on another day":                 {[]window{{Days: []v1alpha1.Weekday{"Tue"}, Start: "02:00", DurationMinutes: 60}}, "2026-03-02T02:30:00Z", "", ""},
		"the day after, past midnight":   {[]window{{Days: []v1alpha1.Weekday{"Sun"}, Start: "23:00", DurationMinutes: 180}}, "2026-03-02T01:00:00Z", "2026-03-02T02:00:00Z", "23:00"},
		"the same evening, another day":  {[]window{{Days: []v1alpha1.Weekday{"Sun"}, Start: "23:00", DurationMinutes: 180}}, "2026-03-02T23:30:00Z", "", ""},
		"a day by its own time zone":     {[]window{{Days: []v1alpha1.Weekday{"Tue"}, Start: "01:00", DurationMinutes: 60, TimeZone: "Asia/Seoul"}}, "2026-03-02T16:30:00Z", "2026-03-02T17:00:00Z", "01:00"},
		"days on end":                    {[]window{{Days: []v1alpha1.Weekday{"Fri"}, Start: "18:00", DurationMinutes: 3 * 24 * 60}}, "2026-03-09T17:00:00Z", "2026-03-09T18:00:00Z", "18:00"},
		"almost a week":                  {[]window{{Days: []v1alpha1.Weekday{"Mon"}, Start: "00:00", DurationMinutes: 10079}}, "2026-03-08T23:00:00Z", "2026-03-08T23:59:00Z", "00:00"},
		"windows that overlap":           {[]window{{Start: "01:00", DurationMinutes: 120}, {Start: "02:00", DurationMinutes: 120}}, "2026-03-02T02:30:00Z", "2026-03-02T04:00:00Z", "01:00"},
		"windows that follow":            {[]window{{Start: "02:00", DurationMinutes: 60}, {Start: "01:00", DurationMinutes: 60}}, "2026-03-02T01:30:00Z", "2026-03-02T03:00:00Z", "01:00"},
		"one within another":             {[]window{{Start: "01:00", DurationMinutes: 300}, {Start: "02:00", DurationMinutes: 30}}, "2026-03-02T02:10:00Z", "2026-03-02T06:00:00Z", "02:00"},
		"longer than until it is again":  {[]window{{Days: []v1alpha1.Weekday{"Mon", "Tue"}, Start: "00:00", DurationMinutes: 36 * 60}}, "2026-03-02T12:00:00Z", "2026-03-04T12:00:00Z", "00:00"},
		"clocks are put forward over it": {[]window{{Start: "02:30", DurationMinutes: 60, TimeZone: "America/New_York"}}, "2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z", "02:30"},
		"before clocks are":              {[]window{{Start: "02:30", DurationMinutes: 60, TimeZone: "America/New_York"}}, "2026-03-08T06:59:59Z", "", ""},
		"put forward over midnight":      {[]window{{Start: "00:30", DurationMinutes: 60, TimeZone: "America/Sao_Paulo"}}, "2018-11-04T03:10:00Z", "2018-11-04T04:00:00Z", "00:30"},
		"not before that midnight":       {[]window{{Start: "00:30", DurationMinutes: 60, TimeZone: "America/Sao_Paulo"}}, "2018-11-04T02:59:00Z", "", ""},
		"clocks are put back over it":    {[]window{{Start: "01:30", DurationMinutes: 60, TimeZone: "America/New_York"}}, "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "01:30"},
		"only the first time":            {[]window{{Start: "01:30", DurationMinutes: 60, TimeZone: "America/New_York"}}, "2026-11-01T06:30:00Z", "", ""},
		"it lasts as long as it says":    {[]window{{Start: "00:00", DurationMinutes: 240, TimeZone: "America/New_York"}}, "2026-11-01T07:59:59Z", "2026-11-01T08:00:00Z", "00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			d := times(t, v1alpha1.CheckSpec{PeriodSeconds: 10, Maintenance: tc.windows}, uid, began)
			moment := at(t, tc.at)
			until, window, ok := d.Resting(moment)
			if in, err := due.Within("spec.windows", tc.windows, moment); in != ok || err != nil {
				t.Errorf("Within() = %t, %v, and it rests: %t", in, err, ok)
			}
			got := ""
			if ok {
				got = until.UTC().Format(time.RFC3339)
			}
			if got != tc.want || window.Start != tc.by {
				t.Errorf("Resting() = %q by %q, want %q by %q", got, window.Start, tc.want, tc.by)
			}
			next, _ := d.Next(moment.Add(-time.Nanosecond))
			if ok && (next.Before(until) || next.After(until.Add(10*time.Second))) {
				t.Errorf("Next() = %v, want it after the maintenance, which ends at %v", next, until)
			}
		})
	}
}

// A check that is run once a day, at a time that nobody chose, must not be kept from it every day.
func TestAPhaseInMaintenanceIsMadeUpFor(t *testing.T) {
	windows := []v1alpha1.MaintenanceWindow{{Start: "00:00", DurationMinutes: 23 * 60}}
	for i := range 100 {
		d := times(t, v1alpha1.CheckSpec{PeriodSeconds: 86400, Maintenance: windows}, types.UID(fmt.Sprint("uid-", i)), began)
		after := began.AddDate(0, 0, 2)
		for range 5 {
			next, ok := d.Next(after)
			if !ok || next.Sub(after) > 25*time.Hour || next.UTC().Hour() != 23 {
				t.Fatalf("check %d: Next(%v) = %v, %v", i, after, next, ok)
			}
			again, _ := d.Next(next.Add(-30 * time.Minute)) // in maintenance
			if after.Before(next.Add(-30*time.Minute)) && next.UTC().Minute() < 1 && !again.Equal(next) {
				t.Fatalf("check %d: asked in maintenance, Next is %v instead of %v", i, again, next)
			}
			after = next
		}
	}
}

func TestWithinNamesTheFieldThatCannotBeRead(t *testing.T) {
	_, err := due.Within("spec.takeOutOfService.windows", []v1alpha1.MaintenanceWindow{
		{Start: "09:00", DurationMinutes: 60}, {Start: "09:00", DurationMinutes: 60, TimeZone: "Mars/Base"},
	}, at(t, "2026-03-02T09:30:00Z"))
	if err == nil || !strings.Contains(err.Error(), "spec.takeOutOfService.windows[1].timeZone") {
		t.Errorf("got %v, want an error that names the window", err)
	}
}

// Whatever windows there are: time goes on, nothing is run in maintenance, and no time is left out that is in
// none.
func TestNextAndRestingAgree(t *testing.T) {
	zones := []string{"", "Asia/Seoul", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"}
	names := []v1alpha1.Weekday{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		spec := v1alpha1.CheckSpec{PeriodSeconds: []int32{10, 60, 600, 3600, 86400}[r.IntN(5)]}
		for range r.IntN(4) {
			w := v1alpha1.MaintenanceWindow{
				Start:           fmt.Sprintf("%02d:%02d", r.IntN(24), r.IntN(60)),
				DurationMinutes: 1 + r.Int32N(600),
				TimeZone:        zones[r.IntN(len(zones))],
			}
			for _, name := range names {
				if r.IntN(3) == 0 {
					w.Days = append(w.Days, name)
				}
			}
			spec.Maintenance = append(spec.Maintenance, w)
		}
		began := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.Int64N(int64(300 * 24 * time.Hour))))
		d, err := due.New(&spec, types.UID(fmt.Sprint("uid-", seed)), began)
		if err != nil {
			continue // such windows leave no time
		}
		after := began
		for range 200 {
			next, ok := d.Next(after)
			if !ok || !next.After(after) {
				t.Fatalf("seed %d: Next(%v) = %v, %v", seed, after, next, ok)
			}
			if until, _, ok := d.Resting(next); ok {
				t.Fatalf("seed %d: run at %v, in maintenance until %v", seed, next, until)
			}
			period := time.Duration(spec.PeriodSeconds) * time.Second
			rested := next.Sub(after) <= period
			for moment := after.Add(period); !rested && moment.Before(next); moment = moment.Add(time.Minute) {
				_, _, rested = d.Resting(moment)
			}
			if !rested {
				t.Fatalf("seed %d: nothing runs between %v and %v", seed, after, next)
			}
			after = next
		}
	}
}
