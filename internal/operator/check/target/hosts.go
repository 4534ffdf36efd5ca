package target

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// port is what the check asks its target on.
func (q *query) port() intstr.IntOrString {
	switch spec := q.spec; {
	case spec.HTTPGet != nil:
		return spec.HTTPGet.Port
	case spec.TCPSocket != nil:
		return spec.TCPSocket.Port
	case spec.GRPC != nil:
		return intstr.FromInt32(spec.GRPC.Port)
	case spec.TLS != nil:
		return spec.TLS.Port
	default:
		return intstr.FromInt32(0)
	}
}

// protocol is what the check speaks below its own.
func (q *query) protocol() corev1.Protocol {
	if q.spec.DNS != nil && q.spec.DNS.Transport != "TCP" {
		return corev1.ProtocolUDP
	}
	return corev1.ProtocolTCP
}

// numbered reads a port that has no names to be looked up.
func numbered(port intstr.IntOrString) (uint16, error) {
	number := port.IntValue()
	if port.Type == intstr.String {
		number, _ = strconv.Atoi(port.StrVal) // what is no number is 0, and refused
	}
	if number < 1 || number > 65535 {
		return 0, plan.Refuse(v1alpha1.ReasonTargetInvalid, "port %s is no number from 1 to 65535; only ports of Services and pods have names", port.String())
	}
	return uint16(number), nil
}

// url asks the host of a URL.
func (q *query) url(ctx context.Context, text string) ([]place, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, plan.Refuse(v1alpha1.ReasonTargetInvalid, "target.url cannot be read: %v", err)
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return q.hosts(ctx, u.Hostname(), intstr.Parse(port))
}

// hosts asks a name or an address: a Service of the namespace, or whoever a policy allows.
func (q *query) hosts(ctx context.Context, host string, port intstr.IntOrString) ([]place, error) {
	name, addr, err := readHost(host)
	if err != nil {
		return nil, err
	}
	if addr.IsValid() {
		return q.allowedHost(ctx, name, addr, port)
	}
	service, isService := q.r.serviceOf(name, q.check.Namespace)
	if !isService {
		return q.allowedHost(ctx, name, addr, port)
	}
	places, err := q.service(ctx, service, false, port)
	if empty, ok := errors.AsType[*plan.Empty](err); ok && empty.Reason == v1alpha1.ReasonServiceNotFound && q.allowed.allowsName(q.r.full(name)) {
		return q.allowedHost(ctx, name, addr, port)
	}
	// By the name that was written: a certificate, or a virtual host, may know no other.
	for i := range places {
		places[i].host, places[i].serverName = name, name
		if places[i].guard.basis == byPolicy && places[i].guard.name != "" {
			places[i].host = places[i].guard.host
			continue
		}
		places[i].guard.host = name
	}
	return places, err
}

// allowedHost asks a host that is none of the namespace's, if a policy allows that.
func (q *query) allowedHost(ctx context.Context, name string, addr netip.Addr, port intstr.IntOrString) ([]place, error) {
	number, err := numbered(port)
	if err != nil {
		return nil, err
	}
	g := &guard{r: q.r, namespace: q.check.Namespace, host: name, name: name, pin: addr, basis: byPolicy, run: q.run}
	if addr.IsValid() {
		g.host = addr.String()
		if q.spec.DNS != nil && slices.Contains(q.around.nameServer, addr) {
			g.basis, g.ports = byNameServer, []uint16{nameServerPort}
		}
	} else {
		g.name = q.r.full(name)
	}
	p := place{name: g.host, host: g.host, port: number, guard: g}
	if !addr.IsValid() && !q.allowed.allowsName(g.name) && !q.allowed.allowsSomeAddress() {
		return nil, g.refuse(g.host, "it is not of the check's namespace", entry(name))
	}
	if err := q.settle(ctx, &p); err != nil {
		return nil, err
	}
	return []place{p}, nil
}

// settle finds out beforehand whether a place may be asked. A name is looked up here only for agents: what
// they connect to must be known.
func (q *query) settle(ctx context.Context, p *place) error {
	g := p.guard
	if !g.pin.IsValid() {
		if q.spec.From != v1alpha1.FromNodes {
			return nil
		}
		addr, err := g.address(ctx)
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			return &plan.Empty{Failure: true, Reason: v1alpha1.ReasonNameNotFound, Message: "the name " + g.name + " does not exist"}
		}
		if err != nil {
			return err
		}
		g.pin = addr
	}
	if refusal := g.judge(q.around, q.allowed, netip.AddrPortFrom(g.pin, p.port)); refusal != nil {
		return refusal
	}
	return nil
}

// nameServerPort is the port of DNS.
const nameServerPort = 53

// nameServer asks a server of DNS: the cluster's own where none is named.
func (q *query) nameServer(ctx context.Context) ([]place, error) {
	port := intstr.FromInt32(q.spec.DNS.Port)
	if q.spec.DNS.Port == 0 {
		port = intstr.FromInt32(nameServerPort)
	}
	if server := q.spec.DNS.Server; server != "" {
		name, addr, err := readHost(server)
		if err != nil {
			return nil, err
		}
		own, isService := q.r.serviceOf(name, nameServerKey.Namespace)
		if addr.IsValid() || !isService || own != nameServerKey.Name || name == own && q.check.Namespace != nameServerKey.Namespace {
			return q.hosts(ctx, server, port)
		}
	}
	if len(q.around.nameServer) == 0 {
		return nil, plan.Refuse(v1alpha1.ReasonTargetInvalid, "there is no Service %s, which is the cluster's DNS elsewhere; write dns.server", nameServerKey)
	}
	return q.allowedHost(ctx, "", q.around.nameServer[0], port)
}
