package workload

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMissedTimesOfASchedule(t *testing.T) {
	at := func(clock string) time.Time {
		parsed, err := time.Parse(time.RFC3339, clock)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	seoul := "Asia/Seoul"
	tests := map[string]struct {
		schedule     string
		zone         *string
		last         string
		after, until string
		wantFirst    string
		wantN        int
	}{
		"every ten minutes": {"*/10 * * * *", nil, "2026-03-02T02:00:00Z", "2026-03-02T02:00:00Z", "2026-03-02T02:31:00Z", "2026-03-02T02:10:00Z", 3},
		"none is missed":    {"*/10 * * * *", nil, "2026-03-02T02:00:00Z", "2026-03-02T02:00:00Z", "2026-03-02T02:09:00Z", "", 0},
		"a zone of its own": {"0 3 * * *", &seoul, "", "2026-03-01T12:00:00Z", "2026-03-01T19:00:00Z", "2026-03-01T18:00:00Z", 1},
		"the controller manager's zone shows in its last run":           {"0 3 * * *", nil, "2026-02-28T18:00:00Z", "2026-02-28T18:00:00Z", "2026-03-01T17:00:00Z", "", 0},
		"and one that was missed in it":                                 {"0 3 * * *", nil, "2026-02-28T18:00:00Z", "2026-02-28T18:00:00Z", "2026-03-01T18:30:00Z", "2026-03-01T18:00:00Z", 1},
		"where no run tells the zone, only what is missed in every one": {"0 3 * * *", nil, "", "2026-03-01T02:00:00Z", "2026-03-01T12:00:00Z", "", 0},
		"a day and a half on it is missed in every one":                 {"0 3 * * *", nil, "", "2026-03-01T02:00:00Z", "2026-03-02T14:00:00Z", "2026-03-01T15:00:00Z", 1},
		"many are counted so far only":                                  {"* * * * *", nil, "2026-03-01T02:00:00Z", "2026-03-01T02:00:00Z", "2026-03-02T02:00:00Z", "2026-03-01T02:01:00Z", ticksCounted},
		"a day that never comes":                                        {"59 23 31 2 *", nil, "", "2026-03-01T02:00:00Z", "2026-03-02T02:00:00Z", "", 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := &batchv1.CronJob{Spec: batchv1.CronJobSpec{Schedule: tc.schedule, TimeZone: tc.zone}}
			if tc.last != "" {
				c.Status.LastScheduleTime = &metav1.Time{Time: at(tc.last)}
			}
			s, err := scheduleOf(c)
			if err != nil {
				t.Fatal(err)
			}
			first, n := s.missed(at(tc.after), at(tc.until), ticksCounted)
			want := time.Time{}
			if tc.wantFirst != "" {
				want = at(tc.wantFirst)
			}
			if n != tc.wantN || !first.Equal(want) {
				t.Errorf("missed = %s, %d, want %s, %d", first.UTC(), n, want, tc.wantN)
			}
		})
	}
}

func TestScheduleOfWhatIsNone(t *testing.T) {
	nowhere := "Nowhere/Land"
	for name, spec := range map[string]batchv1.CronJobSpec{
		"not a schedule":              {Schedule: "soon"},
		"one that makes parsers fall": {Schedule: "TZ=0"},
		"a zone that does not exist":  {Schedule: "0 3 * * *", TimeZone: &nowhere},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := scheduleOf(&batchv1.CronJob{Spec: spec}); err == nil {
				t.Error("no error")
			}
		})
	}
}
