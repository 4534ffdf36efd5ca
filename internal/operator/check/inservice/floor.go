package inservice

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// backends are the Services of a namespace with what is behind them.
type backends struct {
	services []corev1.Service
	slices   []discoveryv1.EndpointSlice
	// pods of the namespace, addresses theirs, and outs those that were taken out a moment ago, whatever pods and
	// slices still say.
	pods      map[types.UID]backend
	addresses map[string]bool
	outs      map[types.UID]bool
	// troubles of nodes; their pods are about to go.
	troubles map[string]trouble
}

// backend is a pod that may be behind a Service.
type backend struct {
	labels         labels.Set
	node           string
	addresses      []string
	ready, leaving bool
}

// behind is what is behind Services, as far as pods tell.
func behind(services []corev1.Service, slices []discoveryv1.EndpointSlice, pods []corev1.Pod) *backends {
	s := &backends{services: services, slices: slices, pods: map[types.UID]backend{}, addresses: map[string]bool{}, outs: map[types.UID]bool{}}
	for i := range pods {
		b := backendOf(&pods[i])
		s.pods[pods[i].UID] = b
		for _, address := range b.addresses {
			s.addresses[address] = true
		}
	}
	return s
}

func backendOf(p *corev1.Pod) backend {
	seen, _ := podOf(p)
	b := backend{labels: p.Labels, node: p.Spec.NodeName, ready: seen.ready, leaving: seen.leaving}
	for _, ip := range p.Status.PodIPs {
		b.addresses = append(b.addresses, ip.IP)
	}
	if len(b.addresses) == 0 && p.Status.PodIP != "" {
		b.addresses = append(b.addresses, p.Status.PodIP)
	}
	return b
}

// floor says whether a pod's Services can spare it. In each, and in each family of addresses, as many endpoints
// must stay ready as percent of all of them, rounded up, and one at least. The reason is empty where all can
// spare it.
func (s *backends) floor(p *corev1.Pod, percent int) (reason, message string) {
	serving := s.serving(p)
	if len(serving) == 0 {
		return brakeNoService, "no Service selects it, or only such as send to pods that are not ready too, so it cannot be taken out of one"
	}
	for _, name := range serving {
		if message := s.spares(name, p.UID, percent); message != "" {
			return brakeLastEndpoint, message
		}
	}
	return "", ""
}

// serving are the Services that a pod is taken out of, by name: all that select it, and all whose EndpointSlices
// name it, whoever wrote those, but for such as send to pods that are not ready too.
func (s *backends) serving(p *corev1.Pod) []string {
	names := map[string]bool{}
	for i := range s.slices {
		for j := range s.slices[i].Endpoints {
			if service := s.slices[i].Labels[discoveryv1.LabelServiceName]; service != "" && podBehind(&s.slices[i].Endpoints[j]) == p.UID {
				names[service] = true
			}
		}
	}
	for i := range s.services {
		service := &s.services[i]
		if selector := selectorOf(service); selector != nil && selector.Matches(labels.Set(p.Labels)) {
			names[service.Name] = true
		}
		if service.Spec.PublishNotReadyAddresses {
			delete(names, service.Name)
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// nodes are those of the endpoints of Services, and of a pod.
func (s *backends) nodes(p *corev1.Pod) map[string]bool {
	out := map[string]bool{p.Spec.NodeName: true}
	serving := s.serving(p)
	for i := range s.slices {
		if !slices.Contains(serving, s.slices[i].Labels[discoveryv1.LabelServiceName]) {
			continue
		}
		for j := range s.slices[i].Endpoints {
			out[s.nodeOf(&s.slices[i].Endpoints[j])] = true
		}
	}
	delete(out, "")
	return out
}

// nodeOf is where an endpoint is: what its pod says, and what the slice says only of one that is no pod.
func (s *backends) nodeOf(e *discoveryv1.Endpoint) string {
	if uid := podBehind(e); uid != "" {
		return s.pods[uid].node
	}
	if e.NodeName == nil {
		return ""
	}
	return *e.NodeName
}

// spares says why a Service cannot spare a pod.
func (s *backends) spares(service string, uid types.UID, percent int) string {
	var selector labels.Selector
	for i := range s.services {
		if s.services[i].Name == service {
			selector = selectorOf(&s.services[i])
		}
	}
	counts := s.tally(service, selector)
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		ready := counts[kind]
		others := 0
		for who, is := range ready {
			if is && who != string(uid) {
				others++
			}
		}
		if need := max(1, (len(ready)*percent+99)/100); others < need {
			return fmt.Sprintf("without it Service %s would have %d of %d endpoints ready (%s), and %d must stay%s", service, others, len(ready), kind, need, s.going(service))
		}
	}
	if len(counts) == 0 {
		return fmt.Sprintf("Service %s has no endpoints at all, so none would stay ready", service)
	}
	return ""
}

// going says which endpoints of a Service count as not ready for their nodes' sake.
func (s *backends) going(service string) string {
	nodes := map[string]bool{}
	for i := range s.slices {
		if s.slices[i].Labels[discoveryv1.LabelServiceName] != service {
			continue
		}
		for j := range s.slices[i].Endpoints {
			if node := s.nodeOf(&s.slices[i].Endpoints[j]); s.troubles[node] != (trouble{}) {
				nodes[node] = true
			}
		}
	}
	if len(nodes) == 0 {
		return ""
	}
	const most = 3
	names := slices.Sorted(maps.Keys(nodes))
	if rest := len(names) - most; rest > 0 {
		names = append(names[:most], fmt.Sprintf("%d others", rest))
	}
	return "; those on nodes that are cordoned or not ready do not count: " + strings.Join(names, ", ")
}

// tally has the endpoints of a Service by family, each once though several slices may have it, by the UID of its
// pod or by its address, and whether it will stay ready. A pod that the selector fits and that is in no slice
// yet is one that is not ready.
func (s *backends) tally(service string, selector labels.Selector) map[discoveryv1.AddressType]map[string]bool {
	counts := map[discoveryv1.AddressType]map[string]bool{}
	for i := range s.slices {
		slice := &s.slices[i]
		if slice.Labels[discoveryv1.LabelServiceName] != service {
			continue
		}
		for j := range slice.Endpoints {
			e := &slice.Endpoints[j]
			// One that terminates is none that could stay.
			if e.Conditions.Terminating != nil && *e.Conditions.Terminating {
				continue
			}
			who, stays := s.stays(e, selector)
			if who == "" {
				continue
			}
			if counts[slice.AddressType] == nil {
				counts[slice.AddressType] = map[string]bool{}
			}
			old, seen := counts[slice.AddressType][who]
			counts[slice.AddressType][who] = stays && (old || !seen)
		}
	}
	if selector == nil {
		return counts
	}
	for uid, b := range s.pods {
		if b.leaving || len(b.addresses) == 0 || !selector.Matches(b.labels) {
			continue
		}
		for _, ready := range counts {
			if _, seen := ready[string(uid)]; !seen {
				ready[string(uid)] = false
			}
		}
	}
	return counts
}

// stays names an endpoint and says whether it will stay ready. A slice is not believed more than the pod that it
// names: whoever writes slices by hand, and whoever has changed a selector that slices do not follow yet, makes
// no endpoint of what is none. The name is empty for the address of a pod alone, which is counted where it is
// named or selected.
func (s *backends) stays(e *discoveryv1.Endpoint, selector labels.Selector) (who string, stays bool) {
	// Absent means ready (k8s.io/api/discovery/v1/types.go, EndpointConditions).
	stays = (e.Conditions.Ready == nil || *e.Conditions.Ready) && s.troubles[s.nodeOf(e)] == (trouble{})
	uid := podBehind(e)
	if uid == "" {
		if slices.ContainsFunc(e.Addresses, func(a string) bool { return s.addresses[a] }) {
			return "", false
		}
		// Behind a Service that selects pods nobody vouches for what is no pod.
		return strings.Join(e.Addresses, ","), stays && selector == nil
	}
	b, known := s.pods[uid]
	stays = stays && known && b.ready && !b.leaving && !s.outs[uid] && (selector == nil || selector.Matches(b.labels))
	return string(uid), stays
}

// podBehind is the UID of the pod that an endpoint names; empty where it names none.
func podBehind(e *discoveryv1.Endpoint) types.UID {
	if e.TargetRef == nil || e.TargetRef.Kind != "" && e.TargetRef.Kind != "Pod" {
		return ""
	}
	return e.TargetRef.UID
}

// selectorOf is a Service's; nil where it selects no pods.
func selectorOf(s *corev1.Service) labels.Selector {
	if len(s.Spec.Selector) == 0 || s.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	return labels.SelectorFromSet(s.Spec.Selector)
}
