package workload

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "UpdateWaitsForDeletion",
	Title: finding.Text{EN: "update waits until pods are deleted", KO: "Pod를 삭제해야 적용되는 변경이 있습니다"},
	Doc: finding.Text{
		EN: "A StatefulSet or DaemonSet with the update strategy OnDelete has a newer revision than some of its pods: they stay of the old one until " +
			"somebody deletes them, which may be meant. It is noted, so that nobody takes the new version for running. Left alone: other strategies, and " +
			"sets whose pods are all of the newest revision.",
		KO: "update strategy가 OnDelete인 StatefulSet이나 DaemonSet에 새 revision이 있으나 일부 Pod는 이전 revision입니다. 누군가 삭제할 때까지 이전 버전으로 남으며, 의도한 것일 수 있습니다. " +
			"새 버전이 실행 중이라고 오해하지 않도록 알립니다. 다른 strategy와 모든 Pod가 최신 revision인 경우는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#update-strategies",
	Severity: finding.Info,
	Needs:    []rule.Need{rule.Any[*appsv1.StatefulSet](), rule.Any[*appsv1.DaemonSet]()},
	Detect:   updateWaitsForDeletion,
})

func updateWaitsForDeletion(p *rule.Pass) {
	for _, s := range snapshot.List[*appsv1.StatefulSet](p.Snapshot) {
		if s.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType || s.Status.UpdateRevision == s.Status.CurrentRevision {
			continue
		}
		if n := int(s.Status.Replicas - s.Status.UpdatedReplicas); n > 0 {
			p.Report(waitsForDeletion(p, s, n, finding.Evidence{
				Path: ".status.updatedReplicas", Value: fmt.Sprintf("%d of %d", s.Status.UpdatedReplicas, s.Status.Replicas),
			}))
		}
	}
	for _, d := range snapshot.List[*appsv1.DaemonSet](p.Snapshot) {
		if d.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
			continue
		}
		if n := int(d.Status.CurrentNumberScheduled - d.Status.UpdatedNumberScheduled); n > 0 {
			p.Report(waitsForDeletion(p, d, n, finding.Evidence{
				Path: ".status.updatedNumberScheduled", Value: fmt.Sprintf("%d of %d", d.Status.UpdatedNumberScheduled, d.Status.CurrentNumberScheduled),
			}))
		}
	}
}

func waitsForDeletion(p *rule.Pass, o snapshot.Object, pods int, seen finding.Evidence) finding.Finding {
	subject := snapshot.SubjectOf(o)
	seen.Source = finding.Named(subject)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismStopped, Field: ".spec.updateStrategy.type", Since: snapshot.SpecWritten(o),
		Title: finding.Format("%s: %s still of the old version", "%s: %s가 이전 버전입니다", finding.Verbatim(finding.Named(subject)), finding.Pods(pods)),
		Why: finding.Text{
			EN: "its update strategy is OnDelete: a pod is made of the new version when somebody deletes the old one",
			KO: "update strategy가 OnDelete이므로 기존 Pod를 삭제해야 새 버전의 Pod가 만들어집니다",
		},
		Evidence: []finding.Evidence{seen, {Source: finding.Named(subject), Path: ".spec.updateStrategy.type", Value: "OnDelete"}},
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text: finding.Text{EN: "see which pods are of which revision, and delete the old ones one by one", KO: "Pod별 revision을 확인하고 이전 버전의 Pod를 하나씩 삭제합니다"},
			Command: fmt.Sprintf("kubectl -n %s get pods -l '%s' -L %s", subject.Namespace, selectorText(o),
				appsv1.ControllerRevisionHashLabelKey),
		}}},
	}
	if manager, at := snapshot.LastManager(o); manager != "" {
		f.Why = finding.Join("; ", f.Why, finding.Textf("last changed at %s by %q", "마지막 변경 %s, 변경 주체 %q", finding.Clock(p.Now(), at), manager))
	}
	return f
}
