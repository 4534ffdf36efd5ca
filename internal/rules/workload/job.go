package workload

import (
	"cmp"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// jobCondition returns a condition of a Job that is true, or nil.
func jobCondition(job *batchv1.Job, t batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if c := &job.Status.Conditions[i]; c.Type == t && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// jobReasons say what the reasons of a failed Job mean (k8s.io/api/batch/v1, types.go).
var jobReasons = map[string]finding.Text{
	batchv1.JobReasonBackoffLimitExceeded:     {EN: "its pods failed as often as its backoffLimit allows", KO: "Pod가 backoffLimit만큼 실패했습니다"},
	batchv1.JobReasonDeadlineExceeded:         {EN: "it ran longer than its activeDeadlineSeconds", KO: "activeDeadlineSeconds보다 오래 실행되었습니다"},
	batchv1.JobReasonPodFailurePolicy:         {EN: "a pod failed in a way that its podFailurePolicy does not retry", KO: "podFailurePolicy에 따라 재시도하지 않는 방식으로 Pod가 실패했습니다"},
	batchv1.JobReasonMaxFailedIndexesExceeded: {EN: "more of its indexes failed than maxFailedIndexes allows", KO: "실패한 index가 maxFailedIndexes를 넘었습니다"},
	batchv1.JobReasonFailedIndexes:            {EN: "some of its indexes failed", KO: "일부 index가 실패했습니다"},
}

// tellFailure says why a Job failed, in its condition's words, and what its last pod says of it.
func tellFailure(p *rule.Pass, job *batchv1.Job, failed *batchv1.JobCondition) (finding.Text, []finding.Evidence) {
	subject := snapshot.SubjectOf(job)
	why := finding.Join(": ", finding.Verbatim(failed.Reason), jobReasons[failed.Reason])
	if jobReasons[failed.Reason].IsZero() {
		why = finding.Join(": ", finding.Verbatim(failed.Reason), quoted(failed.Message))
	}
	evidence := []finding.Evidence{{
		Source: finding.Named(subject), Path: ".status.conditions[Failed].reason", Value: failed.Reason, At: finding.Timestamp(failed.LastTransitionTime.Time),
	}}
	c, ok := lastFailure(p.PodsOf(p.Workload(podOf(job))), job)
	if !ok {
		return why, evidence
	}
	end := c.ended()
	texts := []finding.Text{why, finding.Textf("container %s of its pod %s ended with exit code %d", "Pod %[2]s의 컨테이너 %[1]s가 exit code %[3]d로 종료되었습니다",
		c.spec.Name, c.pod.Name, end.ExitCode), exitMeaning(end)}
	evidence = append(evidence, c.evidence())
	words := askLastWords(p, nil, []container{c})
	texts = append(texts, words.textOr(end.Message))
	return finding.Join("; ", texts...), append(evidence, words.evidence...)
}

// podOf stands for a pod that a Job would own.
func podOf(job *batchv1.Job) *corev1.Pod {
	yes := true
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: job.Namespace, OwnerReferences: []metav1.OwnerReference{{Kind: "Job", Name: job.Name, Controller: &yes}},
	}}
}

// lastFailure returns the container that failed last among a Job's pods that are still there.
func lastFailure(pods []*corev1.Pod, job *batchv1.Job) (container, bool) {
	var last container
	var at time.Time
	for _, pod := range pods {
		if controllerOf(pod) != job.Name {
			continue
		}
		for c := range containersOf(pod) {
			if end := c.ended(); end != nil && end.ExitCode != 0 && (last.pod == nil || end.FinishedAt.After(at)) {
				last, at = c, end.FinishedAt.Time
			}
		}
	}
	return last, last.pod != nil
}

// family tells Jobs that do the same work from others: those of a controller, else those whose
// containers run the same commands, whatever tag their images have.
func family(job *batchv1.Job) string {
	if ref := metav1.GetControllerOfNoCopy(job); ref != nil {
		return strings.Join([]string{job.Namespace, ref.Kind, ref.Name}, "\x00")
	}
	parts := []string{job.Namespace}
	for _, c := range job.Spec.Template.Spec.Containers {
		parts = append(parts, c.Name, snapshot.ParseImage(c.Image).Repository, strings.Join(c.Command, " "), strings.Join(c.Args, " "))
	}
	return strings.Join(parts, "\x00")
}

// oldestFirst orders Jobs by when they were made.
func oldestFirst(jobs []*batchv1.Job) {
	slices.SortStableFunc(jobs, func(a, b *batchv1.Job) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

// jobNeeds are the kinds that tellFailure reads.
func jobNeeds() []rule.Need {
	return []rule.Need{rule.Optional[*corev1.Pod](), rule.Optional[*batchv1.Job]()}
}

// podCauses are what pods of Jobs fail of, as rules about their workload tell.
func podCauses() []rule.Cause {
	var out []rule.Cause
	for _, code := range []finding.Code{
		"ImageNotFound", "ImageNameInvalid", "ImagePullDenied", "ContainerCrashLoop", "ContainerOOMKilled", "PodUnschedulable",
		"PodStuckCreating", "PodsNotCreated",
	} {
		out = append(out, rule.Cause{Code: code, Via: rule.Itself})
	}
	return append(out, cutOff()...)
}
