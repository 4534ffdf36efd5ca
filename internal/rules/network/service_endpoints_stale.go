package network

import (
	"fmt"
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
	Code:  "ServiceEndpointsStale",
	Title: finding.Text{EN: "EndpointSlices list pods that do not serve", KO: "EndpointSlice에 서비스하지 않는 Pod가 남아 있습니다"},
	Doc: finding.Text{
		EN: "The EndpointSlices of a Service list as ready pods that are gone or have not been ready for minutes, so a part of the calls goes nowhere: whoever writes them does not keep up. " +
			"For slices of Kubernetes' own that is the controller manager. Left alone: Services that publish pods whether ready or not, slices that somebody else writes, and pods that have just changed.",
		KO: "Service의 EndpointSlice가 이미 없거나 몇 분째 Ready가 아닌 Pod를 Ready로 나타내어 호출의 일부가 실패합니다. EndpointSlice를 갱신하는 주체(Kubernetes 기본은 controller manager)가 따라가지 못하는 것입니다. " +
			"Ready 여부와 무관하게 Pod를 공개하는 Service, 다른 주체가 쓰는 slice, 방금 바뀐 Pod는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/",
	Severity: finding.Warning,
	Needs: []rule.Need{
		rule.Any[*corev1.Service](), rule.Whole[*corev1.Pod](), rule.Any[*discoveryv1.EndpointSlice](), rule.Optional[*corev1.Namespace](), rule.Optional[*coordinationv1.Lease](),
	},
	For:     staleAfter,
	Symptom: true,
	Causes:  []rule.Cause{{Code: "ControllerManagerDown", Via: rule.Cluster}},
	Detect:  serviceEndpointsStale,
})

// staleAfter is how long EndpointSlices may lag behind their pods: the controller batches changes and,
// in a large cluster, works through a queue.
const staleAfter = 3 * time.Minute

// sliceController is the label value of slices that the controller manager writes
// (k8s.io/kubernetes/pkg/controller/endpointslice, controllerName).
const sliceController = "endpointslice-controller.k8s.io"

func serviceEndpointsStale(p *rule.Pass) {
	manager := p.Writer(snapshot.ControllerManager)
	for _, svc := range snapshot.List[*corev1.Service](p.Snapshot) {
		if !selects(p, svc) || svc.Spec.PublishNotReadyAddresses {
			continue
		}
		var stale []string
		var since time.Time
		listed := 0
		for _, slice := range p.EndpointSlicesOf(svc) {
			if by := slice.Labels[discoveryv1.LabelManagedBy]; by != "" && by != sliceController {
				continue
			}
			for i := range slice.Endpoints {
				e := &slice.Endpoints[i]
				if !listedReady(*e) || e.TargetRef == nil || e.TargetRef.Kind != "Pod" {
					continue
				}
				listed++
				if at, old := outOfDate(p, svc.Namespace, e, manager); old {
					stale = append(stale, e.TargetRef.Name)
					since = finding.Earlier(since, at)
				}
			}
		}
		if len(stale) > 0 {
			p.Report(staleFinding(p, svc, stale, listed, since, manager))
		}
	}
}

// outOfDate tells whether an endpoint that is listed as ready is not, for longer than it may be, and
// since when. A pod that is gone left no time: it counts only while the controller manager is dead, for
// else it may have gone between two requests of the snapshot.
func outOfDate(p *rule.Pass, namespace string, e *discoveryv1.Endpoint, manager snapshot.Freshness) (time.Time, bool) {
	pod, ok := snapshot.Get[*corev1.Pod](p.Snapshot, namespace, e.TargetRef.Name)
	if !ok {
		return manager.LastSeen, manager.State == snapshot.Dead
	}
	if snapshot.PodReady(pod) && !snapshot.PodDone(pod) {
		return time.Time{}, false
	}
	at := snapshot.NotReadySince(pod)
	return at, p.Now().Sub(at) > staleAfter
}

func staleFinding(p *rule.Pass, svc *corev1.Service, stale []string, listed int, since time.Time, manager snapshot.Freshness) finding.Finding {
	subject := snapshot.SubjectOf(svc)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismHung, Since: since,
		Title: finding.Textf("%s: %d of the %d endpoints that are listed as ready do not serve", "%s: Ready로 나타난 endpoint %[3]d개 중 %[2]d개가 서비스하지 않습니다", finding.Named(subject), len(stale), listed),
		Why:   finding.Format("these pods are gone or not ready: %s", "없거나 Ready가 아닌 Pod: %s", finding.List(stale)),
		Evidence: []finding.Evidence{{
			Source: "EndpointSlices of " + finding.Named(subject), Path: ".endpoints[].conditions.ready", Value: fmt.Sprintf("true for %d, of which %d do not serve", listed, len(stale)),
		}},
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Text{EN: "see whether the controller manager renews its Lease", KO: "controller manager가 Lease를 갱신하는지 확인합니다"},
			Command: "kubectl -n kube-system get lease kube-controller-manager",
		}}},
	}
	if manager.State == snapshot.Dead {
		f.Why = finding.Join("; ", f.Why, finding.Textf("the controller manager, which keeps EndpointSlices, is dead since %s",
			"EndpointSlice를 갱신하는 controller manager가 %s부터 멈춰 있습니다", finding.Clock(p.Now(), manager.LastSeen)))
		f.Evidence = append(f.Evidence, manager.Evidence...)
	}
	return f
}
