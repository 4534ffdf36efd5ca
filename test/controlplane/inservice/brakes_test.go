package inservice

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// patch merges something into an object.
func patch(t *testing.T, obj client.Object, data string) {
	t.Helper()
	if err := cluster.Patch(t.Context(), obj, client.RawPatch(types.MergePatchType, []byte(data))); err != nil {
		t.Fatal(err)
	}
}

// cordon is what kubectl does to a node, and uncordon ends it.
func (s *shop) cordon(pod int, is bool) {
	s.t.Helper()
	patch(s.t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.node(pod)}}, fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, is))
}

// TestCordonedNodesHoldPodsIn has the failing pod's node cordoned, then those of the others: none of them is
// taken out before enough nodes are back.
func TestCordonedNodesHoldPodsIn(t *testing.T) {
	s := newShop(t, 4, true)
	k := s.start("maek-operator-0", s.check, true, nil)
	s.until("all pods are opened", s.allOpen)
	s.cordon(2, true)
	s.mark("web-2")
	s.until("web-2 is kept in for its node", func() bool { return withheldFor(k, "NodeCordoned") })
	s.cordon(3, true)
	s.cordon(4, true)
	s.cordon(2, false)
	s.until("web-2 is kept in for the nodes of the others", func() bool { return withheldFor(k, "TooFewEndpoints") })
	if !s.allOpen() {
		t.Fatal("a pod was taken out, and one endpoint of four would have stayed")
	}
	s.cordon(3, false)
	s.until("web-2 is out", s.isOut("web-2"))
}

// TestNodesThatMayNotBeListedHoldPodsIn takes the right to list nodes away while a pod is out: nobody else goes, the
// status says why, and who is out is given back.
func TestNodesThatMayNotBeListedHoldPodsIn(t *testing.T) {
	s := newShop(t, 4, true)
	k := s.start("maek-operator-0", s.check, true, nil)
	s.until("all pods are opened", s.allOpen)
	s.mark("web-2")
	s.until("web-2 is out", s.isOut("web-2"))
	var binding rbacv1.ClusterRoleBinding
	if err := cluster.Get(t.Context(), client.ObjectKey{Name: operatorAccount + "-nodes"}, &binding); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Delete(t.Context(), &binding); err != nil {
		t.Fatal(err)
	}
	s.mark("web-3")
	s.until("web-3 is kept in", func() bool { return withheldFor(k, "NotReadable") })
	s.until("web-2 is back, and web-3 not out", s.allOpen)
	rights(t)
	s.until("web-3 is out", s.isOut("web-3"))
}

// TestPodsOfOneNodeAndOfOneNamespaceGoOutApart has pods that belong to nobody, so that each is a workload of its own:
// two of them share a node.
func TestPodsOfOneNodeAndOfOneNamespaceGoOutApart(t *testing.T) {
	s := newShop(t, 8, true)
	s.policy.Spec.TakeOutOfService.SecondsApart, s.policy.Spec.TakeOutOfService.MaxFailingPercent = 600, 100
	if err := cluster.Update(t.Context(), s.policy); err != nil {
		t.Fatal(err)
	}
	other := s.pods()[1]
	if err := cluster.Delete(t.Context(), &other, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	other.ResourceVersion, other.UID, other.Status = "", "", corev1.PodStatus{}
	other.Spec.NodeName = s.node(1)
	make1(t, &other)
	k := s.start("maek-operator-0", s.check, true, nil)
	s.until("all pods are opened", s.allOpen)
	s.mark("web-1", "web-2")
	s.until("one of the two is out, and the other kept in", func() bool { return k.took() == 1 && withheldFor(k, "TooSoon") })
	first := k.clock.Now()
	s.until("the other is out", func() bool { return k.took() == 2 })
	if apart := k.clock.Since(first); apart < 9*time.Minute {
		t.Errorf("two pods of a node were taken out within %s, want 600 s", apart)
	}
}

// took is how many pods a replica has taken out.
func (k *keeper) took() int {
	n := 0
	for _, c := range k.consequences() {
		if c.Action == v1alpha1.ActionTakenOut {
			n++
		}
	}
	return n
}

// TestPodsGoOutWithinTheHours has a window that was open an hour ago, and then one that is.
func TestPodsGoOutWithinTheHours(t *testing.T) {
	s := newShop(t, 3, true)
	hours := func(start time.Time) {
		s.policy.Spec.TakeOutOfService.Windows = []v1alpha1.MaintenanceWindow{{Start: start.UTC().Format("15:04"), DurationMinutes: 60}}
		if err := cluster.Update(t.Context(), s.policy); err != nil {
			t.Fatal(err)
		}
	}
	k := s.start("maek-operator-0", s.check, true, nil)
	hours(k.clock.Now().Add(-2 * time.Hour))
	s.until("all pods are opened", s.allOpen)
	s.mark("web-2")
	s.until("web-2 is kept in", func() bool { return withheldFor(k, "OutsideHours") })
	hours(k.clock.Now().Add(-time.Minute))
	s.until("web-2 is out", s.isOut("web-2"))
	hours(k.clock.Now().Add(-2 * time.Hour))
	s.mark()
	if took := s.until("web-2 is back", s.allOpen); took > 20*time.Second {
		t.Errorf("it was back %s after it had recovered, want two periods at most", took)
	}
}
