package network

import (
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ServiceEndpointsReduced",
	Title: finding.Text{EN: "Service has fewer endpoints", KO: "Service의 endpoint가 줄었습니다"},
	Doc: finding.Text{
		EN: "Some of the pods that a Service selects are not ready, and others still serve: nobody is refused, and the next loss may take " +
			"the rest. It shows how far something else reaches and is no incident of its own. Left alone: pods that are done, being " +
			"deleted, or never were ready, and Services that publish pods whether they are ready or not.",
		KO: "Service가 선택한 Pod 중 일부가 Ready가 아니지만 나머지가 서비스하고 있습니다. 호출이 거부되지는 않으나 추가 장애에 취약합니다. " +
			"다른 원인의 영향 범위를 보이는 정보이며 그 자체로 incident가 되지 않습니다. 종료되었거나 삭제 중이거나 한 번도 Ready가 된 적 없는 Pod, Ready 여부와 무관하게 Pod를 공개하는 Service는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#ready",
	Severity: finding.Info,
	Needs: []rule.Need{
		rule.Any[*corev1.Service](), rule.Any[*corev1.Pod](), rule.Any[*discoveryv1.EndpointSlice](),
		rule.Optional[*corev1.Namespace](), rule.Optional[*coordinationv1.Lease](),
	},
	For:     3 * time.Minute,
	Symptom: true,
	Causes:  []rule.Cause{{Code: "PodNotReady", Via: rule.HasPod, Holds: hadServed}},
	Detect:  serviceEndpointsReduced,
})

func serviceEndpointsReduced(p *rule.Pass) {
	manager := p.Writer(snapshot.ControllerManager)
	for _, svc := range snapshot.List[*corev1.Service](p.Snapshot) {
		if !selects(p, svc) || !slices.ContainsFunc(p.PodsSelected(svc.Namespace, svc.Spec.Selector), unready) {
			continue
		}
		b := behind(p, svc, manager)
		unready := b.notReady()
		left := min(b.serving, len(b.selected)-len(unready))
		lost := slices.DeleteFunc(unready, neverReady)
		if left == 0 || len(lost) == 0 {
			continue
		}
		f := finding.Finding{
			Subject: snapshot.SubjectOf(svc), Mechanism: v1alpha1.MechanismDegraded, Settling: b.starting(p),
		}
		f.Title = finding.Textf("%s: %d of %d endpoints left", "%s: endpoint %[3]d개 중 %[2]d개가 남았습니다", finding.Named(f.Subject), left, left+len(lost))
		f.Why = finding.Join("; ", finding.Textf("not ready: %s", "Ready가 아닌 Pod: %s", podNames(lost)), b.counted(p))
		f.Evidence = []finding.Evidence{b.evidence(), readiness(lost[0])}
		for _, pod := range lost {
			f.Since = finding.Earlier(f.Since, snapshot.NotReadySince(pod))
		}
		p.Report(f)
	}
}

// hadServed tells whether the pod of the cause is one that the Service lost.
func hadServed(s *snapshot.Snapshot, _, cause finding.Finding) bool {
	pod, ok := snapshot.Get[*corev1.Pod](s, cause.Subject.Namespace, cause.Subject.Name)
	return ok && snapshot.WasReady(pod)
}

// neverReady tells whether a pod has never served, so that the Service lost nothing by it: the first
// pods of a new version, say.
func neverReady(pod *corev1.Pod) bool { return !snapshot.WasReady(pod) }

// unready tells whether a pod is not ready, so that the many Services whose pods all are need no
// counting.
func unready(pod *corev1.Pod) bool { return !snapshot.PodReady(pod) }
