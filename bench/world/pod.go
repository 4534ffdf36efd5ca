package world

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// podSpec is a pod as teams write them: a container with environment, probes, resources and
// volumes, and a sidecar.
func (w *World) podSpec(deployment int) corev1.PodSpec {
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")}}, PeriodSeconds: 10}
	resources := corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
	}
	app := corev1.Container{
		Name: "app", Image: w.image(deployment),
		Ports:     []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		Resources: resources, LivenessProbe: probe, ReadinessProbe: probe,
		VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/app"}},
	}
	for n := range 12 {
		app.Env = append(app.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", n), Value: fmt.Sprintf("a value of ordinary length, number %d", n)})
	}
	return corev1.PodSpec{
		Containers: []corev1.Container{app, {Name: "sidecar", Image: "registry.example/mesh/proxy:2.3.1", Resources: resources, ReadinessProbe: probe}},
		Volumes:    []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
	}
}

func (w *World) pod(i int) *corev1.Pod {
	deployment, n := i/w.size.PodsPerDeployment, i%w.size.PodsPerDeployment
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.namespaceOf(deployment), Name: podName(deployment, n), UID: podUID(i), Labels: labels(deployment), CreationTimestamp: w.began,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: replicaSetName(deployment), UID: replicaSetUID(deployment), Controller: new(true),
			}},
		},
		Spec: w.podSpec(deployment),
	}
	pod.Spec.NodeName = nodeName(i % w.size.Nodes)
	condition := func(t corev1.PodConditionType) corev1.PodCondition {
		return corev1.PodCondition{Type: t, Status: corev1.ConditionTrue, LastTransitionTime: w.began}
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: w.podIP(i), PodIPs: []corev1.PodIP{{IP: w.podIP(i)}}, StartTime: &w.began, QOSClass: corev1.PodQOSBurstable,
		Conditions: []corev1.PodCondition{
			condition(corev1.PodScheduled), condition(corev1.PodInitialized), condition(corev1.ContainersReady), condition(corev1.PodReady),
		},
	}
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: c.Image + "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			ContainerID: "containerd://0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			Ready:       true, Started: new(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: w.began}},
		})
	}
	if w.ails(deployment) {
		w.ail(pod, deployment)
	}
	return pod
}
