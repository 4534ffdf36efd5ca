package target

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// ingressPorts are those that an Ingress has.
var ingressPorts = []uint16{80, 443}

// ingress asks an Ingress by the address that its controller gave it, under the name of one of its rules.
func (q *query) ingress(ctx context.Context, target *v1alpha1.IngressTarget, port intstr.IntOrString) ([]place, error) {
	number, err := numbered(port)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(ingressPorts, number) {
		return nil, plan.Refuse(v1alpha1.ReasonTargetInvalid, "port %d: an Ingress has the ports 80 and 443", number)
	}
	var ingress networkingv1.Ingress
	key := client.ObjectKey{Namespace: q.check.Namespace, Name: target.Name}
	switch err := q.r.o.Reader.Get(ctx, key, &ingress, client.UnsafeDisableDeepCopy); {
	case apierrors.IsNotFound(err):
		return nil, &plan.Empty{Failure: true, Reason: v1alpha1.ReasonIngressNotFound, Message: fmt.Sprintf("there is no Ingress %s in namespace %s", key.Name, key.Namespace)}
	case err != nil:
		return nil, reading("Ingress", key.String(), err)
	}
	balancers := slices.DeleteFunc(slices.Clone(ingress.Status.LoadBalancer.Ingress), func(b networkingv1.IngressLoadBalancerIngress) bool {
		return b.IP == "" && b.Hostname == ""
	})
	if len(balancers) == 0 {
		return nil, &plan.Empty{Failure: true, Reason: v1alpha1.ReasonNoAddress, Message: fmt.Sprintf("no controller has given Ingress %s an address", key.Name)}
	}
	balancer := oneOf(balancers, q.run)
	name, addr, err := readHost(cmp.Or(balancer.IP, balancer.Hostname))
	if err != nil {
		return nil, err
	}
	host, err := ruleHost(&ingress, target.Host)
	if err != nil {
		return nil, err
	}
	g := &guard{r: q.r, namespace: q.check.Namespace, host: host, name: name, pin: addr, basis: byIngress, ports: ingressPorts, run: q.run}
	switch {
	case host != "":
	case addr.IsValid():
		g.host = addr.String()
	default:
		g.host = name
	}
	p := place{name: g.host, host: g.host, port: number, serverName: host, guard: g}
	if err := q.settle(ctx, &p); err != nil {
		return nil, err
	}
	return []place{p}, nil
}

// ruleHost chooses the name to ask for; "" where the Ingress takes any.
func ruleHost(ingress *networkingv1.Ingress, want string) (string, error) {
	var hosts []string
	takesAny := ingress.Spec.DefaultBackend != nil
	for _, rule := range ingress.Spec.Rules {
		if rule.Host == "" {
			takesAny = true
			continue
		}
		hosts = append(hosts, strings.ToLower(rule.Host))
	}
	if want == "" {
		if len(hosts) == 0 || len(ingress.Spec.Rules) > 0 && ingress.Spec.Rules[0].Host == "" {
			return "", nil
		}
		if strings.HasPrefix(hosts[0], "*.") {
			return "", plan.Refuse(v1alpha1.ReasonTargetInvalid, "the first rule of Ingress %s is for %s; write in target.ingress.host which name to ask for", ingress.Name, hosts[0])
		}
		return hosts[0], nil
	}
	name, addr, err := readHost(want)
	if err != nil {
		return "", err
	}
	if addr.IsValid() {
		return "", plan.Refuse(v1alpha1.ReasonTargetInvalid, "target.ingress.host is the address %s; write a name of a rule", want)
	}
	if takesAny || slices.ContainsFunc(hosts, func(host string) bool { return fits(host, name) }) {
		return name, nil
	}
	return "", plan.Refuse(v1alpha1.ReasonTargetInvalid, "Ingress %s has no rule for %s; its rules are for %s", ingress.Name, want, strings.Join(hosts, ", "))
}

// fits tells whether a rule is for a name. A wildcard stands for one label
// (https://kubernetes.io/docs/concepts/services-networking/ingress/#hostname-wildcards).
func fits(rule, name string) bool {
	if domain, found := strings.CutPrefix(rule, "*."); found {
		_, rest, dotted := strings.Cut(name, ".")
		return dotted && rest == domain
	}
	return rule == name
}

// nodes asks nodes by their internal addresses.
func (q *query) nodes(ctx context.Context, target *v1alpha1.NodesTarget, port intstr.IntOrString) ([]place, error) {
	number, err := numbered(port)
	if err != nil {
		return nil, err
	}
	if !q.allowed.nodes {
		return nil, refuseWithPolicy(q.check.Namespace, "target.nodes", "nodes are of no namespace", "nodes: true")
	}
	selector, err := metav1.LabelSelectorAsSelector(&target.Selector)
	if err != nil {
		return nil, plan.Refuse(v1alpha1.ReasonTargetInvalid, "target.nodes.selector cannot be read: %v", err)
	}
	var list corev1.NodeList
	if err := q.r.o.Reader.List(ctx, &list, client.MatchingLabelsSelector{Selector: selector}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, reading("Nodes", "", err)
	}
	if len(list.Items) == 0 {
		return nil, &plan.Empty{Reason: v1alpha1.ReasonNoNodes, Message: "no node fits the selector"}
	}
	nodes := slices.SortedFunc(slices.Values(list.Items), func(a, b corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	if target.Mode == v1alpha1.TargetAny {
		nodes = []corev1.Node{oneOf(nodes, q.run)}
	}
	places := make([]place, 0, len(nodes))
	for i := range nodes {
		p, err := q.node(&nodes[i], number)
		if err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	return places, nil
}

func (q *query) node(node *corev1.Node, port uint16) (place, error) {
	p := place{name: node.Name, port: port}
	for _, address := range node.Status.Addresses {
		addr, err := netip.ParseAddr(address.Address)
		if address.Type != corev1.NodeInternalIP || err != nil {
			continue
		}
		addr = addr.Unmap()
		p.host = addr.String()
		p.guard = &guard{r: q.r, namespace: q.check.Namespace, host: p.host, pin: addr, basis: byNode, ports: []uint16{port}, run: q.run}
		if refusal := p.guard.judge(q.around, q.allowed, netip.AddrPortFrom(addr, port)); refusal != nil {
			return p, refusal
		}
		return p, nil
	}
	p.gap = &gap{reason: v1alpha1.ReasonNotAsked, message: fmt.Sprintf("node %s has no internal address", node.Name)}
	return p, nil
}
