package inservice

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// spare judges whether the pod's Services can spare it, and whether the fault may be its node's.
func (k *Keeper) spare(ctx context.Context, r *record, x *examination) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	here := client.InNamespace(x.pod.Namespace)
	var services corev1.ServiceList
	if err := k.o.Client.List(ctx, &services, here); err != nil {
		return fmt.Errorf("listing Services of namespace %s: %w", x.pod.Namespace, err)
	}
	var slices discoveryv1.EndpointSliceList
	if err := k.o.Client.List(ctx, &slices, here); err != nil {
		return fmt.Errorf("listing EndpointSlices of namespace %s: %w", x.pod.Namespace, err)
	}
	var pods corev1.PodList
	if err := k.o.Reader.List(ctx, &pods, here, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing pods of namespace %s: %w", x.pod.Namespace, err)
	}
	s := behind(services.Items, slices.Items, pods.Items)
	for _, e := range x.ledger.outs() {
		s.outs[e.UID] = true
	}
	percent := minReadyPercent(r.check)
	// Nodes are large, and are read only where it depends on them.
	if x.reason, x.message = s.floor(x.pod, percent); x.reason != "" {
		return nil
	}
	var err error
	if s.troubles, err = k.readTroubles(ctx, s.nodes(x.pod)); err != nil {
		return err
	}
	if t, ok := s.troubles[x.pod.Spec.NodeName]; ok {
		x.reason, x.message = t.reason, t.message
		return nil
	}
	x.reason, x.message = s.floor(x.pod, percent)
	return nil
}
