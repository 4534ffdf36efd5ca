package workload

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "JobFailed",
	Title: finding.Text{EN: "Job failed", KO: "Job이 실패했습니다"},
	Doc: finding.Text{
		EN: "A Job came to its end without doing its work, and no Job that does the same succeeded since: its pods failed too often, it ran out of " +
			"time, or a failure policy ended it. Jobs that do the same work are one finding. After a day it is only worth knowing. Left alone: Jobs that " +
			"are still retried, completed and suspended ones, and those of CronJobs, which CronJobFailing judges.",
		KO: "Job이 작업을 마치지 못하고 끝났으며, 이후 같은 작업을 하는 Job이 성공한 적이 없습니다. Pod 실패 횟수 초과, 시간 초과, 실패 정책에 따른 종료 등이 원인입니다. " +
			"같은 작업을 하는 Job은 하나로 묶고, 하루가 지나면 info로 알립니다. 재시도 중이거나 완료되었거나 일시 중지된 Job과, CronJobFailing이 판단하는 CronJob의 Job은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-backoff-failure-policy",
	Severity: finding.Warning,
	Needs:    slices.Concat(jobNeeds(), []rule.Need{rule.Any[*batchv1.Job](), rule.Optional[*appsv1.ReplicaSet]()}),
	Causes:   podCauses(),
	Detect:   jobFailed,
})

// jobFresh is how long a failed Job that nobody tried again is more than worth knowing.
const jobFresh = 24 * time.Hour

func jobFailed(p *rule.Pass) {
	families := map[string][]*batchv1.Job{}
	var order []string
	for _, job := range snapshot.List[*batchv1.Job](p.Snapshot) {
		if ref := metav1.GetControllerOfNoCopy(job); ref != nil && ref.Kind == "CronJob" {
			continue
		}
		key := family(job)
		if families[key] == nil {
			order = append(order, key)
		}
		families[key] = append(families[key], job)
	}
	for _, key := range order {
		if failed := failedSince(families[key]); len(failed) > 0 {
			p.Report(failedJobs(p, failed))
		}
	}
}

// failedSince returns the Jobs that failed after the last that succeeded, oldest first.
func failedSince(jobs []*batchv1.Job) []*batchv1.Job {
	oldestFirst(jobs)
	var failed []*batchv1.Job
	for _, job := range jobs {
		switch {
		case jobCondition(job, batchv1.JobComplete) != nil:
			failed = nil
		case jobCondition(job, batchv1.JobFailed) != nil && job.DeletionTimestamp == nil:
			failed = append(failed, job)
		}
	}
	return failed
}

func failedJobs(p *rule.Pass, jobs []*batchv1.Job) finding.Finding {
	last := jobs[len(jobs)-1]
	condition := jobCondition(last, batchv1.JobFailed)
	subject := snapshot.SubjectOf(last)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismFailing, Since: condition.LastTransitionTime.Time,
		Title: finding.Textf("%s: failed", "%s: 실패했습니다", finding.Named(subject)),
	}
	if n := len(jobs) - 1; n > 0 {
		f.Title = finding.Textf("%s: failed, as %d before it did", "%s: 실패했습니다. 이전에도 같은 Job이 %d번 실패했습니다", finding.Named(subject), n)
		f.Since = jobCondition(jobs[0], batchv1.JobFailed).LastTransitionTime.Time
	}
	if p.Now().Sub(condition.LastTransitionTime.Time) > jobFresh {
		f.Severity = finding.Info
	}
	f.Why, f.Evidence = tellFailure(p, last, condition)
	f.Remedies.Now = jobRemedies(last)
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{Text: finding.Text{
		EN: "when the cause is gone, create the Job anew: a failed one is not tried again", KO: "원인을 해결한 뒤 Job을 다시 생성합니다. 실패한 Job은 다시 시도되지 않습니다",
	}})
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "set ttlSecondsAfterFinished, so that old Jobs go by themselves", KO: "ttlSecondsAfterFinished를 지정하여 오래된 Job이 자동으로 정리되게 하십시오",
	}}}
	return f
}

// jobRemedies say where a Job tells why it failed.
func jobRemedies(job *batchv1.Job) []finding.Remedy {
	return []finding.Remedy{
		{
			Text:    finding.Text{EN: "see what its pods said last", KO: "Pod의 마지막 로그를 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s logs job/%s --all-containers --tail=50", job.Namespace, job.Name),
		},
		{
			Text:    finding.Text{EN: "see its events", KO: "이벤트를 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s describe job %s", job.Namespace, job.Name),
		},
	}
}
