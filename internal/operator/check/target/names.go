package target

import (
	"net/netip"
	"regexp"
	"strings"

	"golang.org/x/net/idna"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// maxName is the longest domain name, in bytes (RFC 1035, 2.3.4).
const maxName = 253

var (
	domainName = regexp.MustCompile(`^[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*$`)
	// A name that ends in a number is an address to some resolvers (127.1, 0x7f.1, 2130706433), and a name to
	// others: https://url.spec.whatwg.org/#ends-in-a-number-checker
	numeric = regexp.MustCompile(`(^|\.)([0-9]+|0x[0-9a-f]*)$`)
)

// readHost reads a host: the address is valid where it is one, and otherwise the name is in lower case, in
// ASCII, and without the dot at its end.
func readHost(text string) (name string, addr netip.Addr, err error) {
	host := text
	if inner, found := strings.CutPrefix(host, "["); found {
		host = strings.TrimSuffix(inner, "]")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return "", netip.Addr{}, plan.Refuse(v1alpha1.ReasonTargetInvalid, "%q has a zone, which is a network interface of one machine; write an address without one", text)
		}
		return "", addr.Unmap(), nil
	}
	name = strings.ToLower(strings.TrimSuffix(host, "."))
	if !isASCII(name) {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return "", netip.Addr{}, plan.Refuse(v1alpha1.ReasonTargetInvalid, "%q is no host: %v", text, err)
		}
		name = ascii
	}
	switch {
	case len(name) > maxName || !domainName.MatchString(name):
		return "", netip.Addr{}, plan.Refuse(v1alpha1.ReasonTargetInvalid, "%q is no host; write a name or an address", text)
	case numeric.MatchString(name):
		return "", netip.Addr{}, plan.Refuse(v1alpha1.ReasonTargetInvalid, "%q ends in a number and is no address; write all four numbers of an IPv4 address, in decimals", text)
	}
	return name, netip.Addr{}, nil
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// full is the absolute name of a name, without the dot at its end: what ends in .svc is in the cluster.
func (r *Resolver) full(name string) string {
	if strings.HasSuffix(name, ".svc") {
		return name + "." + r.o.ClusterDomain
	}
	return name
}

// serviceOf returns the Service that a name is, of a namespace: NAME, NAME.NAMESPACE, NAME.NAMESPACE.svc and
// NAME.NAMESPACE.svc.CLUSTERDOMAIN, as pods of the namespace may write it.
func (r *Resolver) serviceOf(name, namespace string) (service string, isService bool) {
	rest := strings.TrimSuffix(r.full(name), ".svc."+r.o.ClusterDomain)
	service, of, dotted := strings.Cut(rest, ".")
	return service, !dotted || of == namespace
}
