package due_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/due"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

const uid types.UID = "0b5b3b6e-6f0c-4b53-9f3e-0d1e6d0f8a11"

var began = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC) // a Monday

func times(t *testing.T, spec v1alpha1.CheckSpec, uid types.UID, began time.Time) *due.Times {
	t.Helper()
	got, err := due.New(&spec, uid, began)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

// runs are the first n times after another.
func runs(d *due.Times, after time.Time, n int) []time.Time {
	var all []time.Time
	for range n {
		next, ok := d.Next(after)
		if !ok {
			break
		}
		all = append(all, next)
		after = next
	}
	return all
}

func TestPeriodKeepsItsPhaseWhoeverAsks(t *testing.T) {
	for _, period := range []int32{1, 7, 10, 60, 61, 3600, 86400} {
		spec := v1alpha1.CheckSpec{PeriodSeconds: period}
		span := time.Duration(period) * time.Second
		here := times(t, spec, uid, began)
		there := times(t, spec, uid, began.Add(1234567*time.Millisecond))
		late := began.Add(5 * 24 * time.Hour)
		got := runs(here, late, 3)
		if diff := cmp.Diff(runs(there, late, 3), got); diff != "" {
			t.Errorf("period of %d s: two replicas differ:\n%s", period, diff)
		}
		if got[0].Sub(late) > span || got[1].Sub(got[0]) != span || got[2].Sub(got[1]) != span {
			t.Errorf("period of %d s: runs at %v after %v", period, got, late)
		}
	}
}

func TestRunsBeforeTheEpochAreInPhaseToo(t *testing.T) {
	d := times(t, v1alpha1.CheckSpec{PeriodSeconds: 10}, uid, began)
	old := time.Date(1969, 12, 31, 23, 59, 0, 0, time.UTC)
	got, _ := d.Next(old)
	if wait := got.Sub(old); wait <= 0 || wait > 10*time.Second {
		t.Errorf("Next(%v) = %v", old, got)
	}
}

// Ten thousand checks that come to a replica at once must not be run at once, and each soon.
func TestFirstRunsAreSpread(t *testing.T) {
	for _, period := range []int32{10, 60, 3600, 86400} {
		window := min(period, 60)
		const checks = 10_000
		perSecond := make([]int, window)
		for i := range checks {
			d := times(t, v1alpha1.CheckSpec{PeriodSeconds: period}, types.UID(fmt.Sprint("uid-", i)), began)
			next, _ := d.Next(began)
			wait := next.Sub(began)
			if wait <= 0 || wait > time.Duration(window)*time.Second {
				t.Fatalf("period of %d s: the first run comes after %v", period, wait)
			}
			perSecond[(wait-1)/time.Second]++
		}
		fair := checks / int(window)
		for second, n := range perSecond {
			if n < fair/2 || n > fair*3/2 {
				t.Errorf("period of %d s: %d of %d checks run first in second %d", period, n, checks, second)
			}
		}
	}
}

func TestSchedule(t *testing.T) {
	for name, tc := range map[string]struct {
		schedule, zone string
		after          string
		want           []string
	}{
		"five fields are read in UTC": {
			schedule: "30 2 * * *", after: "2026-03-02T02:30:00Z",
			want: []string{"2026-03-03T02:30:00Z", "2026-03-04T02:30:00Z"},
		},
		"a time zone moves them": {
			schedule: "30 2 * * *", zone: "Asia/Seoul", after: "2026-03-02T00:00:00Z",
			want: []string{"2026-03-02T17:30:00Z", "2026-03-03T17:30:00Z"},
		},
		"a macro is read": {
			schedule: "@hourly", after: "2026-03-02T10:15:00Z",
			want: []string{"2026-03-02T11:00:00Z", "2026-03-02T12:00:00Z"},
		},
		"summer time begins": {
			schedule: "0 9 * * *", zone: "Europe/Berlin", after: "2026-03-28T00:00:00Z",
			want: []string{"2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"},
		},
		"the 29th of February is waited for": {
			schedule: "0 0 29 2 *", after: "2026-03-02T00:00:00Z", want: []string{"2028-02-29T00:00:00Z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := times(t, v1alpha1.CheckSpec{Schedule: tc.schedule, TimeZone: tc.zone}, uid, began)
			var got []string
			for _, run := range runs(d, at(t, tc.after), len(tc.want)) {
				got = append(got, run.UTC().Format(time.RFC3339))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("runs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSuspendedChecksAreNeverDue(t *testing.T) {
	for _, spec := range []v1alpha1.CheckSpec{{PeriodSeconds: 10, Suspend: true}, {Schedule: "@hourly", Suspend: true}} {
		if next, ok := times(t, spec, uid, began).Next(began); ok {
			t.Errorf("%+v is due at %v", spec, next)
		}
	}
}

func TestRefusals(t *testing.T) {
	always := []v1alpha1.MaintenanceWindow{{Start: "00:00", DurationMinutes: 24 * 60}}
	for name, tc := range map[string]struct {
		spec   v1alpha1.CheckSpec
		reason string
		says   string
	}{
		"a day that does not exist": {v1alpha1.CheckSpec{Schedule: "0 0 31 2 *"}, "NeverDue", `"0 0 31 2 *" names no date`},
		"four fields":               {v1alpha1.CheckSpec{Schedule: "0 0 * *"}, "ScheduleInvalid", "write five fields"},
		"a step of zero":            {v1alpha1.CheckSpec{Schedule: "*/0 * * * *"}, "ScheduleInvalid", "step"},
		"a time zone in schedule":   {v1alpha1.CheckSpec{Schedule: "TZ=UTC 0 0 * * *"}, "ScheduleInvalid", "write five fields"},
		"a time zone alone":         {v1alpha1.CheckSpec{Schedule: "TZ=UTC"}, "ScheduleInvalid", "write five fields"},
		"an unknown time zone":      {v1alpha1.CheckSpec{Schedule: "@daily", TimeZone: "Asia/Soul"}, "UnknownTimeZone", "such as Asia/Seoul"},
		"the machine's time zone":   {v1alpha1.CheckSpec{Schedule: "@daily", TimeZone: "Local"}, "UnknownTimeZone", "spec.timeZone"},
		"a path for a time zone":    {v1alpha1.CheckSpec{Schedule: "@daily", TimeZone: "../../etc/passwd"}, "UnknownTimeZone", "spec.timeZone"},
		"no rhythm":                 {v1alpha1.CheckSpec{}, "NeverDue", "write periodSeconds"},
		"maintenance all the time":  {v1alpha1.CheckSpec{PeriodSeconds: 10, Maintenance: always}, "AlwaysInMaintenance", "shorten"},
		"a schedule that is always in maintenance": {
			v1alpha1.CheckSpec{Schedule: "30 2 * * *", Maintenance: []v1alpha1.MaintenanceWindow{{Start: "02:00", DurationMinutes: 60}}},
			"AlwaysInMaintenance", "shorten",
		},
		"a window in no time zone": {
			v1alpha1.CheckSpec{PeriodSeconds: 10, Maintenance: []v1alpha1.MaintenanceWindow{{Start: "02:00", DurationMinutes: 60, TimeZone: "Mars/Base"}}},
			"UnknownTimeZone", "spec.maintenance[0].timeZone",
		},
		"a window at no time": {
			v1alpha1.CheckSpec{PeriodSeconds: 10, Maintenance: []v1alpha1.MaintenanceWindow{{Start: "24:00", DurationMinutes: 60}}},
			"MaintenanceInvalid", "HH:MM",
		},
		"a window on no day": {
			v1alpha1.CheckSpec{PeriodSeconds: 10, Maintenance: []v1alpha1.MaintenanceWindow{{Start: "02:00", DurationMinutes: 60, Days: []v1alpha1.Weekday{"Sunday"}}}},
			"MaintenanceInvalid", `"Sunday"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := due.New(&tc.spec, uid, began)
			refusal, ok := errors.AsType[*plan.Refusal](err)
			if !ok || refusal.Reason != tc.reason || !strings.Contains(refusal.Message, tc.says) {
				t.Errorf("New() = %+v, want %s with %q", err, tc.reason, tc.says)
			}
		})
	}
}

func TestSpans(t *testing.T) {
	const second, minute, hour = time.Second, time.Minute, time.Hour
	pod := v1alpha1.CheckAction{PodTemplate: &corev1.PodTemplateSpec{}}
	synthetic := v1alpha1.CheckAction{Synthetic: &v1alpha1.SyntheticAction{}}
	monday := began
	for name, tc := range map[string]struct {
		spec      v1alpha1.CheckSpec
		at        time.Time
		checks    int
		timeout   time.Duration
		heartbeat time.Duration
		stale     time.Duration
	}{
		"a probe":              {v1alpha1.CheckSpec{PeriodSeconds: 10}, monday, 1, second, 5 * minute, 10*minute + 10*second},
		"a probe every second": {v1alpha1.CheckSpec{PeriodSeconds: 1}, monday, 1, 800 * time.Millisecond, 5 * minute, 10*minute + second},
		"a timeout of its own": {v1alpha1.CheckSpec{PeriodSeconds: 10, TimeoutSeconds: 9}, monday, 1, 9 * second, 5 * minute, 10*minute + 10*second},
		"a pod":                {v1alpha1.CheckSpec{PeriodSeconds: 3600, CheckAction: pod}, monday, 1, 5 * minute, 2 * hour, 5 * hour},
		"a pod every minute":   {v1alpha1.CheckSpec{PeriodSeconds: 60, CheckAction: synthetic}, monday, 1, 48 * second, 5 * minute, 11 * minute},
		"ten thousand checks":  {v1alpha1.CheckSpec{PeriodSeconds: 10}, monday, 10_000, second, 2000 * second, 4010 * second},
		"a pod each minute by schedule": {
			v1alpha1.CheckSpec{Schedule: "* * * * *", CheckAction: pod}, monday, 1, 48 * second, 5 * minute, 11 * minute,
		},
		"working days, on a Friday": {
			v1alpha1.CheckSpec{Schedule: "0 9 * * 1-5"}, monday.AddDate(0, 0, 4), 1, second, 48 * hour, 96*hour + 71*hour,
		},
		"two runs a minute apart, after the second": {
			v1alpha1.CheckSpec{Schedule: "0,1 10 * * *"}, monday.Add(minute), 1, second, 5 * minute, 10*minute + 23*hour + 59*minute,
		},
		"maintenance for days": {
			v1alpha1.CheckSpec{PeriodSeconds: 10, Maintenance: []v1alpha1.MaintenanceWindow{{Days: []v1alpha1.Weekday{"Mon"}, Start: "00:00", DurationMinutes: 2 * 24 * 60}}},
			time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), 1, second, 5 * minute, 48*hour + 10*minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := times(t, tc.spec, uid, began)
			if got := d.Timeout(tc.at); got != tc.timeout {
				t.Errorf("Timeout() = %v, want %v", got, tc.timeout)
			}
			if got := d.Heartbeat(tc.at, tc.checks); got != tc.heartbeat {
				t.Errorf("Heartbeat() = %v, want %v", got, tc.heartbeat)
			}
			got := time.Duration(d.StaleAfterSeconds(tc.at, tc.checks)) * second
			if got < tc.stale || got > tc.stale+10*second { // by the phase, after maintenance
				t.Errorf("StaleAfterSeconds() = %v, want %v", got, tc.stale)
			}
		})
	}
}
