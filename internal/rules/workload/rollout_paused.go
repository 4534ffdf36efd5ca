package workload

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "RolloutPaused",
	Title: finding.Text{EN: "change held back by a paused rollout", KO: "일시 중지된 rollout 때문에 변경이 적용되지 않았습니다"},
	Doc: finding.Text{
		EN: "A Deployment is paused, and its pod template is another than that of the pods that run, or its new version is there only in part. " +
			"Nothing fails and nothing tells: the old version just stays. Left alone: paused Deployments whose template is what runs, those scaled to " +
			"zero, and changes of the last minutes, which people collect before they resume.",
		KO: "Deployment가 일시 중지되어 있고, Pod template이 실행 중인 Pod와 다르거나 새 버전이 일부만 배포되어 있습니다. 오류 없이 이전 버전이 그대로 남습니다. " +
			"template이 실행 중인 Pod와 같은 경우, replicas가 0인 경우, resume 전에 모으는 중일 수 있는 최근 몇 분 안의 변경은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pausing-and-resuming-a-deployment",
	Severity: finding.Warning,
	Needs:    slices.Concat([]rule.Need{rule.Any[*appsv1.Deployment](), rule.Whole[*appsv1.ReplicaSet](), rule.Optional[*corev1.Pod]()}, rule.Owners()),
	For:      unreadyAfter,
	Detect:   rolloutPaused,
})

func rolloutPaused(p *rule.Pass) {
	for _, d := range snapshot.List[*appsv1.Deployment](p.Snapshot) {
		if !d.Spec.Paused || d.DeletionTimestamp != nil || snapshot.Replicas(d.Spec.Replicas) == 0 {
			continue
		}
		sets := p.ReplicaSetsOf(d)
		if len(sets) == 0 {
			continue // It never rolled out anything: people prepare it.
		}
		if f, ok := paused(p, d, sets[0]); ok {
			p.Report(f)
		}
	}
}

func paused(p *rule.Pass, d *appsv1.Deployment, newest *appsv1.ReplicaSet) (finding.Finding, bool) {
	subject := snapshot.SubjectOf(d)
	changes := templateChanges(&newest.Spec.Template, &d.Spec.Template)
	halfway := d.Status.UpdatedReplicas > 0 && d.Status.UpdatedReplicas < d.Status.Replicas
	if len(changes) == 0 && !halfway {
		return finding.Finding{}, false
	}
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismStopped, Field: ".spec.paused", Since: snapshot.SpecWritten(d),
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".spec.paused", Value: "true"}},
	}
	manager, at := snapshot.LastManager(d)
	if c := deploymentCondition(d, appsv1.DeploymentProgressing); c != nil && c.Reason == deploymentPaused {
		f.Since = finding.Later(f.Since, c.LastTransitionTime.Time)
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(subject), Path: ".status.conditions[Progressing].reason", Value: c.Reason, At: finding.Timestamp(c.LastTransitionTime.Time),
		})
	}
	var texts []finding.Text
	if len(changes) > 0 {
		f.Title = finding.Textf("%s: rollout is paused, and a change waits", "%s: rollout이 일시 중지되어 변경이 적용되지 않고 있습니다", finding.Named(subject))
		texts = append(texts, finding.Format("waiting: %s", "대기 중인 변경: %s", tellChanges(changes)),
			finding.Textf("what runs is revision %d", "실행 중인 버전은 revision %d입니다", snapshot.Revision(newest)))
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(subject), Path: ".spec.template", Value: finding.Quote(tellChanges(changes).EN), At: finding.Timestamp(at),
		})
	} else {
		f.Title = finding.Textf("%s: rollout is paused halfway, at %d of %d new pods", "%s: rollout이 도중에 일시 중지되었습니다. 새 Pod %[3]d개 중 %[2]d개만 생성되었습니다",
			finding.Named(subject), d.Status.UpdatedReplicas, snapshot.Replicas(d.Spec.Replicas))
		texts = append(texts, finding.Textf("%d of its %d pods are of revision %d", "Pod %[2]d개 중 %[1]d개가 revision %[3]d입니다",
			d.Status.UpdatedReplicas, d.Status.Replicas, snapshot.Revision(newest)))
	}
	if manager != "" {
		texts = append(texts, finding.Textf("last changed at %s by %q", "마지막 변경 %s, 변경 주체 %q", finding.Clock(p.Now(), at), manager))
	}
	f.Why = finding.Join("; ", texts...)
	f.Remedies.Now = []finding.Remedy{
		{
			Text:    finding.Text{EN: "see the revisions that ran; the change that waits is none of them yet", KO: "배포된 revision을 확인합니다. 대기 중인 변경은 아직 여기에 없습니다"},
			Command: fmt.Sprintf("kubectl -n %s rollout history %s", d.Namespace, argument(subject)),
		},
		{
			Text:    finding.Text{EN: "let it go on, if nobody means it to wait", KO: "의도한 중지가 아니라면 rollout을 재개합니다"},
			Command: fmt.Sprintf("kubectl -n %s rollout resume %s", d.Namespace, argument(subject)),
		},
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "let what deploys wait for kubectl rollout status, which does not return while a rollout is paused",
		KO: "배포 절차에서 kubectl rollout status를 기다리게 하십시오. rollout이 일시 중지되어 있으면 완료되지 않습니다",
	}}}
	return f, true
}
