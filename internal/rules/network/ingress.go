package network

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// ingressServed tells whether a controller gave an Ingress an address.
func ingressServed(in *networkingv1.Ingress) bool { return len(in.Status.LoadBalancer.Ingress) > 0 }

// className is the class that an Ingress names; empty where it leaves that to the default class. One
// that is named in the annotation of old is told by that (networking/v1beta1 had no field for it), which
// a snapshot does not keep, so it counts as unnamed.
func className(in *networkingv1.Ingress) string {
	if in.Spec.IngressClassName == nil {
		return ""
	}
	return *in.Spec.IngressClassName
}

// lately is a time, if it is within the last day: what an object's last change says of a fault that
// may have other beginnings.
func lately(now, at time.Time) time.Time {
	if now.Sub(at) < recent {
		return at
	}
	return time.Time{}
}

// ingressBackend is a Service that an Ingress leads to, and where it says so.
type ingressBackend struct {
	service networkingv1.IngressServiceBackend
	path    string
	route   string
}

// ingressBackends are the Services that an Ingress leads to.
func ingressBackends(in *networkingv1.Ingress) []ingressBackend {
	var out []ingressBackend
	if b := in.Spec.DefaultBackend; b != nil && b.Service != nil {
		out = append(out, ingressBackend{*b.Service, ".spec.defaultBackend.service", "*"})
	}
	for i, r := range in.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for j, p := range r.HTTP.Paths {
			if p.Backend.Service != nil {
				out = append(out, ingressBackend{
					*p.Backend.Service, fmt.Sprintf(".spec.rules[%d].http.paths[%d].backend.service", i, j), r.Host + p.Path,
				})
			}
		}
	}
	return out
}

// portOfAction is the port of backends that are no Services but actions that an annotation defines, such
// as a redirect (https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/#actions).
const portOfAction = "use-annotation"

// missing tells what of a backend is not there: the Service, or its port.
func (b ingressBackend) missing(s *snapshot.Snapshot, namespace string) (text finding.Text, value string, found bool) {
	if b.service.Port.Name == portOfAction {
		return finding.Text{}, "", false
	}
	svc, ok := snapshot.Get[*corev1.Service](s, namespace, b.service.Name)
	if !ok {
		return finding.Textf("Service %s/%s does not exist", "Service(%s/%s)가 없습니다", namespace, b.service.Name), b.service.Name, true
	}
	port := b.service.Port
	if port.Name == "" && port.Number == 0 ||
		slices.ContainsFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool {
			return port.Name != "" && p.Name == port.Name || port.Name == "" && p.Port == port.Number
		}) {
		return finding.Text{}, "", false
	}
	wanted := port.Name
	if wanted == "" {
		wanted = strconv.Itoa(int(port.Number))
	}
	var has []string
	for _, p := range svc.Spec.Ports {
		has = append(has, strings.TrimSpace(p.Name+" "+strconv.Itoa(int(p.Port))))
	}
	return finding.Textf("Service %s/%s has no port %s; it has: %s", "Service(%s/%s)에 포트(%s)가 없습니다. 있는 포트: %s", namespace, b.service.Name, wanted, strings.Join(has, ", ")),
		b.service.Name + ":" + wanted, true
}
