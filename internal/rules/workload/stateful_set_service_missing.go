package workload

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "StatefulSetServiceMissing",
	Title: finding.Text{EN: "StatefulSet's Service does not exist", KO: "StatefulSet의 Service가 존재하지 않습니다"},
	Doc: finding.Text{
		EN: "The Service that a StatefulSet names in spec.serviceName does not exist, so that its pods have no names of their own (pod.service.namespace) " +
			"in DNS. Programs that find each other by these names cannot. Only noted while any of its pods is ready, for they may not need them. Left alone: " +
			"StatefulSets that name no Service, those without replicas, and ones whose only pod is being replaced.",
		KO: "StatefulSet의 spec.serviceName에 지정된 Service가 존재하지 않아 Pod별 DNS 이름(pod.service.namespace)이 없습니다. 이 이름으로 서로를 찾는 프로그램은 동작하지 못합니다. " +
			"Ready Pod가 있으면 필요하지 않을 수 있으므로 info로 알립니다. Service를 지정하지 않은 StatefulSet과 replicas가 0인 경우, 하나뿐인 Pod를 교체하는 중인 경우는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-network-id",
	Severity: finding.Info, Gravest: finding.Warning,
	Needs:  []rule.Need{rule.Any[*appsv1.StatefulSet](), rule.Whole[*corev1.Service]()},
	For:    unreadyAfter,
	Detect: statefulSetServiceMissing,
})

func statefulSetServiceMissing(p *rule.Pass) {
	for _, s := range snapshot.List[*appsv1.StatefulSet](p.Snapshot) {
		wanted := snapshot.Replicas(s.Spec.Replicas)
		if s.Spec.ServiceName == "" || wanted == 0 || s.DeletionTimestamp != nil {
			continue
		}
		if _, ok := snapshot.Get[*corev1.Service](p.Snapshot, s.Namespace, s.Spec.ServiceName); ok {
			continue
		}
		subject := snapshot.SubjectOf(s)
		f := finding.Finding{
			Subject: subject, Mechanism: v1alpha1.MechanismMissing, Field: ".spec.serviceName", Since: s.CreationTimestamp.Time,
			Title: finding.Textf("%s: its Service %s does not exist", "%s: Service %s가 존재하지 않습니다", finding.Named(subject), s.Spec.ServiceName),
			Why: finding.Textf("its pods have no names of their own in DNS, such as %s-0.%s.%s", "Pod별 DNS 이름(예: %s-0.%s.%s)이 없습니다",
				s.Name, s.Spec.ServiceName, s.Namespace),
			Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".spec.serviceName", Value: s.Spec.ServiceName}},
			Remedies: finding.Remedies{Now: []finding.Remedy{{
				Text:    finding.Textf("make a headless Service (clusterIP: None) of this name that selects %s", "이 이름으로 %s를 선택하는 headless Service(clusterIP: None)를 만듭니다", selectorText(s)),
				Command: fmt.Sprintf("kubectl -n %s create service clusterip %s --clusterip=None --dry-run=client -o yaml", s.Namespace, s.Spec.ServiceName),
			}}},
		}
		if s.Status.ReadyReplicas == 0 && !statefulSetRollsOut(s) {
			if _, counted := statusWritten(s); counted.After(f.Since) {
				f.Since = counted // Its pods may have been ready until then, and be about to be again.
			}
			f.Severity = finding.Warning
			f.Confidence = lowConfidence
			f.Why = finding.Join("; ", f.Why, finding.Text{
				EN: "none of its pods is ready: whether for want of the names only their logs tell",
				KO: "Ready 상태인 Pod가 없습니다. 이 이름이 없기 때문인지는 로그로 알 수 있습니다",
			})
			f.Evidence = append(f.Evidence, finding.Evidence{Source: finding.Named(subject), Path: ".status.readyReplicas", Value: fmt.Sprintf("%d of %d", s.Status.ReadyReplicas, wanted)})
		}
		p.Report(f)
	}
}
