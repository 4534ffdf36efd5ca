package target

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// inService are the endpoints that kube-proxy may send to.
func inService(all []endpoint) []endpoint {
	return slices.DeleteFunc(all, func(e endpoint) bool { return e.out })
}

// permitAll says why those behind a Service's own address may not be asked: kube-proxy chooses, so that each
// of them must be allowed.
func (q *query) permitAll(service *corev1.Service, all []endpoint) error {
	for _, e := range all {
		if e.stale {
			return &plan.Empty{Reason: v1alpha1.ReasonEndpointsUnsettled, Message: fmt.Sprintf(
				"Service %s may send to %s, which is no longer a pod's address: its EndpointSlices lag behind, or somebody wrote them by hand", service.Name, e.addr)}
		}
		if err := q.permitEndpoint(service, e); err != nil {
			return err
		}
	}
	return nil
}

// behind permits those behind a Service's own address at the very time when it is connected to. A redirect may
// lead to another port of the Service, and an answer too long for UDP to the same one over TCP, and others may
// be behind those; and EndpointSlices may change while an answer is waited for.
func (q *query) behind(service *corev1.Service, pin netip.Addr) func(context.Context, *surroundings, *allowance, corev1.Protocol, uint16) error {
	key := client.ObjectKeyFromObject(service)
	return func(ctx context.Context, around *surroundings, allowed *allowance, protocol corev1.Protocol, port uint16) error {
		now := query{r: q.r, check: q.check, spec: q.spec, run: q.run, around: around, allowed: allowed}
		return now.permitBehind(ctx, key, pin, protocol, port)
	}
}

func (q *query) permitBehind(ctx context.Context, key client.ObjectKey, pin netip.Addr, protocol corev1.Protocol, port uint16) error {
	var service corev1.Service
	if err := q.r.o.Reader.Get(ctx, key, &service, client.UnsafeDisableDeepCopy); client.IgnoreNotFound(err) != nil {
		return nobodyKnows(err)
	}
	if !slices.Contains(clusterIPs(&service), pin) {
		return &plan.Empty{Reason: v1alpha1.ReasonEndpointsUnsettled, Message: fmt.Sprintf("Service %s no longer has the address %s", key.Name, pin)}
	}
	asked, err := servicePort(&service, intstr.FromInt32(int32(port)), protocol)
	if err != nil {
		// The check asks for a port that there is: it is the target that leads to another one.
		return errors.New(err.Error())
	}
	all, err := q.endpoints(ctx, &service, asked)
	if err != nil {
		return nobodyKnows(err)
	}
	return q.permitAll(&service, inService(all))
}
