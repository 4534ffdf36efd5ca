package network

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// backends is who stands behind a Service that selects pods.
type backends struct {
	svc *corev1.Service
	// selected are the pods that its selector matches and that are neither done nor being deleted.
	selected []*corev1.Pod
	// ready are those of them that may get traffic.
	ready []*corev1.Pod
	// claimed is the number of pods that its EndpointSlices list as ready, and listed the number of
	// those that can be believed.
	claimed, listed int
	// serving is the number of those that traffic of at least one of its ports reaches.
	serving int
	// unserved are the ports that no endpoint serves.
	unserved []corev1.ServicePort
	// written is when the EndpointSlices last changed; zero where they do not say.
	written time.Time
	// manager writes the EndpointSlices. When it is dead they are old, and an endpoint counts only
	// if its pod is still ready.
	manager snapshot.Freshness
}

// selects tells whether a Service gets its endpoints by a selector of its own.
func selects(p *rule.Pass, svc *corev1.Service) bool {
	if svc.Spec.Type == corev1.ServiceTypeExternalName || len(svc.Spec.Selector) == 0 || svc.DeletionTimestamp != nil {
		return false
	}
	ns, ok := snapshot.Get[*corev1.Namespace](p.Snapshot, "", svc.Namespace)
	return !ok || ns.DeletionTimestamp == nil
}

// served tells at a glance whether every port of a Service has a ready endpoint, so that the many
// that are well need no counting.
func served(p *rule.Pass, svc *corev1.Service) bool {
	ports := max(1, len(svc.Spec.Ports))
	var found []string
	for _, slice := range p.EndpointSlicesOf(svc) {
		if !slices.ContainsFunc(slice.Endpoints, listedReady) {
			continue
		}
		if len(svc.Spec.Ports) == 0 {
			return true
		}
		for _, name := range servedPorts(svc, slice) {
			if !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
	}
	return len(found) >= ports
}

// listedReady tells whether an endpoint is listed as ready; one that does not say so is
// (k8s.io/api/discovery/v1, EndpointConditions).
func listedReady(e discoveryv1.Endpoint) bool {
	return e.Conditions.Ready == nil || *e.Conditions.Ready
}

// behind looks at who stands behind a Service.
func behind(p *rule.Pass, svc *corev1.Service, manager snapshot.Freshness) backends {
	b := backends{svc: svc, manager: manager}
	readyPods := map[string]bool{}
	for _, pod := range p.PodsSelected(svc.Namespace, svc.Spec.Selector) {
		if snapshot.PodDone(pod) || pod.DeletionTimestamp != nil {
			continue
		}
		b.selected = append(b.selected, pod)
		if snapshot.PodReady(pod) || (svc.Spec.PublishNotReadyAddresses && pod.Status.PodIP != "") {
			b.ready = append(b.ready, pod)
			readyPods[pod.Name] = true
		}
	}
	claimed, listed, serving, ports := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, slice := range p.EndpointSlicesOf(svc) {
		b.written = finding.Later(b.written, sliceWritten(slice))
		names := servedPorts(svc, slice)
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			if !listedReady(*e) {
				continue
			}
			id := endpointID(e)
			claimed[id] = true
			if manager.State == snapshot.Dead && !stillReady(e, readyPods) {
				continue
			}
			listed[id] = true
			for _, name := range names {
				serving[id], ports[name] = true, true
			}
		}
	}
	b.claimed, b.listed, b.serving = len(claimed), len(listed), len(serving)
	for _, port := range svc.Spec.Ports {
		if !ports[port.Name] {
			b.unserved = append(b.unserved, port)
		}
	}
	if len(svc.Spec.Ports) == 0 {
		b.serving = b.listed // A headless Service may have no ports at all.
	}
	return b
}

// servedPorts names the Service's ports that an EndpointSlice has.
func servedPorts(svc *corev1.Service, slice *discoveryv1.EndpointSlice) []string {
	var names []string
	for _, want := range svc.Spec.Ports {
		for _, port := range slice.Ports {
			name := ""
			if port.Name != nil {
				name = *port.Name
			}
			if name == want.Name && port.Port != nil {
				names = append(names, want.Name)
				break
			}
		}
	}
	return names
}

// stillReady tells whether the pod of an endpoint is ready by its own status. An endpoint that
// names no pod is somebody else's and is believed.
func stillReady(e *discoveryv1.Endpoint, ready map[string]bool) bool {
	return e.TargetRef == nil || e.TargetRef.Kind != "Pod" || ready[e.TargetRef.Name]
}

// endpointID tells endpoints apart: a pod with two address families is in two slices, and one.
func endpointID(e *discoveryv1.Endpoint) string {
	switch {
	case e.TargetRef != nil && e.TargetRef.Name != "":
		return e.TargetRef.Kind + "/" + e.TargetRef.Name
	case len(e.Addresses) > 0:
		return e.Addresses[0]
	default:
		return ""
	}
}

// sliceWritten is when an EndpointSlice last changed: its managed fields say so, or the controller's
// note of the change that it answered.
func sliceWritten(slice *discoveryv1.EndpointSlice) time.Time {
	if at := snapshot.SpecWritten(slice); !at.IsZero() {
		return at
	}
	at, err := time.Parse(time.RFC3339Nano, slice.Annotations[corev1.EndpointsLastChangeTriggerTime])
	if err != nil {
		return time.Time{}
	}
	return at
}

// evidence is what the EndpointSlices say.
func (b backends) evidence() finding.Evidence {
	e := finding.Evidence{
		Source: fmt.Sprintf("EndpointSlices of Service %s/%s", b.svc.Namespace, b.svc.Name), Path: ".endpoints[].conditions.ready",
		Value: fmt.Sprintf("true for %d", b.claimed), At: finding.Timestamp(b.written),
	}
	if b.listed != b.claimed {
		e.Value += fmt.Sprintf(", of which %d still are", b.listed)
	}
	return e
}

// notReady are the selected pods that may get no traffic.
func (b backends) notReady() []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range b.selected {
		if !snapshot.PodReady(pod) && (!b.svc.Spec.PublishNotReadyAddresses || pod.Status.PodIP == "") {
			out = append(out, pod)
		}
	}
	return out
}

// starting tells whether every pod that is not ready is within what its probes allow for a start.
func (b backends) starting(p *rule.Pass) bool {
	pods := b.notReady()
	for _, pod := range pods {
		if !p.PodStarting(pod) {
			return false
		}
	}
	return len(pods) > 0
}
