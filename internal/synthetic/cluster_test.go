package synthetic

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestCronJobsThatAreLate(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	now := at("2026-03-10T12:30:00Z")
	tests := map[string]struct {
		schedule, zone  string
		created, last   string
		want, wantError string
	}{
		"hourly, and on time":                    {schedule: "0 * * * *", last: "2026-03-10T12:00:00Z"},
		"hourly, and the last one is missing":    {schedule: "0 * * * *", last: "2026-03-10T11:00:00Z", want: "2026-03-10T12:00:00Z"},
		"hourly, and four minutes late":          {schedule: "26 * * * *", last: "2026-03-10T11:26:00Z"},
		"daily, and on time":                     {schedule: "0 3 * * *", last: "2026-03-10T03:00:00Z"},
		"daily, by a controller east of UTC":     {schedule: "0 9 * * *", last: "2026-03-10T00:00:00Z"},
		"daily, and missing east of UTC":         {schedule: "0 9 * * *", last: "2026-03-09T00:00:00Z", want: "2026-03-10T00:00:00Z"},
		"in a zone of its own":                   {schedule: "0 9 * * *", zone: "Asia/Seoul", last: "2026-03-10T00:00:00Z"},
		"in a zone of its own, and missing":      {schedule: "0 9 * * *", zone: "Asia/Seoul", last: "2026-03-09T00:00:00Z", want: "2026-03-10T00:00:00Z"},
		"in a zone that is none":                 {schedule: "0 9 * * *", zone: "Asia/Nowhere", last: "2026-03-09T00:00:00Z", wantError: "loading its time zone"},
		"yearly":                                 {schedule: "@yearly", last: "2026-01-01T00:00:00Z"},
		"every five minutes, and late":           {schedule: "*/5 * * * *", last: "2026-03-10T12:00:00Z", want: "2026-03-10T12:05:00Z"},
		"every hour since the last one":          {schedule: "@every 1h", last: "2026-03-10T11:40:00Z"},
		"never run, and made a minute ago":       {schedule: "*/5 * * * *", created: "2026-03-10T12:29:00Z"},
		"never run, and made last week":          {schedule: "0 * * * *", created: "2026-03-01T12:29:00Z", want: "2026-03-01T13:00:00Z"},
		"never run, and due in some zones only":  {schedule: "0 9 * * *", created: "2026-03-10T02:00:00Z"},
		"a day that never comes":                 {schedule: "0 0 31 2 *", created: "2020-03-10T02:00:00Z"},
		"a schedule that is none":                {schedule: "every day", created: "2020-03-10T02:00:00Z", wantError: `parsing "every day"`},
		"a schedule that makes the parser panic": {schedule: "TZ=0", created: "2020-03-10T02:00:00Z", wantError: `parsing "TZ=0"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := &batchv1.CronJob{Spec: batchv1.CronJobSpec{Schedule: tc.schedule}}
			if tc.created != "" {
				c.CreationTimestamp = metav1.NewTime(at(tc.created))
			}
			if tc.last != "" {
				c.Status.LastScheduleTime = new(metav1.NewTime(at(tc.last)))
			}
			if tc.zone != "" {
				c.Spec.TimeZone = &tc.zone
			}
			due, err := dueSince(c, now)
			switch {
			case tc.wantError != "":
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Errorf("error is %v, want %s", err, tc.wantError)
				}
			case err != nil:
				t.Error(err)
			case tc.want == "" && !due.IsZero():
				t.Errorf("late since %s, want on time", date(due))
			case tc.want != "" && (due.IsZero() || date(due) != tc.want):
				t.Errorf("late since %s, want %s", date(due), tc.want)
			}
		})
	}
}

func TestQuotasThatAreUsedUp(t *testing.T) {
	list := func(pairs ...string) corev1.ResourceList {
		l := corev1.ResourceList{}
		for i := 0; i < len(pairs); i += 2 {
			l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
		}
		return l
	}
	const limit = " namespace has reached threshold of 0.90: USED: "
	tests := map[string]struct {
		hard, used           corev1.ResourceList
		wantFull, wantCounts []string
	}{
		"little is used":              {hard: list("cpu", "10"), used: list("cpu", "8900m")},
		"just the threshold":          {hard: list("cpu", "10"), used: list("cpu", "9"), wantFull: []string{"cpu for shop" + limit + "9 LIMIT: 10 PERCENT_USED:  0.900 (ResourceQuota q)"}},
		"requests and limits":         {hard: list("requests.memory", "1Gi", "limits.cpu", "4"), used: list("requests.memory", "1000Mi", "limits.cpu", "5"), wantFull: []string{"limits.cpu for shop" + limit + "5 LIMIT: 4 PERCENT_USED:  1.250 (ResourceQuota q)", "requests.memory for shop" + limit + "1000Mi LIMIT: 1Gi PERCENT_USED:  0.977 (ResourceQuota q)"}},
		"pods":                        {hard: list("pods", "10"), used: list("pods", "10"), wantFull: []string{"pods for shop" + limit + "10 LIMIT: 10 PERCENT_USED:  1.000 (ResourceQuota q)"}},
		"a device":                    {hard: list("requests.nvidia.com/gpu", "2"), used: list("requests.nvidia.com/gpu", "2"), wantFull: []string{"requests.nvidia.com/gpu for shop" + limit + "2 LIMIT: 2 PERCENT_USED:  1.000 (ResourceQuota q)"}},
		"what is only counted":        {hard: list("services.nodeports", "1", "count/secrets", "5"), used: list("services.nodeports", "1", "count/secrets", "1"), wantCounts: []string{"services.nodeports for shop" + limit + "1 LIMIT: 1 PERCENT_USED:  1.000 (ResourceQuota q)"}},
		"nothing of it is wanted":     {hard: list("cpu", "0"), used: list("cpu", "0")},
		"a quota that is not counted": {hard: list("cpu", "10")},
		"no quota of these":           {},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "q"}, Status: corev1.ResourceQuotaStatus{Hard: tc.hard, Used: tc.used}}
			full, counts := exhausted(q, 0.9)
			if diff := cmp.Diff(tc.wantFull, full); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.wantCounts, counts); diff != "" {
				t.Error(diff)
			}
		})
	}
}
