// Package world makes a cluster that looks alive: nodes with fresh Leases, and workloads whose pods run
// on them behind Services. No kubelet or controller is needed; what they would write is written here.
// The objects can be put before an API server (Store) or taken as they are (Each).
package world

import (
	"fmt"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Size of a world.
type Size struct {
	// Nodes is the number of Node objects, each with its Lease.
	Nodes int
	// Deployments, each with one ReplicaSet, one Service and one EndpointSlice.
	Deployments int
	// PodsPerDeployment is the number of pods of each.
	PodsPerDeployment int
	// Namespaces over which the Deployments are spread.
	Namespaces int
	// Sick makes every third Deployment fail, for one of Ailments reasons.
	Sick bool
	// Flannel makes flannel the pod network, which Nodes, pods and machines then show.
	Flannel bool
}

// World is a cluster to be made.
type World struct {
	size  Size
	now   time.Time
	began metav1.Time
}

// New describes a world of a size. Everything in it began a day before now, long enough ago to have
// settled; Leases are renewed at now.
func New(size Size, now time.Time) *World {
	return &World{size: size, now: now, began: metav1.NewTime(now.Add(-24 * time.Hour))}
}

// Pods is the number of pods.
func (w *World) Pods() int { return w.size.Deployments * w.size.PodsPerDeployment }

// Each calls f for every object of the world, complete with its status.
func (w *World) Each(f func(metav1.Object)) {
	for i := range w.size.Namespaces {
		f(w.namespace(i))
	}
	for i := range w.size.Nodes {
		f(w.node(i))
		f(w.lease(i))
	}
	for i := range w.size.Deployments {
		f(w.deployment(i))
		f(w.replicaSet(i))
		f(w.service(i))
		f(w.endpointSlice(i))
	}
	for i := range w.Pods() {
		f(w.pod(i))
		if e := w.event(i); e != nil {
			f(e)
		}
	}
}

func (w *World) namespaceOf(deployment int) string {
	return fmt.Sprintf("team-%02d", deployment%w.size.Namespaces)
}
func nodeName(i int) string       { return fmt.Sprintf("node-%04d", i) }
func deploymentName(i int) string { return fmt.Sprintf("service-%05d", i) }
func replicaSetName(i int) string { return deploymentName(i) + "-6d8f7c9b5" }

// replicaSetUID tells the owners of pods apart, as an API server does.
func replicaSetUID(i int) types.UID {
	return types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", i))
}

func labels(i int) map[string]string {
	return map[string]string{"app": deploymentName(i), "pod-template-hash": "6d8f7c9b5"}
}

func (w *World) namespace(i int) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespaceOf(i)}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive}}
}

func (w *World) node(i int) *corev1.Node {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("128Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	condition := func(t corev1.NodeConditionType, status corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: t, Status: status, Reason: reason, LastHeartbeatTime: metav1.NewTime(w.now), LastTransitionTime: w.began}
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: nodeName(i), CreationTimestamp: w.began,
			Labels: map[string]string{corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%3), corev1.LabelHostname: nodeName(i)},
		},
		Status: corev1.NodeStatus{
			Capacity: room, Allocatable: room,
			Conditions: []corev1.NodeCondition{
				condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
				condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
				condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
				condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
			},
			NodeInfo: corev1.NodeSystemInfo{KubeletVersion: "v1.36.3", OperatingSystem: "linux", Architecture: "amd64"},
		},
	}
	if w.size.Flannel {
		announce(node, i)
	}
	for n := range 40 {
		node.Status.Images = append(node.Status.Images, corev1.ContainerImage{
			Names: []string{fmt.Sprintf("registry.example/team/service-%05d:1.0.%d", n, n)}, SizeBytes: 64 << 20,
		})
	}
	return node
}

// lease is good for the length of a benchmark: nobody is there to renew it.
func (w *World) lease(i int) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: nodeName(i), CreationTimestamp: w.began},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new(nodeName(i)), LeaseDurationSeconds: new(int32(24 * 3600)), RenewTime: new(metav1.NewMicroTime(w.now)),
		},
	}
}

func (w *World) meta(i int) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespaceOf(i), Name: deploymentName(i), Labels: labels(i), CreationTimestamp: w.began}
}

func (w *World) template(i int) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels(i)}, Spec: w.podSpec(i)}
}

func (w *World) deployment(i int) *appsv1.Deployment {
	replicas, ready := int32(w.size.PodsPerDeployment), int32(w.size.PodsPerDeployment)
	available := corev1.ConditionTrue
	if w.ails(i) {
		ready, available = 0, corev1.ConditionFalse
	}
	return &appsv1.Deployment{
		ObjectMeta: w.meta(i),
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels(i)}, Template: w.template(i)},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: 1, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: ready, AvailableReplicas: ready, UnavailableReplicas: replicas - ready,
			Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: available, Reason: "MinimumReplicasAvailable", LastTransitionTime: w.began, LastUpdateTime: w.began},
				{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable", LastTransitionTime: w.began, LastUpdateTime: w.began},
			},
		},
	}
}

func (w *World) replicaSet(i int) *appsv1.ReplicaSet {
	replicas, ready := int32(w.size.PodsPerDeployment), int32(w.size.PodsPerDeployment)
	if w.ails(i) {
		ready = 0
	}
	meta := w.meta(i)
	meta.Name = replicaSetName(i)
	meta.Annotations = map[string]string{"deployment.kubernetes.io/revision": "1"}
	meta.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "Deployment", Name: deploymentName(i), UID: "00000000-0000-0000-0000-000000000002", Controller: new(true),
	}}
	return &appsv1.ReplicaSet{
		ObjectMeta: meta,
		Spec:       appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels(i)}, Template: w.template(i)},
		Status:     appsv1.ReplicaSetStatus{ObservedGeneration: 1, Replicas: replicas, ReadyReplicas: ready, AvailableReplicas: ready},
	}
}

func (w *World) service(i int) *corev1.Service {
	port := corev1.ServicePort{Name: "http", Port: 80, TargetPort: intstr.FromString("http"), Protocol: corev1.ProtocolTCP}
	return &corev1.Service{ObjectMeta: w.meta(i), Spec: corev1.ServiceSpec{Selector: labels(i), Ports: []corev1.ServicePort{port}}}
}

func (w *World) endpointSlice(i int) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: w.meta(i), AddressType: discoveryv1.AddressTypeIPv4}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: deploymentName(i)}
	slice.Ports = []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)}}
	for n := range w.size.PodsPerDeployment {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{w.podIP(i*w.size.PodsPerDeployment + n)}, Conditions: discoveryv1.EndpointConditions{Ready: new(!w.ails(i))},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: w.namespaceOf(i), Name: podName(i, n)},
		})
	}
	return slice
}

func podName(deployment, n int) string {
	return fmt.Sprintf("service-%05d-6d8f7c9b5-%05d", deployment, n)
}

// podUID tells pods apart, as an API server does.
func podUID(i int) types.UID {
	return types.UID(fmt.Sprintf("20000000-0000-0000-0000-%012d", i))
}

func (w *World) podIP(n int) string {
	if w.size.Flannel {
		return nodeSubnet(n%w.size.Nodes) + strconv.Itoa(n/w.size.Nodes+2)
	}
	return fmt.Sprintf("10.%d.%d.%d", 64+n/60000, n%60000/250, n%250+1)
}
