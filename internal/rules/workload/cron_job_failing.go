package workload

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CronJobFailing",
	Title: finding.Text{EN: "CronJob does not do its work", KO: "CronJob이 작업을 수행하지 못합니다"},
	Doc: finding.Text{
		EN: "The work of a CronJob is not done: its last runs failed, a run that does not end keeps the next from starting (concurrencyPolicy Forbid) or " +
			"is ended by it (Replace), or runs are not started at their time. A single failed run after a success is only worth knowing. Left alone: " +
			"suspended CronJobs, runs that are retried, and times within five minutes or the starting deadline. A schedule without a time zone is judged " +
			"in the zone in which its last run was on time.",
		KO: "CronJob의 작업이 수행되지 않습니다. 최근 실행이 실패했거나, 끝나지 않는 실행이 다음 실행을 막거나(concurrencyPolicy Forbid) 다음 실행에 의해 중단되거나(Replace), 예정 시각에 실행이 시작되지 않은 경우입니다. " +
			"성공 뒤의 한 번 실패는 info로 알립니다. 일시 중지된 CronJob, 재시도 중인 실행, 예정 시각에서 5분(또는 startingDeadlineSeconds) 이내인 경우는 제외합니다. " +
			"시간대가 없는 schedule은 마지막 실행이 맞았던 시간대로 판단합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/",
	Severity: finding.Warning,
	Needs: slices.Concat(jobNeeds(), []rule.Need{
		rule.Any[*batchv1.CronJob](), rule.Whole[*batchv1.Job](), rule.Optional[*corev1.Event](), rule.Optional[*appsv1.ReplicaSet](),
	}),
	Causes: append(podCauses(), rule.Cause{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: notStartedOnTime}),
	Detect: cronJobFailing,
})

// startMargin is how late a run may be started: what the controller manager takes to come back after a
// restart or an election of a new leader.
const startMargin = 5 * time.Minute

// notStartedOnTime holds a dead controller manager against a CronJob whose runs are not started.
func notStartedOnTime(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return effect.Mechanism == v1alpha1.MechanismStopped
}

// cronJob is a CronJob with its runs, oldest first.
type cronJob struct {
	*batchv1.CronJob

	subject finding.Subject
	runs    []*batchv1.Job
}

func cronJobFailing(p *rule.Pass) {
	runs := map[finding.Subject][]*batchv1.Job{}
	for _, job := range snapshot.List[*batchv1.Job](p.Snapshot) {
		if ref := metav1.GetControllerOfNoCopy(job); ref != nil && ref.Kind == "CronJob" {
			owner := finding.Subject{Kind: "CronJob", Namespace: job.Namespace, Name: ref.Name}
			runs[owner] = append(runs[owner], job)
		}
	}
	unread := 0
	for _, c := range snapshot.List[*batchv1.CronJob](p.Snapshot) {
		if c.DeletionTimestamp != nil || (c.Spec.Suspend != nil && *c.Spec.Suspend) {
			continue
		}
		j := cronJob{c, snapshot.SubjectOf(c), runs[snapshot.SubjectOf(c)]}
		oldestFirst(j.runs)
		times, err := scheduleOf(c)
		if err != nil {
			if f, ok := j.unschedulable(p); ok {
				p.Report(f)
				continue
			}
			unread++
		}
		for _, look := range []func(*rule.Pass, schedule) (finding.Finding, bool){j.failing, j.blocked, j.notStarted} {
			if f, ok := look(p, times); ok {
				p.Report(f)
				break
			}
		}
	}
	if unread > 0 {
		p.Skip(finding.Textf("CronJobs whose schedule or time zone cannot be read here: %d; whether they run on time is not known",
			"schedule이나 시간대를 여기서 해석할 수 없는 CronJob이 %d개 있어 제때 실행되는지 알 수 없습니다", unread))
	}
}

func (j cronJob) finding() finding.Finding {
	return finding.Finding{Subject: j.subject, Mechanism: v1alpha1.MechanismFailing}
}

// known tells whether a schedule was read at all.
func (s schedule) known() bool { return s.Schedule != nil }

// unschedulable tells of a schedule that the controller manager says it cannot use.
func (j cronJob) unschedulable(p *rule.Pass) (finding.Finding, bool) {
	for _, e := range slices.Backward(p.EventsOf(j.subject)) {
		// k8s.io/kubernetes/pkg/controller/cronjob, cronjob_controllerv2.go.
		switch e.Reason {
		case "UnknownTimeZone", "UnparseableSchedule", "InvalidSchedule", "UnParseableCronJobSchedule":
		default:
			continue
		}
		f := j.finding()
		f.Mechanism, f.Field = v1alpha1.MechanismMisconfigured, ".spec.schedule"
		if e.Reason == "UnknownTimeZone" {
			f.Field = ".spec.timeZone"
		}
		f.Since = snapshot.EventStart(e)
		f.Title = finding.Textf("%s: never runs, for its schedule cannot be used", "%s: schedule을 사용할 수 없어 실행되지 않습니다", finding.Named(j.subject))
		f.Why = finding.Join(": ", finding.Verbatim(e.Reason), quoted(e.Message))
		f.Evidence = []finding.Evidence{eventEvidence(e)}
		f.Remedies.Now = []finding.Remedy{{
			Text:    finding.Textf("correct %s", "%s 값을 바로잡습니다", f.Field),
			Command: fmt.Sprintf("kubectl -n %s edit cronjob %s", j.Namespace, j.Name),
		}}
		return f, true
	}
	return finding.Finding{}, false
}

// failing tells of runs that failed since the last that succeeded.
func (j cronJob) failing(p *rule.Pass, times schedule) (finding.Finding, bool) {
	failed := failedSince(slices.Clone(j.runs))
	if len(failed) == 0 {
		return finding.Finding{}, false
	}
	last := failed[len(failed)-1]
	condition := jobCondition(last, batchv1.JobFailed)
	succeeded := j.Status.LastSuccessfulTime
	if succeeded != nil && succeeded.After(condition.LastTransitionTime.Time) {
		return finding.Finding{}, false // The Job that succeeded is deleted already.
	}
	// Of the failed Jobs mostly one is kept (failedJobsHistoryLimit); the schedule tells how many there were.
	n, since := len(failed), jobCondition(failed[0], batchv1.JobFailed).LastTransitionTime.Time
	if succeeded != nil && times.known() {
		first, due := times.missed(succeeded.Time, condition.LastTransitionTime.Time, 2)
		n, since = max(n, due), finding.Earlier(since, first)
	}
	f := j.finding()
	f.Since = since
	switch {
	case succeeded == nil:
		f.Title = finding.Textf("%s: its runs fail, and none succeeded yet", "%s: 실행이 실패하고 있으며 성공한 적이 없습니다", finding.Named(j.subject))
	case n > 1:
		f.Title = finding.Textf("%s: its runs fail since %s", "%s: %s 이후 실행이 계속 실패하고 있습니다", finding.Named(j.subject), finding.Clock(p.Now(), succeeded.Time))
	default:
		f.Severity = finding.Info
		f.Title = finding.Textf("%s: its last run failed", "%s: 마지막 실행이 실패했습니다", finding.Named(j.subject))
	}
	why, evidence := tellFailure(p, last, condition)
	f.Why = finding.Join("; ", finding.Textf("the last to fail is Job %s, at %s", "마지막으로 실패한 Job은 %s입니다(%s)",
		last.Name, finding.Clock(p.Now(), condition.LastTransitionTime.Time)), why)
	f.Evidence = append([]finding.Evidence{j.lastSuccess()}, evidence...)
	f.Remedies.Now = append(jobRemedies(last), finding.Remedy{
		Text:    finding.Text{EN: "when the cause is gone, try it without waiting for its time", KO: "원인을 해결한 뒤 예정 시각을 기다리지 않고 실행해 봅니다"},
		Command: fmt.Sprintf("kubectl -n %s create job %s-again --from=cronjob/%s", j.Namespace, j.Name, j.Name),
	})
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "watch .status.lastSuccessfulTime rather than single runs", KO: "개별 실행보다 .status.lastSuccessfulTime을 감시하십시오",
	}}}
	return f, true
}

func (j cronJob) lastSuccess() finding.Evidence {
	e := finding.Evidence{Source: finding.Named(j.subject), Path: ".status.lastSuccessfulTime", Value: "(never)"}
	if t := j.Status.LastSuccessfulTime; t != nil {
		e.Value, e.At = t.UTC().Format(time.RFC3339), finding.Timestamp(t.Time)
	}
	return e
}

// missedForBlocked is how many times a run must have held up before it counts as hung: a run that is
// longer than the time between two starts is what Forbid is for.
const missedForBlocked = 3

// longerThanUsual is how many times as long as those before it a run must take to count as hung: a
// schedule of every minute with Forbid means one run after another, however long each takes.
const longerThanUsual = 2

// usual is the longest that a run which succeeded took, of those whose Jobs are kept.
func (j cronJob) usual() time.Duration {
	var longest time.Duration
	for _, job := range j.runs {
		if c := jobCondition(job, batchv1.JobComplete); c != nil {
			longest = max(longest, c.LastTransitionTime.Sub(job.CreationTimestamp.Time))
		}
	}
	return longest
}

// ticksCounted bounds how many missed times of a schedule are counted.
const ticksCounted = 100

// blocked tells of a run that does not end and keeps others from starting, or of runs that never end
// because the next one takes their place.
func (j cronJob) blocked(p *rule.Pass, times schedule) (finding.Finding, bool) {
	i := slices.IndexFunc(j.runs, func(job *batchv1.Job) bool { return !snapshot.JobFinished(job) && job.DeletionTimestamp == nil })
	if i < 0 || !times.known() {
		return finding.Finding{}, false
	}
	run := j.runs[i]
	f := j.finding()
	f.Mechanism = v1alpha1.MechanismHung
	switch j.Spec.ConcurrencyPolicy {
	case batchv1.ForbidConcurrent:
		first, n := times.missed(run.CreationTimestamp.Time, p.Now(), ticksCounted)
		if n < missedForBlocked || p.Now().Sub(run.CreationTimestamp.Time) < longerThanUsual*j.usual() {
			return finding.Finding{}, false
		}
		f.Since = first
		f.Title = finding.Textf("%s: a run that does not end keeps the others from starting", "%s: 끝나지 않는 실행 때문에 다음 실행이 시작되지 않습니다", finding.Named(j.subject))
		f.Why = finding.Textf("Job %s runs since %s, %d times to start passed since, and concurrencyPolicy is Forbid",
			"Job %s가 %s부터 실행 중이며, 그동안 예정된 실행 %d번이 시작되지 않았습니다(concurrencyPolicy: Forbid)", run.Name, finding.Clock(p.Now(), run.CreationTimestamp.Time), n)
	case batchv1.ReplaceConcurrent:
		after := j.CreationTimestamp.Time
		if t := j.Status.LastSuccessfulTime; t != nil {
			after = t.Time
		}
		first, n := times.missed(finding.Later(after, snapshot.SpecWritten(j)), p.Now(), ticksCounted)
		if n < missedForBlocked {
			return finding.Finding{}, false
		}
		f.Since = first
		f.Title = finding.Textf("%s: no run ends before the next takes its place", "%s: 실행이 끝나기 전에 다음 실행으로 교체됩니다", finding.Named(j.subject))
		f.Why = finding.Textf("%d times to start passed without a success, and concurrencyPolicy is Replace; Job %s runs now",
			"예정된 실행 %d번 동안 성공이 없었습니다(concurrencyPolicy: Replace). 현재 Job %s가 실행 중입니다", n, run.Name)
	default:
		return finding.Finding{}, false
	}
	f.Evidence = []finding.Evidence{
		{Source: finding.Named(snapshot.SubjectOf(run)), Path: ".metadata.creationTimestamp", Value: run.CreationTimestamp.UTC().Format(time.RFC3339), At: finding.Timestamp(run.CreationTimestamp.Time)},
		{Source: finding.Named(j.subject), Path: ".spec.concurrencyPolicy", Value: string(j.Spec.ConcurrencyPolicy)},
		j.lastSuccess(),
	}
	f.Remedies.Now = append(jobRemedies(run), finding.Remedy{
		Text:    finding.Text{EN: "end the run, if it hangs", KO: "멈춘 것이 확실하면 해당 실행을 종료합니다"},
		Command: fmt.Sprintf("kubectl -n %s delete job %s", j.Namespace, run.Name),
	})
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "set activeDeadlineSeconds in the Job's template, so that a run that hangs is ended", KO: "Job template에 activeDeadlineSeconds를 지정하여 멈춘 실행이 종료되게 하십시오",
	}}}
	return f, true
}

// notStarted tells of runs that were not started at their time.
func (j cronJob) notStarted(p *rule.Pass, times schedule) (finding.Finding, bool) {
	if !times.known() {
		return finding.Finding{}, false
	}
	after := finding.Later(j.CreationTimestamp.Time, snapshot.SpecWritten(j))
	if t := j.Status.LastScheduleTime; t != nil {
		after = finding.Later(after, t.Time)
	}
	margin := startMargin
	if d := j.Spec.StartingDeadlineSeconds; d != nil {
		margin = max(margin, time.Duration(*d)*time.Second)
	}
	active := slices.ContainsFunc(j.runs, func(job *batchv1.Job) bool { return !snapshot.JobFinished(job) })
	first, n := times.missed(after, p.Now().Add(-margin), 1)
	if after.IsZero() || n == 0 || (active && j.Spec.ConcurrencyPolicy == batchv1.ForbidConcurrent) {
		return finding.Finding{}, false
	}
	f := j.finding()
	f.Mechanism, f.Since = v1alpha1.MechanismStopped, first
	f.Title = finding.Textf("%s: not started at its time", "%s: 예정 시각에 실행되지 않았습니다", finding.Named(j.subject))
	f.Why = finding.Textf("by its schedule %q it should have started at %s, and did not", "schedule %q에 따라 %s에 시작되어야 했으나 시작되지 않았습니다",
		j.Spec.Schedule, finding.Clock(p.Now(), first))
	last := finding.Evidence{Source: finding.Named(j.subject), Path: ".status.lastScheduleTime", Value: "(never)"}
	if t := j.Status.LastScheduleTime; t != nil {
		last.Value, last.At = t.UTC().Format(time.RFC3339), finding.Timestamp(t.Time)
	}
	f.Evidence = []finding.Evidence{last, {Source: finding.Named(j.subject), Path: ".spec.schedule", Value: j.Spec.Schedule}}
	for _, e := range slices.Backward(p.EventsOf(j.subject)) {
		if e.Type == corev1.EventTypeWarning && snapshot.EventTime(e).After(after) {
			f.Why = finding.Join("; ", f.Why, finding.Join(": ", finding.Verbatim(e.Reason), quoted(e.Message)))
			f.Evidence = append(f.Evidence, eventEvidence(e))
			break
		}
	}
	f.Remedies.Now = []finding.Remedy{
		{
			Text:    finding.Text{EN: "see what its controller says", KO: "controller의 메시지를 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s describe cronjob %s", j.Namespace, j.Name),
		},
		{
			Text:    finding.Text{EN: "do now what was missed", KO: "놓친 실행을 지금 수행합니다"},
			Command: fmt.Sprintf("kubectl -n %s create job %s-again --from=cronjob/%s", j.Namespace, j.Name, j.Name),
		},
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "let startingDeadlineSeconds be longer than the controller manager takes to come back, so that it makes up for what it missed",
		KO: "controller manager가 다시 동작하기까지 걸리는 시간보다 startingDeadlineSeconds를 길게 지정하면 놓친 실행을 따라잡습니다",
	}}}
	return f, true
}
