// Package world fills an API server with a cluster that looks alive: nodes with fresh Leases, and
// workloads whose pods run on them behind Services. No kubelet or controller is needed; what they
// would write is written here.
package world

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Size of a world.
type Size struct {
	// Nodes is the number of Node objects, each with its Lease.
	Nodes int
	// Deployments, each with one ReplicaSet, one Service and one EndpointSlice.
	Deployments int
	// PodsPerDeployment is the number of running pods of each.
	PodsPerDeployment int
	// Namespaces over which the Deployments are spread.
	Namespaces int
}

// parallel is how many objects are written at once: enough to keep an API server on a few cores
// busy.
const parallel = 24

// Fill writes a world into an API server. now is the time at which everything in it began, long
// enough ago for the cluster to have settled; Leases are renewed at the moment of writing.
func Fill(ctx context.Context, cfg *rest.Config, size Size, now time.Time) error {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	f := filler{client: client, size: size, now: now, began: metav1.NewTime(now.Add(-24 * time.Hour))}
	for _, step := range []struct {
		what string
		n    int
		do   func(context.Context, int) error
	}{
		{"namespaces", size.Namespaces, f.namespace},
		{"nodes", size.Nodes, f.node},
		{"deployments", size.Deployments, f.deployment},
		{"pods", size.Deployments * size.PodsPerDeployment, f.pod},
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
	client kubernetes.Interface
	size   Size
	now    time.Time
	began  metav1.Time
}

func (f *filler) namespaceOf(deployment int) string {
	return fmt.Sprintf("team-%02d", deployment%f.size.Namespaces)
}
func nodeName(i int) string       { return fmt.Sprintf("node-%04d", i) }
func deploymentName(i int) string { return fmt.Sprintf("service-%05d", i) }
func labels(i int) map[string]string {
	return map[string]string{"app": deploymentName(i), "pod-template-hash": "6d8f7c9b5"}
}

func (f *filler) namespace(ctx context.Context, i int) error {
	_, err := f.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespaceOf(i)}}, metav1.CreateOptions{})
	return err
}

func (f *filler) node(ctx context.Context, i int) error {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("128Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	node, err := f.client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: nodeName(i), Labels: map[string]string{"topology.kubernetes.io/zone": fmt.Sprintf("zone-%d", i%3)},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	condition := func(t corev1.NodeConditionType, status corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: t, Status: status, Reason: reason, LastHeartbeatTime: metav1.NewTime(f.now), LastTransitionTime: f.began}
	}
	node.Status = corev1.NodeStatus{
		Capacity: room, Allocatable: room,
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
			condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
			condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
			condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
		},
		NodeInfo: corev1.NodeSystemInfo{KubeletVersion: "v1.36.3", OperatingSystem: "linux", Architecture: "amd64"},
	}
	for n := range 40 {
		node.Status.Images = append(node.Status.Images, corev1.ContainerImage{
			Names: []string{fmt.Sprintf("registry.example/team/service-%05d:1.0.%d", n, n)}, SizeBytes: 64 << 20,
		})
	}
	if _, err := f.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	// The Lease is good for the length of a benchmark: nobody is there to renew it.
	_, err = f.client.CoordinationV1().Leases("kube-node-lease").Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName(i)},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new(nodeName(i)), LeaseDurationSeconds: new(int32(24 * 3600)), RenewTime: new(metav1.NewMicroTime(f.now)),
		},
	}, metav1.CreateOptions{})
	return err
}

func (f *filler) deployment(ctx context.Context, i int) error {
	ns, name, replicas := f.namespaceOf(i), deploymentName(i), int32(f.size.PodsPerDeployment)
	meta := metav1.ObjectMeta{Namespace: ns, Name: name, Labels: labels(i)}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels(i)}, Spec: podSpec(i)}
	selector := &metav1.LabelSelector{MatchLabels: labels(i)}
	d, err := f.client.AppsV1().Deployments(ns).Create(ctx, &appsv1.Deployment{
		ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas,
		Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable", LastTransitionTime: f.began, LastUpdateTime: f.began},
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable", LastTransitionTime: f.began, LastUpdateTime: f.began},
		},
	}
	if _, err := f.client.AppsV1().Deployments(ns).UpdateStatus(ctx, d, metav1.UpdateOptions{}); err != nil {
		return err
	}
	setMeta := meta
	setMeta.Name = name + "-6d8f7c9b5"
	setMeta.Annotations = map[string]string{"deployment.kubernetes.io/revision": "1"}
	setMeta.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))}
	rs, err := f.client.AppsV1().ReplicaSets(ns).Create(ctx, &appsv1.ReplicaSet{
		ObjectMeta: setMeta, Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: selector, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	rs.Status = appsv1.ReplicaSetStatus{ObservedGeneration: rs.Generation, Replicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas}
	if _, err := f.client.AppsV1().ReplicaSets(ns).UpdateStatus(ctx, rs, metav1.UpdateOptions{}); err != nil {
		return err
	}
	return f.service(ctx, i, meta)
}

func (f *filler) service(ctx context.Context, i int, meta metav1.ObjectMeta) error {
	port := corev1.ServicePort{Name: "http", Port: 80, TargetPort: intstr.FromString("http"), Protocol: corev1.ProtocolTCP}
	svc, err := f.client.CoreV1().Services(meta.Namespace).Create(ctx, &corev1.Service{
		ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: labels(i), Ports: []corev1.ServicePort{port}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: svc.Name}
	slice.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(svc, corev1.SchemeGroupVersion.WithKind("Service"))}
	slice.Ports = []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)}}
	for n := range f.size.PodsPerDeployment {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{podIP(i*f.size.PodsPerDeployment + n)}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: meta.Namespace, Name: podName(i, n)},
		})
	}
	_, err = f.client.DiscoveryV1().EndpointSlices(meta.Namespace).Create(ctx, slice, metav1.CreateOptions{})
	return err
}

func podName(deployment, n int) string {
	return fmt.Sprintf("service-%05d-6d8f7c9b5-%05d", deployment, n)
}

func podIP(n int) string {
	return fmt.Sprintf("10.%d.%d.%d", 64+n/65000, n%65000/250, n%250+1)
}
