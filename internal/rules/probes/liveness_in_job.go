package probes

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "LivenessInJob",
	Title: finding.Textf("liveness probe may kill a Job's work", "liveness probe가 Job의 작업을 종료시킬 수 있습니다"),
	Doc: finding.Textf(
		"A Job's container has a liveness probe: when it fails, the kubelet kills work that is half done, and the Job begins it anew or, where its pods are not restarted, counts a failure toward its backoffLimit. A Job that hangs is ended by "+
			"activeDeadlineSeconds, which says how long the work may take. One finding a CronJob, or a Job that none made. Left alone: sidecars, Jobs that are finished or suspended, and CronJobs that are suspended.",
		"Job의 컨테이너에 liveness probe가 있습니다. 실패하면 kubelet이 진행 중인 작업을 종료시키고 Job은 처음부터 다시 하거나, Pod를 재시작하지 않는 설정이면 backoffLimit에 실패로 셉니다. 멈춘 Job은 작업에 허용할 시간을 정하는 activeDeadlineSeconds로 끝냅니다. "+
			"CronJob마다, 또는 CronJob이 만들지 않은 Job마다 하나로 알립니다. sidecar, 끝났거나 중단(suspend)된 Job, 중단된 CronJob은 제외합니다."),
	Link:     "https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup",
	Severity: finding.Info,
	Risk:     true,
	Needs:    []rule.Need{rule.Any[*batchv1.CronJob](), rule.Any[*batchv1.Job]()},
	Detect: func(p *rule.Pass) {
		for _, c := range snapshot.List[*batchv1.CronJob](p.Snapshot) {
			if c.Spec.Suspend == nil || !*c.Spec.Suspend {
				reportJobLiveness(p, snapshot.SubjectOf(c), &c.Spec.JobTemplate.Spec)
			}
		}
		for _, j := range snapshot.List[*batchv1.Job](p.Snapshot) {
			suspended := j.Spec.Suspend != nil && *j.Spec.Suspend
			if metav1.GetControllerOfNoCopy(j) == nil && !suspended && !finished(j) {
				reportJobLiveness(p, snapshot.SubjectOf(j), &j.Spec)
			}
		}
	},
})

// finished tells whether a Job has ended, well or ill.
func finished(j *batchv1.Job) bool {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

func reportJobLiveness(p *rule.Pass, subject finding.Subject, spec *batchv1.JobSpec) {
	for i := range spec.Template.Spec.Containers {
		c := &spec.Template.Spec.Containers[i]
		if c.LivenessProbe == nil {
			continue
		}
		pod := &corev1.Pod{Spec: spec.Template.Spec}
		pod.Namespace = subject.Namespace
		at := place{of: &family{workload: subject, controller: subject, pods: []*corev1.Pod{pod}}, pod: pod, container: c}
		one := probe{at, liveness, c.LivenessProbe}
		t := one.timing()
		end := finding.Textf("and the work begins anew in the same pod", "같은 Pod에서 작업을 처음부터 다시 합니다")
		if spec.Template.Spec.RestartPolicy == corev1.RestartPolicyNever {
			end = finding.Textf("and its pod has failed, which counts toward the Job's backoffLimit", "Pod가 실패로 끝나 Job의 backoffLimit에 포함됩니다")
		}
		deadline := finding.Text{}
		if spec.ActiveDeadlineSeconds == nil {
			deadline = finding.Textf("it has no activeDeadlineSeconds", "activeDeadlineSeconds는 없습니다")
		}
		p.Report(finding.Finding{
			Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Field: one.field(""), Explains: []finding.Subject{subject},
			Title: finding.Textf("%s: the liveness probe of container %s may kill work that is half done", "%s: %s 컨테이너의 liveness probe가 진행 중인 작업을 종료시킬 수 있습니다", finding.Named(subject), c.Name),
			Why: finding.Join("; ", finding.Format("a pause of %s s has it killed, %s", "%s초를 멈추면 종료되고 %s",
				finding.Verbatim(noticing(t)), end), deadline),
			Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: one.field(""), Value: one.asks()}},
			Remedies: finding.Remedies{Later: []finding.Remedy{at.mend(p.Snapshot, fields{"livenessProbe": nil}, finding.Textf(
				"do without it, and bound the work by activeDeadlineSeconds", "liveness probe를 없애고 작업 시간은 activeDeadlineSeconds로 제한합니다"))}},
		})
		return
	}
}
