package target

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// allowance is what the CheckPolicies for a namespace allow together.
type allowance struct {
	// names are whole, and below are domains with a dot before them: all names that end so.
	names map[string]bool
	below []string
	// addresses have entries of their own, and networks have more than one.
	addresses map[netip.Addr]bool
	networks  []netip.Prefix
	nodes     bool
}

// policy is a CheckPolicy, read.
type policy struct {
	selector labels.Selector
	allowance
}

// readPolicy reads what a policy allows. An entry that cannot be read allows nothing: the API server accepts
// none.
func (r *Resolver) readPolicy(object *v1alpha1.CheckPolicy) (policy, error) {
	selector, err := metav1.LabelSelectorAsSelector(&object.Spec.NamespaceSelector)
	if err != nil {
		return policy{}, fmt.Errorf("reading the namespaceSelector of CheckPolicy %s: %w", object.Name, err)
	}
	p := policy{selector: selector, allowance: newAllowance()}
	p.nodes = object.Spec.Nodes
	for _, host := range object.Spec.Hosts {
		p.add(r, string(host))
	}
	return p, nil
}

func newAllowance() allowance {
	return allowance{names: map[string]bool{}, addresses: map[netip.Addr]bool{}}
}

func (a *allowance) add(r *Resolver, host string) {
	if network, err := netip.ParsePrefix(host); err == nil {
		if network.Addr().Is4In6() && network.Bits() >= 96 {
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		a.networks = append(a.networks, network.Masked())
		return
	}
	domain, below := strings.CutPrefix(host, "*.")
	name, addr, err := readHost(domain)
	switch {
	case err != nil:
	case addr.IsValid():
		a.addresses[addr] = true
	case below:
		a.below = append(a.below, "."+r.full(name))
	default:
		a.names[r.full(name)] = true
	}
}

// allowances returns what a namespace is allowed.
func (r *Resolver) allowances(ctx context.Context, around *surroundings, namespace string) (*allowance, error) {
	all := newAllowance()
	if len(around.policies) == 0 {
		return &all, nil
	}
	var object corev1.Namespace
	if err := r.o.Reader.Get(ctx, client.ObjectKey{Name: namespace}, &object, client.UnsafeDisableDeepCopy); err != nil {
		return nil, reading("Namespace", namespace, err)
	}
	for i := range around.policies {
		p := &around.policies[i]
		if !p.selector.Matches(labels.Set(object.Labels)) {
			continue
		}
		for name := range p.names {
			all.names[name] = true
		}
		for addr := range p.addresses {
			all.addresses[addr] = true
		}
		all.below = append(all.below, p.below...)
		all.networks = append(all.networks, p.networks...)
		all.nodes = all.nodes || p.nodes
	}
	return &all, nil
}

// allowsName tells whether a name may be asked, whatever it resolves to. The name is absolute.
func (a *allowance) allowsName(full string) bool {
	if a.names[full] {
		return true
	}
	for _, domain := range a.below {
		if strings.HasSuffix(full, domain) {
			return true
		}
	}
	return false
}

// allowsAddress tells whether an address may be connected to.
func (a *allowance) allowsAddress(addr netip.Addr) bool {
	if a.addresses[addr] {
		return true
	}
	for _, network := range a.networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// allowsSomeAddress tells whether a name that is not allowed may turn out to be an address that is.
func (a *allowance) allowsSomeAddress() bool {
	return len(a.addresses) > 0 || len(a.networks) > 0
}
