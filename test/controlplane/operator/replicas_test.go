package operator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

func coordination(s *runtime.Scheme) error { return coordinationv1.AddToScheme(s) }

const checkerPod = `{"containers":[{"name":"main","image":"example.invalid/checker:1"}]}`

func newCheck(namespace, name, interval, timeout string) *khv1.KuberhealthyCheck {
	return &khv1.KuberhealthyCheck{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       khv1.CheckSpec{RunInterval: interval, Timeout: timeout, PodSpec: runtime.RawExtension{Raw: []byte(checkerPod)}},
	}
}

// begun gives the id of the run that goes on of each check.
func begun(t *testing.T, c client.Client, namespace string) map[string]string {
	t.Helper()
	var states khv1.KuberhealthyStateList
	if err := c.List(t.Context(), &states, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, s := range states.Items {
		if s.Spec.CurrentUUID != "" {
			all[s.Name] = s.Spec.CurrentUUID
		}
	}
	return all
}

// TestReplicasShareChecks kills one of two replicas that share 40 checks.
func TestReplicasShareChecks(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	a, b := start(t, admin, namespace, "a"), start(t, admin, namespace, "b")
	for _, r := range []*replica{a, b} {
		waitFor(t, "both replicas see each other", 30*time.Second, func() bool {
			return r.op.Standing().Able && r.op.Standing().Master == "a" && strings.Contains(r.log.String(), "members=\"[a b]\"")
		})
	}
	const checks = 40
	for i := range checks {
		if err := c.Create(t.Context(), newCheck(namespace, fmt.Sprintf("check-%02d", i), "10m", "5m")); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "every check has a run", time.Minute, func() bool { return len(begun(t, c, namespace)) == checks })
	all := begun(t, c, namespace)
	waitFor(t, "each run has one pod", time.Minute, func() bool { return len(pods(t, c, namespace)) >= checks })
	if n := len(pods(t, c, namespace)); n != checks {
		t.Errorf("there are %d pods for %d runs", n, checks)
	}
	if n, m := a.made.Load(), b.made.Load(); n < checks/5 || m < checks/5 || n+m != checks {
		t.Errorf("a made %d pods and b %d, want a good part of %d each", n, m, checks)
	}

	a.wire.Cut()
	killed := time.Now()
	// Checks that come now belong to whoever lives: all of them are begun by b.
	const more = 20
	for i := range more {
		if err := c.Create(t.Context(), newCheck(namespace, fmt.Sprintf("late-%02d", i), "10m", "5m")); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the checks of the killed replica are the other's", 15*time.Second, func() bool { return b.op.Standing().Master == "b" })
	t.Logf("a lost replica's checks were another's after %v", time.Since(killed))
	// What is overdue then begins spread over the time that it is overdue.
	waitFor(t, "the checks of the killed replica are run", 20*time.Second, func() bool { return len(begun(t, c, namespace)) == checks+more })
	t.Logf("all of them were begun after %v", time.Since(killed))
	for name, was := range all {
		if now := begun(t, c, namespace)[name]; now != was {
			t.Errorf("the run of %s was doubled when its owner was lost", name)
		}
	}
	waitFor(t, "the killed replica knows that it owns nothing", 10*time.Second, func() bool { return !a.op.Standing().Able })
	if a.get(t, "/healthz") != 200 || a.get(t, "/readyz") != 200 {
		t.Error("a replica without an API server is not alive and ready: a restart would mend nothing")
	}
}

func pods(t *testing.T, c client.Client, namespace string) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := c.List(t.Context(), &list, client.InNamespace(namespace), client.HasLabels{v1alpha1.LabelRunOf}); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// TestStopGivesChecksAway stops a replica as a kubelet does, while runs go on.
func TestStopGivesChecksAway(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	a, b := start(t, admin, namespace, "a"), start(t, admin, namespace, "b")
	waitFor(t, "both replicas see each other", 30*time.Second, func() bool {
		return a.op.Standing().Able && b.op.Standing().Able && strings.Contains(b.log.String(), "members=\"[a b]\"")
	})
	for i := range 8 {
		if err := c.Create(t.Context(), newCheck(namespace, fmt.Sprintf("check-%d", i), "10m", "5m")); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "every run has a pod", time.Minute, func() bool { return len(pods(t, c, namespace)) == 8 })
	before := begun(t, c, namespace)
	a.stop()
	stopped := time.Now()
	<-a.ended
	if took := time.Since(stopped); a.err != nil || took > 10*time.Second {
		t.Errorf("the replica stopped after %v: %v", took, a.err)
	}
	waitFor(t, "the other is alone", 3*time.Second, func() bool { return b.op.Standing().Master == "b" })
	var leases coordinationv1.LeaseList
	if err := c.List(t.Context(), &leases, client.InNamespace(namespace), client.HasLabels{"maek.dev/ring"}); err != nil {
		t.Fatal(err)
	}
	if len(leases.Items) != 1 || leases.Items[0].Name != "b" {
		t.Errorf("Leases left = %v, want that of b alone", leases.Items)
	}
	for name, was := range before {
		if now := begun(t, c, namespace)[name]; now != was {
			t.Errorf("the run of %s was doubled when its owner stopped", name)
		}
	}
	if slices.ContainsFunc(pods(t, c, namespace), func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }) {
		t.Error("a pod of a run that goes on was deleted")
	}
}
