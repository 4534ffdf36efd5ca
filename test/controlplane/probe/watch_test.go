package probe

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// TestWatch plays what a kubelet and the endpoints controller write while a web server loses its file, and while a
// liveness probe fails, and holds that each step is told, in order.
func TestWatch(t *testing.T) {
	(&kubelet{}).start(t, "w2")
	namespace(t, "shop")
	server := func() corev1.Container {
		c := readiness("web", get("/", 8080))
		c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"cat", "/tmp/healthy"}}}}
		return c
	}
	first, second := pod(t, "shop", "web", "w2", nil, server()), pod(t, "shop", "web-b", "w2", nil, server())
	second.Labels["app"] = "web"
	update(t, second)
	rc := &corev1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: corev1.ReplicationControllerSpec{
			Selector: map[string]string{"app": "web"},
			Template: &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: first.Spec},
		},
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{endpoint(first, "10.244.1.7"), endpoint(second, "10.244.1.8")},
	}
	for _, o := range []client.Object{rc, service, slice} {
		if err := cluster.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errOut output
	code := make(chan exit.Code, 1)
	go func() {
		code <- maek(ctx, &out, &errOut, "probe", "rc/web", "-n", "shop", "--watch", "--no-ask", "--kubeconfig", apiserver.Kubeconfig(t, environment, "watcher", "system:masters"))
	}()
	lines := 0
	step := func(want string, does func()) {
		t.Helper()
		does()
		eventually(t, want+", after:\n"+out.String()+errOut.String(), func() bool {
			rest := strings.Split(out.String(), "\n")[lines:]
			for i, line := range rest {
				if strings.Contains(line, want) {
					lines += i + 1
					return true
				}
			}
			return false
		})
	}
	step("Pod shop/web", func() {})
	// The first lists are what the rest is held against: an object that is new after them is told.
	marker := 0
	eventually(t, "all kinds are watched", func() bool {
		marker++
		write(t, first, "web", "Readiness probe warning: marker", "ProbeWarning", marker)
		flip(t, slice, 1, marker%2 == 0)
		return strings.Contains(out.String(), "marker") && strings.Contains(out.String(), "web-b: out of Service web")
	})
	flip(t, slice, 1, true)

	unhealthy := func(n int) func() {
		return func() {
			write(t, first, "web", "Readiness probe failed: HTTP probe failed with statuscode: 500", "Unhealthy", n)
		}
	}
	step("readiness probe of web failed 1/3", unhealthy(1))
	step("readiness probe of web failed 2/3", unhealthy(2))
	step("readiness probe of web failed 3/3", unhealthy(3))
	step("web: the pod is not Ready", func() { setReady(t, first, false) })
	step("web: out of Service web; ready endpoints left: 1", func() { flip(t, slice, 0, false) })
	step("web: the pod is Ready", func() { setReady(t, first, true) })
	step("web: back in Service web", func() { flip(t, slice, 0, true) })
	step("container web is killed: its liveness probe failed", func() {
		write(t, first, "web", "Container web failed liveness probe, will be restarted", "Killing", 1)
	})
	step("container web was restarted (restart 1)", func() {
		first.Status.ContainerStatuses[0].RestartCount = 1
		first.Status.ContainerStatuses[0].ContainerID = "containerd://next"
		updateStatus(t, first)
	})
	cancel()
	select {
	case got := <-code:
		if got != exit.Incidents {
			t.Errorf("exit code %d of a pod that was just killed", got)
		}
	case <-time.After(soon):
		t.Fatal("it does not end")
	}
}

func endpoint(p *corev1.Pod, address string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{
		Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
	}
}

func update(t *testing.T, o client.Object) {
	t.Helper()
	if err := cluster.Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func updateStatus(t *testing.T, o client.Object) {
	t.Helper()
	if err := cluster.Status().Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func setReady(t *testing.T, p *corev1.Pod, ready bool) {
	t.Helper()
	p.Status.ContainerStatuses[0].Ready = ready
	p.Status.Conditions[0].Status = corev1.ConditionFalse
	if ready {
		p.Status.Conditions[0].Status = corev1.ConditionTrue
	}
	updateStatus(t, p)
}

func flip(t *testing.T, slice *discoveryv1.EndpointSlice, i int, ready bool) {
	t.Helper()
	slice.Endpoints[i].Conditions.Ready = new(ready)
	update(t, slice)
}

// write writes an event as kubelets do: one object for all of the same words, with a count.
func write(t *testing.T, p *corev1.Pod, container, message, reason string, count int) {
	t.Helper()
	e := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name + "." + strings.ToLower(reason)},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID, FieldPath: "spec.containers{" + container + "}"},
		Reason:         reason, Message: message, Type: corev1.EventTypeWarning, Count: int32(count),
		FirstTimestamp: metav1.Now(), LastTimestamp: metav1.Now(),
	}
	if count == 1 {
		if err := cluster.Create(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		return
	}
	old := &corev1.Event{}
	if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(e), old); err != nil {
		t.Fatal(err)
	}
	e.ResourceVersion, e.FirstTimestamp = old.ResourceVersion, old.FirstTimestamp
	update(t, e)
}
