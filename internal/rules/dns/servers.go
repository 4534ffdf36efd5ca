package dns

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// state is what can be said of a Service.
type state int

const (
	// gone: it has no server.
	gone state = iota
	// unsure: those who would know do not report.
	unsure
	// up: it has a server.
	up
)

// service tells whether a Service has a server. What its EndpointSlices say is what kube-proxy
// acts on, so none there is none. Ready ones are believed while the controller manager lives to take
// them back; without it each one's pod is looked at.
func service(s *snapshot.Snapshot, svc *corev1.Service) state {
	best := gone
	if !s.Coverage(snapshot.KindOf[*discoveryv1.EndpointSlice]()).Known() {
		for _, pod := range servers(s, svc) {
			best = max(best, server(s, pod))
		}
		return best
	}
	fossil := s.Writer(snapshot.ControllerManager).State == snapshot.Dead
	for _, slice := range s.EndpointSlicesOf(svc) {
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			switch {
			case e.Conditions.Ready != nil && !*e.Conditions.Ready:
			case !fossil:
				return up
			case e.TargetRef == nil || e.TargetRef.Kind != "Pod":
				best = max(best, unsure)
			default:
				if pod, ok := snapshot.Get[*corev1.Pod](s, svc.Namespace, e.TargetRef.Name); ok {
					best = max(best, server(s, pod))
				}
			}
		}
	}
	return best
}

// server tells whether a pod serves, as far as its kubelet lives to say so: containers outlive it.
func server(s *snapshot.Snapshot, pod *corev1.Pod) state {
	switch {
	case !snapshot.PodReady(pod):
		return gone
	case s.Writer(snapshot.KubeletOn(pod.Spec.NodeName)).State == snapshot.Dead:
		return unsure
	default:
		return up
	}
}

// servers are the pods behind the Service that have not run to their end.
func servers(s *snapshot.Snapshot, svc *corev1.Service) []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(s.PodsSelected(svc.Namespace, svc.Spec.Selector)), snapshot.PodDone)
}

// deployments returns the Deployments whose pods the Service selects.
func deployments(s *snapshot.Snapshot, svc *corev1.Service) []*appsv1.Deployment {
	return slices.DeleteFunc(slices.Clone(snapshot.List[*appsv1.Deployment](s)), func(d *appsv1.Deployment) bool {
		return d.Namespace != svc.Namespace || !snapshot.Selects(svc.Spec.Selector, d.Spec.Template.Labels)
	})
}

// scaledToZero returns the Deployment behind the Service if none of its Deployments and DaemonSets
// wants a pod.
func scaledToZero(s *snapshot.Snapshot, svc *corev1.Service) *appsv1.Deployment {
	var zero *appsv1.Deployment
	for _, d := range deployments(s, svc) {
		if d.Spec.Replicas == nil || *d.Spec.Replicas > 0 {
			return nil
		}
		zero = d
	}
	if len(daemonSets(s, svc)) > 0 {
		return nil
	}
	return zero
}

// daemonSets returns the DaemonSets whose pods the Service selects.
func daemonSets(s *snapshot.Snapshot, svc *corev1.Service) []*appsv1.DaemonSet {
	return slices.DeleteFunc(slices.Clone(snapshot.List[*appsv1.DaemonSet](s)), func(d *appsv1.DaemonSet) bool {
		return d.Namespace != svc.Namespace || !snapshot.Selects(svc.Spec.Selector, d.Spec.Template.Labels)
	})
}

// maker says what should make the pods, where no pod is there.
func maker(s *snapshot.Snapshot, svc *corev1.Service) finding.Text {
	if !s.Coverage(snapshot.KindOf[*appsv1.Deployment]()).Known() || !s.Coverage(snapshot.KindOf[*appsv1.DaemonSet]()).Known() {
		return finding.Text{}
	}
	var name string
	for _, d := range deployments(s, svc) {
		if d.Spec.Replicas == nil || *d.Spec.Replicas > 0 {
			name = "Deployment " + d.Namespace + "/" + d.Name
		}
	}
	for _, d := range daemonSets(s, svc) {
		name = "DaemonSet " + d.Namespace + "/" + d.Name
	}
	if name == "" {
		return finding.Textf("Nothing in %s makes such pods: what did was deleted, or its labels were changed.",
			"%s에 이런 Pod를 만드는 워크로드가 없습니다. 삭제되었거나 레이블이 바뀌었습니다.", svc.Namespace)
	}
	return finding.Textf("%s wants pods and has none.", "Pod를 만들어야 할 %s에 Pod가 하나도 없습니다.", name)
}
