package world

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// parallel is how many objects are written at once: enough to keep an API server on a few cores
// busy.
const parallel = 24

// Fill writes a world into an API server.
func (w *World) Fill(ctx context.Context, cfg *rest.Config) error {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	f := filler{World: w, client: client}
	for _, step := range []struct {
		what string
		n    int
		do   func(context.Context, int) error
	}{
		{"namespaces", w.size.Namespaces, f.fillNamespace},
		{"nodes", w.size.Nodes, f.fillNode},
		{"deployments", w.size.Deployments, f.fillDeployment},
		{"pods", w.Pods(), f.fillPod},
	} {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(parallel)
		for i := range step.n {
			group.Go(func() error { return step.do(ctx, i) })
		}
		if err := group.Wait(); err != nil {
			return fmt.Errorf("writing %s: %w", step.what, err)
		}
	}
	return nil
}

type filler struct {
	*World

	client kubernetes.Interface
}

func (f filler) fillNamespace(ctx context.Context, i int) error {
	_, err := f.client.CoreV1().Namespaces().Create(ctx, f.namespace(i), metav1.CreateOptions{})
	return err
}

// write creates an object and then its status, which a create leaves out.
func write[T any](ctx context.Context, o T, create func(context.Context, T, metav1.CreateOptions) (T, error),
	update func(context.Context, T, metav1.UpdateOptions) (T, error), status func(from, to T),
) error {
	made, err := create(ctx, o, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	status(o, made)
	_, err = update(ctx, made, metav1.UpdateOptions{})
	return err
}

func (f filler) fillNode(ctx context.Context, i int) error {
	nodes := f.client.CoreV1().Nodes()
	if err := write(ctx, f.node(i), nodes.Create, nodes.UpdateStatus, func(from, to *corev1.Node) { to.Status = from.Status }); err != nil {
		return err
	}
	_, err := f.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Create(ctx, f.lease(i), metav1.CreateOptions{})
	return err
}

func (f filler) fillDeployment(ctx context.Context, i int) error {
	ns := f.namespaceOf(i)
	deployments, sets := f.client.AppsV1().Deployments(ns), f.client.AppsV1().ReplicaSets(ns)
	if err := write(ctx, f.deployment(i), deployments.Create, deployments.UpdateStatus, func(from, to *appsv1.Deployment) { to.Status = from.Status }); err != nil {
		return err
	}
	if err := write(ctx, f.replicaSet(i), sets.Create, sets.UpdateStatus, func(from, to *appsv1.ReplicaSet) { to.Status = from.Status }); err != nil {
		return err
	}
	if _, err := f.client.CoreV1().Services(ns).Create(ctx, f.service(i), metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err := f.client.DiscoveryV1().EndpointSlices(ns).Create(ctx, f.endpointSlice(i), metav1.CreateOptions{})
	return err
}

func (f filler) fillPod(ctx context.Context, i int) error {
	pod := f.pod(i)
	pods := f.client.CoreV1().Pods(pod.Namespace)
	if err := write(ctx, pod, pods.Create, pods.UpdateStatus, func(from, to *corev1.Pod) { to.Status = from.Status }); err != nil {
		return err
	}
	if e := f.event(i); e != nil {
		_, err := f.client.CoreV1().Events(e.Namespace).Create(ctx, e, metav1.CreateOptions{})
		return err
	}
	return nil
}
