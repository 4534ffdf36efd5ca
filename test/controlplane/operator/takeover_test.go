package operator

import (
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	maek "github.com/maek-dev/maek/internal/operator"
)

// TestBesideKuberhealthy starts a replica beside a pod of Kuberhealthy, then one that adopts its checks.
func TestBesideKuberhealthy(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	other := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kuberhealthy-0", Labels: map[string]string{"app": "kuberhealthy"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "docker.io/kuberhealthy/kuberhealthy:v2.8.0-rc2"}}},
	}
	if err := c.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	defer func() {
		// Other tests of this API server would wait beside it.
		if err := c.Delete(t.Context(), other, client.GracePeriodSeconds(0)); err != nil {
			t.Error(err)
		}
	}()
	other.Status.Phase = corev1.PodRunning
	if err := c.Status().Update(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	create(t, c, newCheck(namespace, "check", "10m", "5m"))
	r := start(t, admin, namespace, "a")
	waitFor(t, "the replica says that it holds back", 30*time.Second, func() bool {
		notes := r.op.Standing().Notes
		return r.op.Standing().Able && len(notes) == 1 && strings.Contains(notes[0], "pod "+namespace+"/kuberhealthy-0")
	})
	if r.get(t, "/readyz") != 200 {
		t.Error("a replica that holds back is not ready")
	}
	var events corev1.EventList
	waitFor(t, "its pod has an Event", 30*time.Second, func() bool {
		return c.List(t.Context(), &events, client.InNamespace(namespace)) == nil &&
			slices.ContainsFunc(events.Items, func(e corev1.Event) bool { return e.Reason == "ChecksHeldBack" && e.InvolvedObject.Name == "a" })
	})
	if all := begun(t, c, namespace); len(all) > 0 {
		t.Errorf("runs were begun beside a living Kuberhealthy: %v", all)
	}
	adopting := start(t, admin, namespace, "b", func(o *maek.Options) { o.Adopt = true })
	r.stop()
	waitFor(t, "who adopts the checks runs them", 30*time.Second, func() bool { return begun(t, c, namespace)["check"] != "" })
	if notes := adopting.op.Standing().Notes; len(notes) > 0 {
		t.Errorf("notes of who adopts = %q, want none", notes)
	}
}

// TestLeaseOfAKuberhealthyThatIsGone starts a replica where version 3 left its Lease behind.
func TestLeaseOfAKuberhealthyThatIsGone(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	old := metav1.NewMicroTime(time.Now().Add(-time.Hour))
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kuberhealthy-controller"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: new("kuberhealthy-0"), LeaseDurationSeconds: new(int32(3)), RenewTime: &old},
	}
	if err := c.Create(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Delete(t.Context(), lease); err != nil {
			t.Error(err)
		}
	}()
	create(t, c, newCheck(namespace, "check", "10m", "5m"))
	start(t, admin, namespace, "a")
	waitFor(t, "the checks are run once the Lease is known to be nobody's", 30*time.Second, func() bool { return begun(t, c, namespace)["check"] != "" })
}
