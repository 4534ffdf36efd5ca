package workload

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PodFailed",
	Title: finding.Textf("bare pod has failed and is not replaced", "controller 없는 Pod가 실패한 채 남아 있습니다"),
	Doc: finding.Textf(
		"A pod that no controller owns ended in failure within the last day: a container of it exited with an error and its restart policy does not bring it back, or it ran longer than its activeDeadlineSeconds. Nobody makes it "+
			"anew. A remark, since such pods are mostly tasks and tests run by hand. Silent for pods of a controller, which replaces them or tells of them itself, for those that a kubelet ended or refused (PodEvicted, PodRejected), for checker pods, whose end is their check's result (CheckFailing, CheckerBroken), and for older ones.",
		"controller가 없는 Pod가 최근 하루 사이에 실패로 끝났습니다. 컨테이너가 오류로 종료되었고 restart policy가 다시 시작하지 않거나, activeDeadlineSeconds를 넘긴 경우입니다. 다시 생성할 주체가 없습니다. "+
			"대개 수동으로 실행한 작업이나 시험이므로 참고로만 알립니다. controller가 있는 Pod, kubelet이 종료하거나 거부한 Pod(PodEvicted, PodRejected), 결과를 check로 알리는 checker Pod(CheckFailing, CheckerBroken), 오래된 Pod는 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase",
	Severity: finding.Info,
	Needs:    []rule.Need{rule.Any[*corev1.Pod](), rule.Optional[*corev1.Event]()},
	Detect:   detectPodFailed,
})

// failedLately is how long ago a bare pod may have failed to be worth a remark.
const failedLately = 24 * time.Hour

func detectPodFailed(p *rule.Pass) {
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if snapshot.CheckerPod(pod) || pod.Status.Phase != corev1.PodFailed || pod.DeletionTimestamp != nil || controllerOf(pod) != "" || slices.Contains(evictions, pod.Status.Reason) {
			continue
		}
		if _, refused := rejectionOf(pod); refused {
			continue
		}
		if at := endedAt(p.Snapshot, pod); !at.IsZero() && p.Now().Sub(at) <= failedLately {
			p.Report(podFailed(pod, at))
		}
	}
}

func podFailed(pod *corev1.Pod, at time.Time) finding.Finding {
	subject := podSubject(pod)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismCrashing, Since: at,
		Title:    finding.Textf("%s: ended in failure, and no controller makes it anew", "%s: 실패로 끝났고 다시 생성할 controller가 없습니다", finding.Qualified(subject)),
		Why:      finding.Textf("its phase is Failed", "phase가 Failed입니다"),
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".status.phase", Value: string(pod.Status.Phase), At: finding.Timestamp(at)}},
	}
	if pod.Status.Reason != "" {
		f.Mechanism = v1alpha1.MechanismStopped
		f.Why = finding.Join(": ", f.Why, inQuotes(pod.Status.Reason+" "+pod.Status.Message))
	}
	for c := range containersOf(pod) {
		end := c.status.State.Terminated
		if end == nil || end.ExitCode == 0 {
			continue
		}
		f.Evidence = append(f.Evidence, c.evidence())
		f.Why = finding.Join("; ", f.Why, finding.Format("%s %s", "%s %s", c.label(), ended(end)), exitMeaning(end))
		f.Remedies.Now = []finding.Remedy{{
			Text:    finding.Textf("read what it said before it ended", "종료되기 전의 로그를 확인합니다"),
			Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --tail=100", pod.Namespace, pod.Name, c.spec.Name),
		}}
		break
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Textf(
		"run tasks as Jobs and services as Deployments, which make their pods anew", "작업은 Job으로, 서비스는 Deployment로 실행해 Pod가 다시 생성되게 하십시오")}}
	return f
}

// ended says with which code a container ended for good.
func ended(end *corev1.ContainerStateTerminated) finding.Text {
	return finding.Textf("ended with exit code %d", "종료되었습니다(exit code %d)", end.ExitCode)
}
