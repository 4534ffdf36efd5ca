package snapshot

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// replica is a pod of a ReplicaSet as the API server gives it.
func replica(name, node, token string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, Labels: map[string]string{"app": "front"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "front-1", UID: "1", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{
			NodeName: node,
			Volumes:  []corev1.Volume{{Name: token, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}},
			Containers: []corev1.Container{{
				Name: "app", Image: "front:1", VolumeMounts: []corev1.VolumeMount{{Name: token, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}},
			}},
		},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "app", Image: "front:1", ContainerID: "containerd://" + name}}},
	}
}

func TestPodsOfOneOwnerShareTheirSpec(t *testing.T) {
	s := NewSharer()
	first, second := replica("front-1-a", "w1", "kube-api-access-abcde"), replica("front-1-b", "w2", "kube-api-access-fghij")
	for _, p := range []*corev1.Pod{first, second} {
		Trim(p)
		s.Share(p)
	}
	if &first.Spec.Containers[0] != &second.Spec.Containers[0] {
		t.Error("equal containers are there twice")
	}
	if first.Spec.NodeName != "w1" || second.Spec.NodeName != "w2" || second.Name != "front-1-b" {
		t.Errorf("what is a pod's own was shared: %s on %s, %s on %s", first.Name, first.Spec.NodeName, second.Name, second.Spec.NodeName)
	}
}

func TestSharingChangesNothing(t *testing.T) {
	changes := map[string]func(*corev1.Pod){
		"the same":              func(*corev1.Pod) {},
		"another image":         func(p *corev1.Pod) { p.Spec.Containers[0].Image = "front:2" },
		"another label":         func(p *corev1.Pod) { p.Labels["app"] = "back" },
		"a toleration":          func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Key: "a"}} },
		"an injected container": func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "mesh"}) },
		"another owner":         func(p *corev1.Pod) { p.OwnerReferences[0].UID = "2" },
		"an owner by the same id with another name": func(p *corev1.Pod) { p.OwnerReferences[0].Name = "front-2" },
		"no owner":   func(p *corev1.Pod) { p.OwnerReferences = nil },
		"a hostname": func(p *corev1.Pod) { p.Spec.Hostname = "db-0" },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			s := NewSharer()
			first, second := replica("front-1-a", "w1", "t"), replica("front-1-b", "w2", "t")
			change(second)
			want := second.DeepCopy()
			s.Share(first)
			s.Share(second)
			if diff := cmp.Diff(want, second); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

func TestPartsOfTemplatesAndEndpointsAreShared(t *testing.T) {
	labels := func() map[string]string { return map[string]string{"app": "front"} }
	set := func(name, memory string) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: labels()},
			Spec: appsv1.ReplicaSetSpec{
				Selector: &metav1.LabelSelector{MatchLabels: labels()},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels()},
					Spec: corev1.PodSpec{Containers: []corev1.Container{{
						Name: "app", Env: []corev1.EnvVar{{Name: "A", Value: "1"}},
						Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}},
					}}},
				},
			},
		}
	}
	slice := func(pod string, ready bool) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: new(ready)}, NodeName: new("w1"),
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: pod},
		}}}
	}
	s := NewSharer()
	for _, o := range []Object{set("front-1", "1Gi"), set("front-2", "1Gi"), set("front-3", "2Gi"), slice("a", true), slice("b", false), slice("c", true)} {
		want := o.DeepCopyObject()
		s.Share(o)
		if diff := cmp.Diff(want, o); diff != "" {
			t.Errorf("sharing changed an object (-before +after):\n%s", diff)
		}
	}
	first, second := slice("a", true), slice("b", true)
	s.Share(first)
	s.Share(second)
	if first.Endpoints[0].NodeName != second.Endpoints[0].NodeName || first.Endpoints[0].Conditions.Ready != second.Endpoints[0].Conditions.Ready {
		t.Error("what two endpoints have in common is there twice")
	}
}
