package target

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// basis is why a place may be asked.
type basis int

const (
	// byPolicy: a CheckPolicy must allow the host.
	byPolicy basis = iota
	// byOwnership: it is a pod of the namespace, or a Service of such pods.
	byOwnership
	// byIngress: a controller gave the address to an Ingress of the namespace.
	byIngress
	// byNode: it is a node that the check selects.
	byNode
	// byNameServer: it is the cluster's DNS, which every pod asks.
	byNameServer
)

// guard opens the connections of one question.
type guard struct {
	r         *Resolver
	namespace string
	// host is what is asked, as URLs and addresses name it.
	host string
	// pin is the one address that is connected to; where it is not valid, name is looked up.
	pin   netip.Addr
	name  string
	basis basis
	// ports that may be connected to; none for any.
	ports []uint16
	// pod that pin must still be the address of; none where its name is empty.
	pod plan.Pod
	// behind permits those to whom pin sends on, where it is a Service's address; nil for any other.
	behind func(ctx context.Context, around *surroundings, allowed *allowance, protocol corev1.Protocol, port uint16) error
	run    uint64
}

// dial connects to the host that is asked, if that is allowed. It takes the place of net.Dialer.DialContext.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if !strings.EqualFold(host, g.host) {
		return nil, plan.Refuse(v1alpha1.ReasonNotAllowed, "the check asks %s, and was led to %s", g.host, host)
	}
	addr, err := g.address(ctx)
	if err != nil {
		return nil, err
	}
	to := netip.AddrPortFrom(addr, uint16(port))
	if err := g.permit(ctx, protocolOf(network), to); err != nil {
		return nil, err
	}
	return g.r.o.Dial(ctx, network, to.String())
}

// address returns where to connect to: one address for each attempt, of the family that the resolver puts
// first, and another one in each run where there are several.
func (g *guard) address(ctx context.Context) (netip.Addr, error) {
	if g.pin.IsValid() {
		return g.pin, nil
	}
	// The dot at the end keeps search domains away: a check means one name, wherever it is asked from.
	found, err := g.r.o.Lookup(ctx, "ip", g.name+".")
	if err != nil {
		return netip.Addr{}, fmt.Errorf("looking up %s: %w", g.name, err)
	}
	if len(found) == 0 {
		return netip.Addr{}, &net.DNSError{Err: "no addresses", Name: g.name, IsNotFound: true}
	}
	family := found[0].Unmap().Is4()
	var same []netip.Addr
	for _, addr := range found {
		if addr = addr.Unmap(); addr.Is4() == family {
			same = append(same, addr)
		}
	}
	slices.SortFunc(same, netip.Addr.Compare)
	return oneOf(slices.Compact(same), g.run), nil
}

// protocolOf is what Kubernetes calls a network of package net.
func protocolOf(network string) corev1.Protocol {
	if strings.HasPrefix(network, "udp") {
		return corev1.ProtocolUDP
	}
	return corev1.ProtocolTCP
}

// permit says whether a connection may be opened, by what is allowed now.
func (g *guard) permit(ctx context.Context, protocol corev1.Protocol, to netip.AddrPort) error {
	around, err := g.r.surroundings(ctx)
	if err != nil {
		return nobodyKnows(err)
	}
	allowed, err := g.r.allowances(ctx, around, g.namespace)
	if err != nil {
		return nobodyKnows(err)
	}
	if refusal := g.judge(around, allowed, to); refusal != nil {
		return refusal
	}
	if g.behind != nil {
		return g.behind(ctx, around, allowed, protocol, to.Port())
	}
	if g.pod.Name == "" {
		return nil
	}
	var pod corev1.Pod
	if err := g.r.o.Reader.Get(ctx, g.pod.NamespacedName, &pod, client.UnsafeDisableDeepCopy); client.IgnoreNotFound(err) != nil {
		return nobodyKnows(err)
	}
	if pod.UID != g.pod.UID || over(&pod) || !hasAddress(&pod, g.pin) {
		return &plan.Empty{Reason: v1alpha1.ReasonPodGone, Message: fmt.Sprintf("pod %s no longer has the address %s", g.pod.Name, g.pin)}
	}
	return nil
}

// nobodyKnows is why a connection is not opened where nobody can tell whether it may be.
func nobodyKnows(err error) error {
	return &plan.Empty{Reason: v1alpha1.ReasonNotAsked, Message: "whether the target may be asked could not be told: " + err.Error()}
}

// judge says why an address may not be connected to; nil where it may.
func (g *guard) judge(around *surroundings, allowed *allowance, to netip.AddrPort) *plan.Refusal {
	all := forms(to.Addr())
	addr := all[0]
	host := g.host
	if parsed, err := netip.ParseAddr(host); err != nil || parsed.Unmap() != addr {
		host = fmt.Sprintf("%s (%s)", host, addr)
	}
	for _, form := range all {
		if why := whyForbidden(form); why != "" {
			return plan.Refuse(v1alpha1.ReasonNotAllowed, "%s is not asked: it is %s, which no CheckPolicy can allow", host, why)
		}
	}
	if len(g.ports) > 0 && !slices.Contains(g.ports, to.Port()) {
		return plan.Refuse(v1alpha1.ReasonNotAllowed, "%s is not asked on port %d: nothing but port %s may be asked there", host, to.Port(), ports(g.ports))
	}
	if refusal := g.judgeOwn(around, allowed, all, to.Port(), host); refusal != nil {
		return refusal
	}
	named := g.name != "" && allowed.allowsName(g.r.full(g.name))
	switch {
	case g.basis == byNode && !allowed.nodes:
		return g.refuse(host, "it is a node", "nodes: true")
	case g.basis == byPolicy && !named && !allowed.allowsAddress(addr):
		return g.refuse(host, "it is not of the check's namespace", entry(cmp.Or(g.policyName(), addr.String())))
	default:
		return nil
	}
}

// judgeOwn judges the cluster's own addresses, which no network in a policy allows. The first form is the
// address that is connected to.
func (g *guard) judgeOwn(around *surroundings, allowed *allowance, forms []netip.Addr, port uint16, host string) *plan.Refusal {
	addr := forms[0]
	byItself := allowed.addresses[addr] || g.basis == byPolicy && g.name != "" && allowed.names[g.r.full(g.name)]
	for _, form := range forms {
		switch {
		case isCredentials(form) && !allowed.addresses[addr]:
			return g.refuse(host, "clouds keep the credentials of machines there, so that it needs an entry of its own", entry(addr.String()))
		case g.isAPIServer(around, form, port) && !byItself:
			return g.refuse(host, "it is the API server's address, which needs an entry of its own", entry(cmp.Or(g.policyName(), addr.String())))
		case around.nodes[form] && !allowed.nodes && g.basis != byIngress:
			return g.refuse(host, "it is a node's address", "nodes: true")
		}
	}
	return nil
}

func ports(all []uint16) string {
	var texts []string
	for _, port := range all {
		texts = append(texts, strconv.Itoa(int(port)))
	}
	return strings.Join(texts, " or ")
}

// isAPIServer tells whether an address is the API server's. Where it shares a machine with what may be asked
// there, its port tells them apart.
func (g *guard) isAPIServer(around *surroundings, addr netip.Addr, port uint16) bool {
	ports, found := around.apiServer[addr]
	return found && (g.basis == byPolicy || slices.Contains(ports, port))
}

// policyName is the name that a policy would allow; "" where the check names an address.
func (g *guard) policyName() string {
	if g.basis != byPolicy {
		return ""
	}
	return g.name
}

func entry(host string) string { return fmt.Sprintf("hosts: [%q]", host) }

// refuse says what a policy must have for a host to be asked.
func (g *guard) refuse(host, why, field string) *plan.Refusal {
	return refuseWithPolicy(g.namespace, host, why, field)
}

func refuseWithPolicy(namespace, host, why, field string) *plan.Refusal {
	return plan.Refuse(v1alpha1.ReasonNotAllowed, "%s is not asked: %s, and no CheckPolicy for namespace %s allows it; "+
		"who administers the cluster can with {apiVersion: maek.dev/v1alpha1, kind: CheckPolicy, metadata: {name: %s}, "+
		"spec: {namespaceSelector: {matchLabels: {%s: %s}}, %s}}",
		host, why, namespace, namespace, corev1.LabelMetadataName, namespace, field)
}
