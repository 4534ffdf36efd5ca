package synthetic

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// scheduleSlack is how late a CronJob's Job may be, as in Kuberhealthy.
const scheduleSlack = 5 * time.Minute

var cronJobOptions = []Option{
	{Name: "NAMESPACE", Doc: "Namespace of the CronJobs; without it all namespaces."},
}

var cronJobAccess = []rbacv1.PolicyRule{{APIGroups: []string{batchv1.GroupName}, Resources: []string{"cronjobs"}, Verbs: []string{"list"}}}

var _ = All.Add(Scenario{
	Name:          "cronjob",
	Doc:           "Compares when CronJobs last made a Job with when they should have. A failure means that Jobs are not made on time.",
	Images:        []string{"cronjob-checker"},
	Options:       cronJobOptions,
	Access:        cronJobAccess,
	ClusterAccess: cronJobAccess,
	Time:          2 * time.Minute,
	Run:           runCronJob,
})

func runCronJob(ctx context.Context, env Environment) (Result, error) {
	namespace := env.read(cronJobOptions).text("NAMESPACE")
	now := env.Clock.Now()
	var late, notes []string
	suspended, waiting := 0, 0
	err := each(ctx, env.Client, &batchv1.CronJobList{}, "cronjobs", namespace, metav1.ListOptions{}, func(c *batchv1.CronJob) {
		switch {
		case c.DeletionTimestamp != nil:
		case c.Spec.Suspend != nil && *c.Spec.Suspend:
			suspended++
		case c.Spec.ConcurrencyPolicy == batchv1.ForbidConcurrent && len(c.Status.Active) > 0:
			waiting++ // as it is told: it makes no Job while the last one runs
		default:
			due, err := dueSince(c, now)
			switch {
			case err != nil:
				late = append(late, fmt.Sprintf("Cronjob %s in namespace %s has a schedule that cannot be read: %v", c.Name, c.Namespace, err))
			case !due.IsZero():
				late = append(late, fmt.Sprintf("Cronjob %s in namespace %s has not scheduled a job in scheduled window: it should have at %s (%s), and the last time was %s",
					c.Name, c.Namespace, date(due), c.Spec.Schedule, lastTime(c)))
			}
		}
	})
	if err != nil {
		return Result{}, fmt.Errorf("failed to fetch cronjobs: %w", err)
	}
	if suspended > 0 {
		notes = append(notes, fmt.Sprintf("CronJobs that are suspended, and were passed over: %d", suspended))
	}
	if waiting > 0 {
		notes = append(notes, fmt.Sprintf("CronJobs that wait for a Job of theirs to end, as they are told, and were passed over: %d", waiting))
	}
	if len(late) == 0 {
		return Result{Notes: notes}, nil
	}
	where := "namespace " + namespace
	if namespace == "" {
		where = "all namespaces"
	}
	first := fmt.Sprintf("There were %d cronjob(s) that had a last schedule time outside of scheduled window in %s", len(late), where)
	return Result{Errors: append([]string{first}, late...), Notes: notes}, nil
}

func lastTime(c *batchv1.CronJob) string {
	if c.Status.LastScheduleTime == nil {
		return "never"
	}
	return date(c.Status.LastScheduleTime.Time)
}

// dueSince returns since when a CronJob should have made a Job that it did not make; the zero time where
// it is not late. It counts from the last Job, or from the creation, as the controller does
// (k8s.io/kubernetes/pkg/controller/cronjob, mostRecentScheduleTime), whose parser may panic.
func dueSince(c *batchv1.CronJob, now time.Time) (due time.Time, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("parsing %q: %v", c.Spec.Schedule, v)
		}
	}()
	schedule, err := cron.ParseStandard(c.Spec.Schedule)
	if err != nil {
		return time.Time{}, fmt.Errorf("parsing %q: %w", c.Spec.Schedule, err)
	}
	from := c.CreationTimestamp.Time
	if c.Status.LastScheduleTime != nil {
		from = c.Status.LastScheduleTime.Time
	}
	zones, err := zonesOf(c, schedule)
	if err != nil {
		return time.Time{}, err
	}
	// Where several zones are possible, it is late only if it is in all of them.
	for _, zone := range zones {
		next := schedule.Next(from.In(zone))
		if next.IsZero() || next.Add(scheduleSlack).After(now) {
			return time.Time{}, nil
		}
		if next.After(due) {
			due = next
		}
	}
	return due, nil
}

// zonesOf returns the time zones that a schedule may be meant in. Without one of its own that is the
// zone of the controller manager, which nobody tells: that in which it last ran on time, if there is one.
func zonesOf(c *batchv1.CronJob, schedule cron.Schedule) ([]*time.Location, error) {
	if c.Spec.TimeZone != nil {
		zone, err := time.LoadLocation(*c.Spec.TimeZone)
		if err != nil {
			return nil, fmt.Errorf("loading its time zone: %w", err)
		}
		return []*time.Location{zone}, nil
	}
	if strings.Contains(c.Spec.Schedule, "TZ=") || strings.HasPrefix(c.Spec.Schedule, "@every") {
		return []*time.Location{time.UTC}, nil
	}
	const (
		step = 15 * time.Minute
		east = 14 * time.Hour
		west = 12 * time.Hour
	)
	if c.Status.LastScheduleTime == nil {
		return []*time.Location{time.UTC, time.FixedZone("", int(east/time.Second)), time.FixedZone("", -int(west/time.Second))}, nil
	}
	ran := c.Status.LastScheduleTime.Time
	var fitting []*time.Location
	for offset := -west; offset <= east; offset += step {
		zone := time.FixedZone("", int(offset/time.Second))
		if schedule.Next(ran.In(zone).Add(-time.Second)).Equal(ran) {
			if offset == 0 {
				return []*time.Location{time.UTC}, nil
			}
			fitting = append(fitting, zone)
		}
	}
	if len(fitting) == 0 {
		// The schedule was changed since.
		return []*time.Location{time.UTC}, nil
	}
	return fitting, nil
}
