package network

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// victim is a workload whose call a policy denies.
type victim struct {
	candidate
	barrier barrier
	// call is the line that tells of it; nil where none was read.
	call *failedCall
	// service that it calls; the Service of cluster DNS where names fails.
	service *corev1.Service
	// names tells that it is the way to cluster DNS that is denied.
	names bool
	// flow that is denied.
	flow flow
}

// dnsLabel and dnsValue mark the Service of cluster DNS and its pods, nodeLocalValue the pods of a
// cache on each node (k8s.io/kubernetes/cluster/addons/dns).
const (
	dnsLabel       = "k8s-app"
	dnsValue       = "kube-dns"
	nodeLocalValue = "node-local-dns"
	dnsPort        = 53
)

// dnsServers are the ready pods of cluster DNS. With a cache on each node there are none to speak of:
// pods ask that cache.
func dnsServers(s *snapshot.Snapshot) []dnsServer {
	if len(s.PodsSelected(metav1.NamespaceSystem, map[string]string{dnsLabel: nodeLocalValue})) > 0 {
		return nil
	}
	var out []dnsServer
	for _, svc := range snapshot.List[*corev1.Service](s) {
		if svc.Namespace != metav1.NamespaceSystem || svc.Labels[dnsLabel] != dnsValue {
			continue
		}
		for _, port := range svc.Spec.Ports {
			if port.Port != dnsPort || protocolOf(port) != corev1.ProtocolUDP {
				continue
			}
			for _, pod := range s.PodsSelected(svc.Namespace, svc.Spec.Selector) {
				number, ok := targetNumber(port, pod)
				if ok && snapshot.PodReady(pod) && !pod.Spec.HostNetwork {
					out = append(out, dnsServer{svc, pod, number})
				}
			}
		}
	}
	return out
}

// otherPolicyGroups are API groups of policies that add to or override NetworkPolicies: Cilium's,
// Calico's, Antrea's and the network policy API's.
var otherPolicyGroups = []string{"cilium.io", "crd.projectcalico.org", "projectcalico.org", "crd.antrea.io", "policy.networking.k8s.io"}

// foreignPolicies tells whether there is a policy of another kind.
func foreignPolicies(s *snapshot.Snapshot) bool {
	return slices.ContainsFunc(s.CustomResources(), func(o *snapshot.CustomResource) bool {
		return slices.Contains(otherPolicyGroups, o.Kind.Group) && strings.HasSuffix(o.Kind.Kind, "Policy")
	})
}

// victims judges the failed calls of a pod: at most one about names and one a Service.
func (r reach) victims(c candidate, calls []failedCall) []victim {
	var out []victim
	known := func(names bool, svc *corev1.Service) bool {
		return slices.ContainsFunc(out, func(v victim) bool { return v.names == names && v.service == svc })
	}
	for i := range calls {
		call := &calls[i]
		if v, ok := r.deniedNames(c); ok && (call.names || callsByName(call)) && !known(true, v.service) && v.inTime(call) {
			v.call = call
			out = append(out, v)
		}
		if call.names {
			continue
		}
		for _, t := range call.targets {
			svc, ok := r.dir.service(c.pod.Namespace, t.host)
			if !ok || known(false, svc) {
				continue
			}
			if v, ok := r.deniedService(c, svc, t); ok && v.inTime(call) {
				v.call = call
				out = append(out, v)
			}
		}
	}
	return out
}

// callsByName tells whether a call that was not answered was made by name, so that the lookup may be
// what was not answered.
func callsByName(call *failedCall) bool {
	return !call.refused && slices.ContainsFunc(call.targets, func(t target) bool {
		_, err := netip.ParseAddr(t.host)
		return err != nil
	})
}

// inTime refuses a line that is older than the policy that it is held against.
func (v victim) inTime(call *failedCall) bool {
	return call.at.IsZero() || !call.at.Before(policyWritten(v.barrier.latest()).Add(-time.Minute))
}

// latest is the policy of a barrier that was changed last: without it the traffic would pass, or
// another would be to blame that has long been there.
func (b barrier) latest() *policy {
	return slices.MaxFunc(slices.Concat(b.egress, b.ingress), func(x, y *policy) int { return policyWritten(x).Compare(policyWritten(y)) })
}

// deniedNames tells whether every server of cluster DNS is out of a pod's reach.
func (r reach) deniedNames(c candidate) (victim, bool) {
	v := victim{candidate: c, names: true}
	if len(r.dns) == 0 || !asksCluster(c.pod) {
		return v, false
	}
	for _, server := range r.dns {
		f := flow{from: podPeer(c.pod), to: podPeer(server.pod), protocol: corev1.ProtocolUDP, port: server.port}
		b := r.through(f, server.svc)
		if b.passes() {
			return v, false
		}
		v.barrier, v.service, v.flow = b, server.svc, f
	}
	return v, true
}

// asksCluster tells whether a pod's names are looked up by cluster DNS.
func asksCluster(pod *corev1.Pod) bool {
	return pod.Spec.DNSPolicy == "" || pod.Spec.DNSPolicy == corev1.DNSClusterFirst
}

// deniedService tells whether every ready pod behind a Service is out of a pod's reach.
func (r reach) deniedService(c candidate, svc *corev1.Service, t target) (victim, bool) {
	v := victim{candidate: c, service: svc}
	port, ok := servicePort(svc, t.port)
	if !ok {
		return v, false
	}
	for _, pod := range r.PodsSelected(svc.Namespace, svc.Spec.Selector) {
		number, ok := targetNumber(port, pod)
		if !ok || !snapshot.PodReady(pod) || pod.DeletionTimestamp != nil {
			continue
		}
		if pod.Spec.HostNetwork {
			return v, false // What comes to a node is not the policies' to deny.
		}
		if misled(pod, svc, port) {
			return v, false // A policy that lets in to the right port is no obstacle on the way to a wrong one.
		}
		f := flow{from: podPeer(c.pod), to: podPeer(pod), protocol: protocolOf(port), port: number}
		b := r.through(f, svc)
		if b.passes() {
			return v, false
		}
		v.barrier, v.flow = b, f
	}
	return v, v.flow.port != 0
}

// through judges a flow to a pod behind a Service. Whether an ipBlock for egress is held against the
// Service's address or the pod's is left to the network plugin, so either lets it out.
func (r reach) through(f flow, svc *corev1.Service) barrier {
	b := r.policies.judge(f)
	if len(b.egress) > 0 {
		before := f
		before.to.addresses = slices.Concat(f.to.addresses, parseAddresses(append([]string{svc.Spec.ClusterIP}, svc.Spec.ClusterIPs...)...))
		atService := before
		for _, port := range svc.Spec.Ports {
			atService.port = port.Port
			if len(r.policies.judge(before).egress) == 0 || len(r.policies.judge(atService).egress) == 0 {
				b.egress = nil
				break
			}
		}
	}
	return b
}

// withoutNames adds the workloads that policies leave no way to cluster DNS though no log tells that
// they miss it.
func (r reach) withoutNames(found map[*policy]*blockade, suffering map[finding.Subject]bool) {
	seen := map[finding.Subject]bool{}
	for _, pod := range snapshot.List[*corev1.Pod](r.Snapshot) {
		if len(r.policies.byNamespace[pod.Namespace]) == 0 || pod.Spec.HostNetwork || snapshot.PodDone(pod) || pod.DeletionTimestamp != nil {
			continue
		}
		w := r.Workload(pod)
		_, _, sick := trouble(r.Snapshot, pod)
		if suffering[w] || seen[w] && !sick || len(r.policies.isolating(pod, true)) == 0 {
			continue
		}
		seen[w] = true
		v, ok := r.deniedNames(candidate{pod: pod, workload: w, sick: sick})
		if !ok {
			continue
		}
		b := blockadeOf(found, v.barrier)
		if i := slices.IndexFunc(b.victims, func(other victim) bool { return other.workload == w }); i < 0 {
			b.victims = append(b.victims, v)
		} else if b.victims[i].call == nil && sick {
			b.victims[i] = v
		}
	}
}

// blockadeOf returns what is gathered about the policy to which a barrier is put down.
func blockadeOf(found map[*policy]*blockade, b barrier) *blockade {
	p := b.latest()
	if found[p] == nil {
		found[p] = &blockade{policy: p}
	}
	return found[p]
}
