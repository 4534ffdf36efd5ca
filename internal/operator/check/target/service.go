package target

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// service asks a Service of the namespace: its own address, or each endpoint behind it.
func (q *query) service(ctx context.Context, name string, each bool, port intstr.IntOrString) ([]place, error) {
	var service corev1.Service
	key := client.ObjectKey{Namespace: q.check.Namespace, Name: name}
	switch err := q.r.o.Reader.Get(ctx, key, &service, client.UnsafeDisableDeepCopy); {
	case apierrors.IsNotFound(err):
		return nil, &plan.Empty{Failure: true, Reason: v1alpha1.ReasonServiceNotFound, Message: fmt.Sprintf("there is no Service %s in namespace %s", name, key.Namespace)}
	case err != nil:
		return nil, reading("Service", key.String(), err)
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		host, addr, err := readHost(service.Spec.ExternalName)
		if err != nil {
			return nil, err
		}
		return q.allowedHost(ctx, host, addr, port)
	}
	asked, err := servicePort(&service, port, q.protocol())
	if err != nil {
		return nil, err
	}
	all, err := q.endpoints(ctx, &service, asked)
	if err != nil {
		return nil, err
	}
	if each {
		return q.eachEndpoint(&service, all)
	}
	return q.anyEndpoint(&service, asked, inService(all))
}

// servicePort finds a port by its name or number, as clients of the Service know it.
func servicePort(service *corev1.Service, port intstr.IntOrString, protocol corev1.Protocol) (corev1.ServicePort, error) {
	var exist []string
	for _, p := range service.Spec.Ports {
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.Protocol == protocol && (port.Type == intstr.String && (p.Name == port.StrVal || strconv.Itoa(int(p.Port)) == port.StrVal) || port.Type == intstr.Int && p.Port == port.IntVal) {
			return p, nil
		}
		exist = append(exist, strings.TrimSpace(fmt.Sprintf("%s %d/%s", p.Name, p.Port, p.Protocol)))
	}
	if len(exist) == 0 && service.Spec.ClusterIP == corev1.ClusterIPNone {
		number, err := numbered(port)
		return corev1.ServicePort{Port: int32(number), Protocol: protocol}, err
	}
	return corev1.ServicePort{}, plan.Refuse(v1alpha1.ReasonPortNotFound, "Service %s has no %s port %s; its ports are %s", service.Name, protocol, port.String(), strings.Join(exist, ", "))
}

// endpoint is an address behind a Service.
type endpoint struct {
	addr  netip.Addr
	port  uint16
	ready bool
	// pod that it is the address of; nil for one that is none of the namespace's pods.
	pod *corev1.Pod
	// stale tells of one that was a pod's.
	stale bool
	// out tells of a pod that would be ready if it had not been taken out of service: nobody sends to it, and
	// it is asked whether it may come back.
	out bool
}

// endpoints returns those of a Service that kube-proxy may send to, by address: the ready ones, and where
// there are none those that still serve while they end
// (https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions). Beside them are
// those that are out of service.
func (q *query) endpoints(ctx context.Context, service *corev1.Service, asked corev1.ServicePort) ([]endpoint, error) {
	var lists discoveryv1.EndpointSliceList
	err := q.r.o.Reader.List(ctx, &lists, client.InNamespace(service.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: service.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, reading("EndpointSlices of Service", service.Namespace+"/"+service.Name, err)
	}
	var all []endpoint
	for i := range lists.Items {
		port, found := endpointPort(&lists.Items[i], asked)
		if !found {
			continue
		}
		for j := range lists.Items[i].Endpoints {
			e := &lists.Items[i].Endpoints[j]
			ready, serving := yes(e.Conditions.Ready), yes(e.Conditions.Serving)
			ending := e.Conditions.Terminating != nil && *e.Conditions.Terminating
			if ending && !serving {
				continue
			}
			for _, text := range e.Addresses {
				addr, err := netip.ParseAddr(text)
				if err != nil {
					continue // of an EndpointSlice of names, which kube-proxy leaves alone
				}
				found := endpoint{addr: addr.Unmap(), port: port, ready: ready}
				if err := q.own(ctx, &found, e.TargetRef); err != nil {
					return nil, err
				}
				found.out = !ready && !serving
				if found.out && !takenOut(found.pod) {
					continue
				}
				all = append(all, found)
			}
		}
	}
	// Where slices have one address twice, as they do while it moves between them, the ready one counts.
	slices.SortStableFunc(all, func(a, b endpoint) int {
		return cmp.Or(a.addr.Compare(b.addr), order(b.ready, a.ready))
	})
	return all, nil
}

// order puts false before true.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// yes reads a condition of an endpoint: unknown is to be taken for true.
func yes(condition *bool) bool { return condition == nil || *condition }

// endpointPort is the port that a Service's port is behind it.
func endpointPort(list *discoveryv1.EndpointSlice, asked corev1.ServicePort) (port uint16, found bool) {
	for _, p := range list.Ports {
		var name string
		if p.Name != nil {
			name = *p.Name
		}
		protocol := corev1.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		if name == asked.Name && protocol == asked.Protocol && p.Port != nil {
			return uint16(*p.Port), true //nolint:gosec // the API server accepts no other ports
		}
	}
	// A headless Service need not name ports.
	return uint16(asked.Port), len(list.Ports) == 0 //nolint:gosec // as above
}

// own finds the pod of the namespace that an endpoint is. The reference alone is anybody's claim: the pod
// must say the same of itself.
func (q *query) own(ctx context.Context, e *endpoint, ref *corev1.ObjectReference) error {
	if ref == nil || ref.Kind != "Pod" || ref.Namespace != "" && ref.Namespace != q.check.Namespace {
		return nil
	}
	var pod corev1.Pod
	key := client.ObjectKey{Namespace: q.check.Namespace, Name: ref.Name}
	switch err := q.r.o.Reader.Get(ctx, key, &pod, client.UnsafeDisableDeepCopy); {
	case apierrors.IsNotFound(err):
		e.stale = true
		return nil
	case err != nil:
		return reading("Pod", key.String(), err)
	}
	if over(&pod) || ref.UID != "" && ref.UID != pod.UID || !hasAddress(&pod, e.addr) {
		e.stale = true
		return nil
	}
	e.pod = &pod
	return nil
}

// guardOf is the guard of an endpoint's own address.
func (q *query) guardOf(e endpoint) *guard {
	g := &guard{r: q.r, namespace: q.check.Namespace, host: e.addr.String(), pin: e.addr, basis: byPolicy, run: q.run}
	if e.pod != nil {
		g.basis, g.pod = byOwnership, podOf(e.pod)
	}
	return g
}

// permitEndpoint says why an endpoint may not be asked.
func (q *query) permitEndpoint(service *corev1.Service, e endpoint) error {
	if e.pod != nil && e.pod.Spec.HostNetwork && !q.allowed.nodes {
		return refuseWithPolicy(q.check.Namespace, "pod "+e.pod.Name, "it is in its node's network", "nodes: true")
	}
	refusal := q.guardOf(e).judge(q.around, q.allowed, netip.AddrPortFrom(e.addr, e.port))
	if refusal == nil {
		return nil
	}
	if e.pod == nil {
		refusal.Message = fmt.Sprintf("Service %s has an endpoint that is no pod of its namespace: %s", service.Name, refusal.Message)
	}
	return refusal
}

// serverName is the name that a Service has for everybody in the cluster.
func serverName(service *corev1.Service) string {
	return service.Name + "." + service.Namespace + ".svc"
}

func noEndpoints(service *corev1.Service) error {
	return &plan.Empty{Failure: true, Reason: v1alpha1.ReasonNoEndpoints, Message: fmt.Sprintf("Service %s has no ready endpoints", service.Name)}
}

// eachEndpoint asks every endpoint that is ready, and beside them those that are out of service: only who is
// asked can be found well again. One whose pod went away a moment ago is left out.
func (q *query) eachEndpoint(service *corev1.Service, all []endpoint) ([]place, error) {
	var places []place
	some := false
	for i, e := range all {
		if !e.ready && !e.out || e.stale || i > 0 && all[i-1].addr == e.addr || !ofFamily(service, e.addr) {
			continue
		}
		some = some || e.ready
		if err := q.permitEndpoint(service, e); err != nil {
			return nil, err
		}
		g := q.guardOf(e)
		p := place{name: g.host, host: g.host, port: e.port, serverName: serverName(service), guard: g}
		if e.pod != nil {
			p.name, p.pod = e.pod.Name, g.pod
		}
		places = append(places, p)
	}
	if !some {
		return nil, noEndpoints(service)
	}
	return places, nil
}

// ofFamily tells whether an address is of the Service's first family: a pod of two has an endpoint in each,
// and is one target.
func ofFamily(service *corev1.Service, addr netip.Addr) bool {
	if len(service.Spec.IPFamilies) == 0 {
		return true
	}
	return addr.Is4() == (service.Spec.IPFamilies[0] == corev1.IPv4Protocol)
}

// anyEndpoint asks the Service's own address, behind which kube-proxy chooses: so all that it may choose from
// must be allowed.
func (q *query) anyEndpoint(service *corev1.Service, asked corev1.ServicePort, all []endpoint) ([]place, error) {
	if len(all) == 0 {
		return nil, noEndpoints(service)
	}
	if err := q.permitAll(service, all); err != nil {
		return nil, err
	}
	own := clusterIPs(service)
	g := &guard{r: q.r, namespace: q.check.Namespace, host: serverName(service), basis: byOwnership, run: q.run}
	p := place{name: service.Name, host: g.host, serverName: g.host, guard: g}
	if len(own) == 0 {
		// Clients of a headless Service choose themselves.
		candidates := slices.DeleteFunc(slices.Clone(all), func(e endpoint) bool { return !e.ready || !ofFamily(service, e.addr) })
		if len(candidates) == 0 {
			return nil, noEndpoints(service)
		}
		e := oneOf(candidates, q.run)
		p.guard, p.port = q.guardOf(e), e.port
		p.guard.host, p.pod = g.host, p.guard.pod
		return []place{p}, nil
	}
	g.behind = q.behind(service, own[0])
	g.pin, p.port = own[0], uint16(asked.Port) //nolint:gosec // the API server accepts no other ports
	if err := g.judge(q.around, q.allowed, netip.AddrPortFrom(g.pin, p.port)); err != nil {
		return nil, err
	}
	return []place{p}, nil
}
