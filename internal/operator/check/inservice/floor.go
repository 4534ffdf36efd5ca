package inservice

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// floor says whether a pod's Services can spare it: all that select it, and all whose EndpointSlices name
// it, whoever wrote those. In each, and in each family of addresses, as many endpoints must stay ready as
// percent of all of them, rounded up, and one at least. Pods of absent count as not ready, whatever the
// slices still say: those that were taken out a moment ago, and those whose status is ahead of the slices.
// The reason is empty where all can spare it.
func floor(p *corev1.Pod, services []corev1.Service, slicesOf []discoveryv1.EndpointSlice, absent map[types.UID]bool, percent int) (reason, message string) {
	ignores := map[string]bool{} // Services that send to pods whether they are ready or not
	serving := map[string]bool{}
	for i := range services {
		s := &services[i]
		ignores[s.Name] = s.Spec.PublishNotReadyAddresses
		if len(s.Spec.Selector) > 0 && s.Spec.Type != corev1.ServiceTypeExternalName &&
			labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(p.Labels)) {
			serving[s.Name] = true
		}
	}
	counts := map[family]*tally{}
	for i := range slicesOf {
		s := &slicesOf[i]
		service := s.Labels[discoveryv1.LabelServiceName]
		if service == "" {
			continue
		}
		key := family{service, s.AddressType}
		if counts[key] == nil {
			counts[key] = newTally()
		}
		for j := range s.Endpoints {
			if uid := counts[key].add(&s.Endpoints[j], absent); uid == p.UID {
				serving[service] = true
			}
		}
	}
	for name := range serving {
		if ignores[name] {
			delete(serving, name)
		}
	}
	if len(serving) == 0 {
		return brakeNoService, "no Service selects it, or only such as send to pods that are not ready too, so it cannot be taken out of one"
	}
	names := make([]string, 0, len(serving))
	for name := range serving {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if message := spares(name, p.UID, counts, percent); message != "" {
			return brakeLastEndpoint, message
		}
	}
	return "", ""
}

// spares says why a Service cannot spare a pod.
func spares(service string, uid types.UID, counts map[family]*tally, percent int) string {
	families := 0
	for _, kind := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN} {
		t := counts[family{service, kind}]
		if t == nil || len(t.ready) == 0 {
			continue
		}
		families++
		others := 0
		for who, ready := range t.ready {
			if ready && who != string(uid) {
				others++
			}
		}
		if need := max(1, (len(t.ready)*percent+99)/100); others < need {
			return fmt.Sprintf("without it Service %s would have %d of %d endpoints ready (%s), and %d must stay", service, others, len(t.ready), kind, need)
		}
	}
	if families == 0 {
		return fmt.Sprintf("Service %s has no endpoints at all, so none would stay ready", service)
	}
	return ""
}

// family is one kind of addresses of a Service.
type family struct {
	service string
	kind    discoveryv1.AddressType
}

// tally has the endpoints of a family, each once though several slices may have it, by the UID of its pod
// or by its address, and whether it is ready.
type tally struct{ ready map[string]bool }

func newTally() *tally { return &tally{ready: map[string]bool{}} }

// add takes in an endpoint, and returns the UID of its pod. One that terminates is none that could stay.
func (t *tally) add(e *discoveryv1.Endpoint, absent map[types.UID]bool) types.UID {
	var uid types.UID
	who := strings.Join(e.Addresses, ",")
	if e.TargetRef != nil && e.TargetRef.UID != "" {
		uid = e.TargetRef.UID
		who = string(uid)
	}
	if e.Conditions.Terminating != nil && *e.Conditions.Terminating {
		return uid
	}
	// Absent means ready (k8s.io/api/discovery/v1/types.go, EndpointConditions).
	ready := (e.Conditions.Ready == nil || *e.Conditions.Ready) && (uid == "" || !absent[uid])
	old, seen := t.ready[who]
	t.ready[who] = ready && (old || !seen)
	return uid
}
