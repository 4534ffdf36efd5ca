package workload

import (
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "NamespaceStuckTerminating",
	Title: finding.Text{EN: "namespace does not go away", KO: "namespace가 삭제되지 않습니다"},
	Doc: finding.Text{
		EN: "A namespace was deleted and is still Terminating after five minutes. Its conditions say what holds it: an aggregated API that does not " +
			"answer (nothing can be listed, so nothing is known to be gone), content that could not be deleted, or objects whose finalizers nobody " +
			"removes. Nothing new can be made in it meanwhile. Left alone: namespaces whose deletion began lately.",
		KO: "삭제된 namespace가 5분이 지나도록 Terminating 상태입니다. 원인은 condition에 나타납니다. 응답하지 않는 aggregated API(목록을 조회할 수 없어 삭제 완료를 확인하지 못합니다), " +
			"삭제하지 못한 객체, 아무도 제거하지 않는 finalizer 등입니다. 그동안 이 namespace에는 새 객체를 만들 수 없습니다. 최근에 삭제가 시작된 namespace는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/namespaces/#deleting-a-namespace",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.Namespace](), rule.Optional[*coordinationv1.Lease]()},
	For:      terminatingAfter,
	Symptom:  true,
	Causes:   []rule.Cause{{Code: "ControllerManagerDown", Via: rule.Cluster}},
	Detect:   namespaceStuckTerminating,
})

func namespaceStuckTerminating(p *rule.Pass) {
	for _, ns := range snapshot.List[*corev1.Namespace](p.Snapshot) {
		if ns.DeletionTimestamp != nil {
			p.Report(stuckNamespace(p, ns))
		}
	}
}

func stuckNamespace(p *rule.Pass, ns *corev1.Namespace) finding.Finding {
	subject := snapshot.SubjectOf(ns)
	deleted := ns.DeletionTimestamp.Time
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismHung, Since: deleted,
		Title: finding.Textf("%s: deleted, and does not go away", "%s: 삭제되었으나 없어지지 않습니다", finding.Named(subject)),
		Evidence: []finding.Evidence{{
			Source: finding.Named(subject), Path: ".metadata.deletionTimestamp", Value: deleted.UTC().Format(time.RFC3339), At: finding.Timestamp(deleted),
		}},
	}
	texts := []finding.Text{finding.Textf("deleted at %s", "%s에 삭제되었습니다", finding.Clock(p.Now(), deleted))}
	blind := false
	for _, c := range ns.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		// The types are those of k8s.io/kubernetes/pkg/controller/namespace/deletion, status_condition_utils.go.
		blind = blind || c.Type == corev1.NamespaceDeletionDiscoveryFailure
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(subject), Path: fmt.Sprintf(".status.conditions[%s].message", c.Type),
			Value: finding.Quote(c.Message), At: finding.Timestamp(c.LastTransitionTime.Time),
		})
		texts = append(texts, finding.Join(": ", finding.Verbatim(string(c.Type)), quoted(c.Message)))
	}
	if len(texts) == 1 {
		texts = append(texts, finding.Text{EN: "no condition says what holds it", KO: "원인을 알려 주는 condition이 없습니다"})
		for _, name := range ns.Spec.Finalizers {
			if name != corev1.FinalizerKubernetes {
				texts = append(texts, waitsFor(string(name)))
			}
		}
	}
	f.Why = finding.Join("; ", texts...)
	if blind {
		f.Mechanism = v1alpha1.MechanismFailing
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Text{EN: "see which API is not available, and bring what serves it back, or delete its APIService if it is gone for good", KO: "사용할 수 없는 API를 찾아 서버를 복구합니다. 더 이상 쓰지 않는 API라면 APIService를 삭제합니다"},
			Command: "kubectl get apiservices",
		})
	}
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Text{EN: "see what is left in it", KO: "남아 있는 객체를 확인합니다"},
		Command: fmt.Sprintf("kubectl api-resources --verbs=list --namespaced -o name | xargs -n1 kubectl -n %s get --show-kind --ignore-not-found", ns.Name),
	})
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "delete what a controller looks after before the controller itself, and do not finalize the namespace by hand: what is left in it would stay in etcd, out of reach",
		KO: "controller가 관리하는 객체를 먼저 지우고 controller를 나중에 지우십시오. namespace를 직접 finalize하면 남은 객체가 접근할 수 없는 상태로 etcd에 남습니다",
	}}}
	return f
}
