package target_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/target"
)

// TestTrimmedObjectsAnswerAlike resolves every good case from objects that the cache keeps.
func TestTrimmedObjectsAnswerAlike(t *testing.T) {
	whole, trimmed := newWorld(t, shop), trim(t, newWorld(t, shop))
	for _, spec := range []string{
		`{httpGet: {port: web}, target: {service: {name: cart}}}`,
		`{httpGet: {port: web}, target: {service: {name: cart, mode: Each}}}`,
		`{tcpSocket: {port: http}, target: {pods: {selector: {matchLabels: {app: cart}}}}}`,
		`{tcpSocket: {port: 80, host: 192.168.0.11}}`,
	} {
		want, wantErr := whole.Resolve(t.Context(), newCheck(t, spec), 0)
		got, err := trimmed.Resolve(t.Context(), newCheck(t, spec), 0)
		if diff := cmp.Diff(asked(want), asked(got)); diff != "" || refusal(err) != refusal(wantErr) {
			t.Errorf("%s: %s, without trimming %s\n%s", spec, refusal(err), refusal(wantErr), diff)
		}
	}
}

// trim makes of every object what the cache keeps of it.
func trim(t *testing.T, w *world) *world {
	t.Helper()
	for object, by := range target.ByObject() {
		kinds, _, err := w.Scheme().ObjectKinds(object)
		if err != nil {
			t.Fatal(err)
		}
		made, err := w.Scheme().New(kinds[0].GroupVersion().WithKind(kinds[0].Kind + "List"))
		if err != nil {
			t.Fatal(err)
		}
		list, ok := made.(client.ObjectList)
		if !ok {
			t.Fatalf("%T is no list", made)
		}
		if err := w.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		all, err := meta.ExtractList(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			kept, err := by.Transform(o)
			if err != nil {
				t.Fatal(err)
			}
			object, ok := kept.(client.Object)
			if !ok {
				t.Fatalf("%T is no object", kept)
			}
			if err := w.Update(t.Context(), object); err != nil {
				t.Fatalf("%T: %v", o, err)
			}
		}
	}
	return w
}

func TestWhatIsKeptOfAPod(t *testing.T) {
	owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "cart-1", UID: "r", Controller: new(true)}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "cart-a", UID: "a", ResourceVersion: "7", Labels: map[string]string{"app": "cart"},
			Annotations:       map[string]string{"long": "text"},
			ManagedFields:     []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
			DeletionTimestamp: &metav1.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
			CreationTimestamp: metav1.Time{Time: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)},
			OwnerReferences:   []metav1.OwnerReference{owner, {Name: "other"}},
		},
		Spec: corev1.PodSpec{
			NodeName: "worker", HostNetwork: true, Volumes: []corev1.Volume{{Name: "v"}},
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}},
			Containers:     []corev1.Container{{Name: "web", Image: "i", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}, Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "secret"}}}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.5", PodIPs: []corev1.PodIP{{IP: "10.0.0.5"}},
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodReady, Status: "True"}, {Type: corev1.PodScheduled}, {Type: v1alpha1.ReadinessGateInService, Status: "False"}, {Type: corev1.ContainersReady, Status: "True"},
			},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "web"}},
		},
	}
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "cart-a", UID: "a", ResourceVersion: "7", Labels: map[string]string{"app": "cart"},
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp, OwnerReferences: []metav1.OwnerReference{owner},
		},
		Spec: corev1.PodSpec{
			NodeName: "worker", HostNetwork: true,
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}},
			Containers:     []corev1.Container{{Name: "web", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.5",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: "True"}, {Type: v1alpha1.ReadinessGateInService, Status: "False"}, {Type: corev1.ContainersReady, Status: "True"}},
		},
	}
	for object, by := range target.ByObject() {
		if _, isPod := object.(*corev1.Pod); !isPod {
			continue
		}
		got, err := by.Transform(pod)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("kept (-want +got): %v\n%s", err, diff)
		}
		gone := cache.DeletedFinalStateUnknown{Key: "shop/cart-a"}
		if got, err := by.Transform(gone); err != nil || got != gone {
			t.Errorf("a tombstone became %v: %v", got, err)
		}
	}
}

func TestTheSwitchOfANamespaceIsKept(t *testing.T) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "shop", Annotations: map[string]string{"maek.dev/in-service": "paused", "long": "text"},
	}}
	want := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: map[string]string{"maek.dev/in-service": "paused"}}}
	for object, by := range target.ByObject() {
		if _, isNamespace := object.(*corev1.Namespace); !isNamespace {
			continue
		}
		got, err := by.Transform(namespace)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("kept (-want +got): %v\n%s", err, diff)
		}
	}
}

func TestEveryKindIsKept(t *testing.T) {
	if kinds, kept := len(target.Kinds()), len(target.ByObject()); kinds != kept {
		t.Errorf("%d kinds, and %d are kept", kinds, kept)
	}
	for _, kind := range target.Kinds() {
		if kind.Kind == "Secret" || kind.Kind == "ConfigMap" {
			t.Errorf("%s are watched", kind.Resource)
		}
	}
}

func TestPodsOfAWorkloadShareWhatIsEqual(t *testing.T) {
	transform := func(any) (any, error) { return nil, nil }
	for object, by := range target.ByObject() {
		if _, isPod := object.(*corev1.Pod); isPod {
			transform = by.Transform
		}
	}
	trim := func(name, app string, port int32) *corev1.Pod {
		t.Helper()
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": app}}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "web", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: port}}}},
		}}
		kept, err := transform(pod)
		if err != nil {
			t.Fatal(err)
		}
		trimmed, ok := kept.(*corev1.Pod)
		if !ok {
			t.Fatalf("%T", kept)
		}
		return trimmed
	}
	a, b, other := trim("a", "cart", 80), trim("b", "cart", 80), trim("c", "cart", 81)
	if &a.Spec.Containers[0] != &b.Spec.Containers[0] {
		t.Error("two pods of one kind have containers of their own")
	}
	if other.Spec.Containers[0].Ports[0].ContainerPort != 81 || other.Labels["app"] != "cart" {
		t.Errorf("another pod was given what is not its own: %+v", other)
	}
}
