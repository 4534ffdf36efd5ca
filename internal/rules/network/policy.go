package network

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// policies evaluates NetworkPolicies as the API documents them
// (https://kubernetes.io/docs/concepts/services-networking/network-policies/). Whether the network
// plugin enforces them no object tells.
type policies struct {
	byNamespace map[string][]*policy
	// byPair files each policy under one label that its selector asks for; byPair[{namespace: ...}] are
	// those that ask for none by equality.
	byPair map[labelPair][]*policy
	// namespaces are the labels of namespaces, by name.
	namespaces map[string]labels.Set
}

// policy is a NetworkPolicy with its selector parsed.
type policy struct {
	*networkingv1.NetworkPolicy
	selector        labels.Selector
	ingress, egress bool
}

// flow is traffic from one place to another.
type flow struct {
	from, to peer
	protocol corev1.Protocol
	// port at the destination's pod, not at a Service before it.
	port int32
}

// labelPair is a label in a namespace.
type labelPair struct{ namespace, key, value string }

// peer is one end of a flow.
type peer struct {
	// pod at this end; nil for an address outside, and for a pod that uses its node's network, which
	// selectors of pods do not reach.
	pod *corev1.Pod
	// addresses under which a policy's ipBlock may mean it.
	addresses []netip.Addr
}

// barrier is what denies a flow: the policies that isolate an end of it and of which none allows it.
type barrier struct {
	egress, ingress []*policy
}

// passes tells whether nothing denies the flow.
func (b barrier) passes() bool { return len(b.egress) == 0 && len(b.ingress) == 0 }

// policyKinds are what readPolicies reads.
func policyKinds() []rule.Need {
	return []rule.Need{rule.Any[*networkingv1.NetworkPolicy](), rule.Optional[*corev1.Namespace]()}
}

// readPolicies indexes the NetworkPolicies of a snapshot. One with a selector that cannot be parsed,
// which the API server does not admit, is left out.
func readPolicies(s *snapshot.Snapshot) *policies {
	all := &policies{byNamespace: map[string][]*policy{}, byPair: map[labelPair][]*policy{}, namespaces: map[string]labels.Set{}}
	for _, ns := range snapshot.List[*corev1.Namespace](s) {
		all.namespaces[ns.Name] = ns.Labels
	}
	for _, np := range snapshot.List[*networkingv1.NetworkPolicy](s) {
		selector, err := metav1.LabelSelectorAsSelector(&np.Spec.PodSelector)
		if err != nil || np.DeletionTimestamp != nil {
			continue
		}
		p := &policy{NetworkPolicy: np, selector: selector}
		p.ingress, p.egress = policyTypes(np)
		all.byNamespace[np.Namespace] = append(all.byNamespace[np.Namespace], p)
	}
	all.index()
	return all
}

// index files the policies by the label of each that fewest of the namespace ask for, so that a pod is
// held against few of them however many there are.
func (all *policies) index() {
	shared := map[labelPair]int{}
	for namespace, policies := range all.byNamespace {
		for _, p := range policies {
			for k, v := range p.Spec.PodSelector.MatchLabels {
				shared[labelPair{namespace, k, v}]++
			}
		}
		for _, p := range policies {
			rarest := labelPair{namespace: namespace}
			for _, k := range slices.Sorted(maps.Keys(p.Spec.PodSelector.MatchLabels)) {
				pair := labelPair{namespace, k, p.Spec.PodSelector.MatchLabels[k]}
				if rarest.key == "" || shared[pair] < shared[rarest] {
					rarest = pair
				}
			}
			all.byPair[rarest] = append(all.byPair[rarest], p)
		}
	}
}

// policyTypes tells in which directions a policy isolates pods. Without policyTypes that is ingress,
// and egress where it has rules for it (k8s.io/kubernetes/pkg/apis/networking/v1,
// SetDefaults_NetworkPolicy).
func policyTypes(np *networkingv1.NetworkPolicy) (ingress, egress bool) {
	if len(np.Spec.PolicyTypes) == 0 {
		return true, len(np.Spec.Egress) > 0
	}
	return slices.Contains(np.Spec.PolicyTypes, networkingv1.PolicyTypeIngress), slices.Contains(np.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
}

// isolating returns the policies that select a pod, for traffic that comes in or goes out.
func (all *policies) isolating(pod *corev1.Pod, egress bool) []*policy {
	if pod == nil {
		return nil
	}
	var out []*policy
	add := func(candidates []*policy) {
		for _, p := range candidates {
			if (egress && p.egress || !egress && p.ingress) && p.selector.Matches(labels.Set(pod.Labels)) {
				out = append(out, p)
			}
		}
	}
	add(all.byPair[labelPair{namespace: pod.Namespace}])
	for k, v := range pod.Labels {
		add(all.byPair[labelPair{pod.Namespace, k, v}])
	}
	slices.SortFunc(out, func(a, b *policy) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// podPeer is a pod as an end of a flow.
func podPeer(pod *corev1.Pod) peer {
	var e peer
	if !pod.Spec.HostNetwork {
		e.pod = pod
	}
	for _, ip := range pod.Status.PodIPs {
		e.addresses = append(e.addresses, parseAddresses(ip.IP)...)
	}
	if len(e.addresses) == 0 {
		e.addresses = parseAddresses(pod.Status.PodIP)
	}
	return e
}

func parseAddresses(written ...string) []netip.Addr {
	var out []netip.Addr
	for _, w := range written {
		if a, err := netip.ParseAddr(w); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// judge tells what denies a flow. A pod always reaches itself.
func (all *policies) judge(f flow) barrier {
	if f.from.pod != nil && f.from.pod == f.to.pod {
		return barrier{}
	}
	var b barrier
	if out := all.isolating(f.from.pod, true); len(out) > 0 && !slices.ContainsFunc(out, func(p *policy) bool { return all.lets(p, f, true) }) {
		b.egress = out
	}
	if in := all.isolating(f.to.pod, false); len(in) > 0 && !slices.ContainsFunc(in, func(p *policy) bool { return all.lets(p, f, false) }) {
		b.ingress = in
	}
	return b
}

// lets tells whether a rule of a policy allows a flow.
func (all *policies) lets(p *policy, f flow, egress bool) bool {
	if egress {
		return slices.ContainsFunc(p.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
			return all.meansPeer(p, r.To, f.to) && meansPort(r.Ports, f)
		})
	}
	return slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
		return all.meansPeer(p, r.From, f.from) && meansPort(r.Ports, f)
	})
}

// meansPeer tells whether one of a rule's peers is the end of a flow; no peers are all.
func (all *policies) meansPeer(p *policy, peers []networkingv1.NetworkPolicyPeer, end peer) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(rule networkingv1.NetworkPolicyPeer) bool {
		if rule.IPBlock != nil {
			return slices.ContainsFunc(end.addresses, func(a netip.Addr) bool { return inBlock(rule.IPBlock, a) })
		}
		if end.pod == nil {
			return false
		}
		if rule.NamespaceSelector == nil {
			return end.pod.Namespace == p.Namespace && selected(rule.PodSelector, end.pod.Labels)
		}
		return selected(rule.NamespaceSelector, all.labelsOf(end.pod.Namespace)) && (rule.PodSelector == nil || selected(rule.PodSelector, end.pod.Labels))
	})
}

// labelsOf are the labels of a namespace. The API server gives each its name as a label, which is
// known of one that could not be read too.
func (all *policies) labelsOf(namespace string) labels.Set {
	if set, ok := all.namespaces[namespace]; ok && set[corev1.LabelMetadataName] != "" {
		return set
	}
	set := labels.Set{corev1.LabelMetadataName: namespace}
	return labels.Merge(all.namespaces[namespace], set)
}

func selected(selector *metav1.LabelSelector, set map[string]string) bool {
	if selector == nil {
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(set))
}

func inBlock(block *networkingv1.IPBlock, a netip.Addr) bool {
	within := func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		return err == nil && prefix.Contains(a)
	}
	return within(block.CIDR) && !slices.ContainsFunc(block.Except, within)
}

// meansPort tells whether one of a rule's ports is that of a flow; no ports are all. A port that is
// named is the one that the destination's containers declare by that name.
func meansPort(ports []networkingv1.NetworkPolicyPort, f flow) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(port networkingv1.NetworkPolicyPort) bool {
		if port.Protocol == nil && f.protocol != corev1.ProtocolTCP || port.Protocol != nil && *port.Protocol != f.protocol {
			return false
		}
		switch {
		case port.Port == nil:
			return true
		case port.Port.Type == intstr.String:
			number, ok := containerPort(f.to.pod, port.Port.StrVal, f.protocol)
			return ok && number == f.port
		case port.EndPort != nil:
			return f.port >= port.Port.IntVal && f.port <= *port.EndPort
		default:
			return f.port == port.Port.IntVal
		}
	})
}

// containerPort is the number of a port that a pod's containers declare by name.
func containerPort(pod *corev1.Pod, name string, protocol corev1.Protocol) (int32, bool) {
	if pod == nil {
		return 0, false
	}
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range containers {
			for _, port := range containers[i].Ports {
				if port.Name == name && (port.Protocol == protocol || port.Protocol == "" && protocol == corev1.ProtocolTCP) {
					return port.ContainerPort, true
				}
			}
		}
	}
	return 0, false
}
