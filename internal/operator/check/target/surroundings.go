package target

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// freshFor is how long what is known of the cluster's own addresses and of policies is used. Thousands of
// questions a second share it; a policy that is taken back, or a machine that comes, counts from the next
// second on.
const freshFor = time.Second

// surroundings are the cluster's own addresses, and what is allowed.
type surroundings struct {
	at time.Time
	// nodes are all addresses of nodes.
	nodes map[netip.Addr]bool
	// apiServer are the addresses of the API server with their ports: its Service's, and those behind it.
	apiServer map[netip.Addr][]uint16
	// nameServer are the addresses of the cluster's DNS; empty where there is no Service kube-dns.
	nameServer []netip.Addr
	policies   []policy
}

// aroundMemo keeps the newest surroundings.
type aroundMemo struct {
	mu   sync.Mutex
	kept *surroundings
}

// surroundings returns what is known, as of a second ago at most.
func (r *Resolver) surroundings(ctx context.Context) (*surroundings, error) {
	r.around.mu.Lock()
	defer r.around.mu.Unlock()
	now := r.o.Now()
	if kept := r.around.kept; kept != nil && now.Sub(kept.at) < freshFor && !now.Before(kept.at) {
		return kept, nil
	}
	s := &surroundings{at: now, nodes: map[netip.Addr]bool{}, apiServer: map[netip.Addr][]uint16{}}
	for _, look := range []func(context.Context, *Resolver) error{s.lookAtNodes, s.lookAtAPIServer, s.lookAtNameServer, s.lookAtPolicies} {
		if err := look(ctx, r); err != nil {
			return nil, err
		}
	}
	r.around.kept = s
	return s, nil
}

func (s *surroundings) lookAtNodes(ctx context.Context, r *Resolver) error {
	var nodes corev1.NodeList
	if err := r.o.Reader.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return reading("Nodes", "", err)
	}
	for i := range nodes.Items {
		for _, address := range nodes.Items[i].Status.Addresses {
			if addr, err := netip.ParseAddr(address.Address); err == nil {
				s.nodes[addr.Unmap()] = true
			}
		}
	}
	return nil
}

// lookAtAPIServer reads the Service kubernetes, which API servers write themselves. Where it cannot be read
// nobody can tell whom not to ask, and nothing is asked.
func (s *surroundings) lookAtAPIServer(ctx context.Context, r *Resolver) error {
	var service corev1.Service
	key := client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}
	if err := r.o.Reader.Get(ctx, key, &service, client.UnsafeDisableDeepCopy); err != nil {
		return reading("Service", key.String(), err)
	}
	for _, addr := range clusterIPs(&service) {
		for _, port := range service.Spec.Ports {
			s.apiServer[addr] = append(s.apiServer[addr], uint16(port.Port)) //nolint:gosec // the API server accepts no other ports
		}
	}
	var slices discoveryv1.EndpointSliceList
	if err := r.o.Reader.List(ctx, &slices, client.InNamespace(key.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: key.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return reading("EndpointSlices of Service", key.String(), err)
	}
	for i := range slices.Items {
		for _, endpoint := range slices.Items[i].Endpoints {
			for _, address := range endpoint.Addresses {
				s.addAPIServer(address, slices.Items[i].Ports)
			}
		}
	}
	return nil
}

func (s *surroundings) addAPIServer(address string, ports []discoveryv1.EndpointPort) {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return
	}
	addr = addr.Unmap()
	s.apiServer[addr] = slices.Clip(s.apiServer[addr])
	for _, port := range ports {
		if port.Port != nil {
			s.apiServer[addr] = append(s.apiServer[addr], uint16(*port.Port)) //nolint:gosec // the API server accepts no other ports
		}
	}
}

// nameServerKey is the Service of the cluster's DNS, by the name that kubeadm, kube-up and the managed
// clusters give it, whatever runs behind it (https://kubernetes.io/docs/tasks/administer-cluster/coredns/).
var nameServerKey = client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: "kube-dns"}

func (s *surroundings) lookAtNameServer(ctx context.Context, r *Resolver) error {
	var service corev1.Service
	if err := r.o.Reader.Get(ctx, nameServerKey, &service, client.UnsafeDisableDeepCopy); client.IgnoreNotFound(err) != nil {
		return reading("Service", nameServerKey.String(), err)
	}
	s.nameServer = clusterIPs(&service)
	return nil
}

func (s *surroundings) lookAtPolicies(ctx context.Context, r *Resolver) error {
	var policies v1alpha1.CheckPolicyList
	err := r.o.Reader.List(ctx, &policies, client.UnsafeDisableDeepCopy)
	if _, unknown := errors.AsType[*cache.ErrResourceNotCached](err); unknown {
		return nil // the kind is not served, and allows nothing
	}
	if err != nil {
		return reading("CheckPolicies", "", err)
	}
	for i := range policies.Items {
		// One that cannot be read allows nothing, and takes nothing from what others allow.
		if p, err := r.readPolicy(&policies.Items[i]); err == nil {
			s.policies = append(s.policies, p)
		}
	}
	return nil
}

// clusterIPs are a Service's own addresses; none for a headless one.
func clusterIPs(service *corev1.Service) []netip.Addr {
	texts := service.Spec.ClusterIPs
	if len(texts) == 0 {
		texts = []string{service.Spec.ClusterIP}
	}
	var all []netip.Addr
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil {
			all = append(all, addr.Unmap())
		}
	}
	return all
}
