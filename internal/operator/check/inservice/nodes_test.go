package inservice

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

func TestTroubleOf(t *testing.T) {
	node := func(change func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "n"},
			Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
		}
		change(n)
		return n
	}
	ready := func(s corev1.ConditionStatus) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Status.Conditions[0].Status = s }
	}
	taint := func(key string, effect corev1.TaintEffect) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: key, Effect: effect}} }
	}
	cases := map[string]struct {
		change func(*corev1.Node)
		want   string
	}{
		"it is well":                             {func(*corev1.Node) {}, ""},
		"it is cordoned":                         {func(n *corev1.Node) { n.Spec.Unschedulable = true }, brakeCordoned},
		"it is being deleted":                    {func(n *corev1.Node) { n.DeletionTimestamp = new(metav1.NewTime(noon)) }, brakeCordoned},
		"it is not ready":                        {ready(corev1.ConditionFalse), brakeNodeNotReady},
		"nobody knows whether it is ready":       {ready(corev1.ConditionUnknown), brakeNodeNotReady},
		"it has never said that it is ready":     {func(n *corev1.Node) { n.Status.Conditions = nil }, brakeNodeNotReady},
		"the autoscaler deletes it":              {taint("ToBeDeletedByClusterAutoscaler", corev1.TaintEffectNoSchedule), brakeCordoned},
		"Karpenter replaces it":                  {taint("karpenter.sh/disrupted", corev1.TaintEffectNoSchedule), brakeCordoned},
		"it is out of service":                   {taint(corev1.TaintNodeOutOfService, corev1.TaintEffectNoExecute), brakeCordoned},
		"it is somebody's own, for good":         {taint("example.com/team", corev1.TaintEffectNoExecute), ""},
		"it is of the control plane":             {taint("node-role.kubernetes.io/control-plane", corev1.TaintEffectNoSchedule), ""},
		"the taint of a cordon without the rest": {taint(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule), brakeCordoned},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got, ok := troubleOf(node(tc.change)); got.reason != tc.want || ok != (tc.want != "") {
				t.Errorf("got %q (%s), want %q", got.reason, got.message, tc.want)
			}
		})
	}
}

func TestHeldBy(t *testing.T) {
	lease := func(holder *string, renewed time.Duration, seconds int32) coordinationv1.LeaseSpec {
		return coordinationv1.LeaseSpec{HolderIdentity: holder, RenewTime: new(metav1.NewMicroTime(noon.Add(-renewed))), LeaseDurationSeconds: &seconds}
	}
	cases := map[string]struct {
		spec coordinationv1.LeaseSpec
		want string
	}{
		"held":            {lease(new("node-maintenance"), time.Minute, 3600), "node-maintenance"},
		"it has lapsed":   {lease(new("node-maintenance"), time.Hour, 3600), ""},
		"given back":      {lease(nil, time.Minute, 3600), ""},
		"nobody's":        {lease(new(""), time.Minute, 3600), ""},
		"it says nothing": {coordinationv1.LeaseSpec{HolderIdentity: new("node-maintenance")}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := heldBy(&coordinationv1.Lease{Spec: tc.spec}, noon); got != tc.want {
				t.Errorf("held by %q, want %q", got, tc.want)
			}
		})
	}
}

// node changes the node of a pod.
func (w *world) node(pod string, change func(*corev1.Node)) {
	w.t.Helper()
	var n corev1.Node
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Name: "node-" + pod}, &n); err != nil {
		w.t.Fatal(err)
	}
	change(&n)
	w.update(&n)
	change(&n)
	if err := w.api.Status().Update(w.t.Context(), &n); err != nil {
		w.t.Fatal(err)
	}
}

func cordon(n *corev1.Node) { n.Spec.Unschedulable = true }

func notReady(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }

func TestNodesHoldPodsIn(t *testing.T) {
	cases := map[string]struct {
		change func(t *testing.T, w *world)
		want   string
		says   string
	}{
		"its node is cordoned": {
			change: func(_ *testing.T, w *world) { w.node("web-2", cordon) }, want: brakeCordoned, says: "node node-web-2 is cordoned",
		},
		"its node is not ready": {
			change: func(_ *testing.T, w *world) { w.node("web-2", notReady) }, want: brakeNodeNotReady, says: "node node-web-2 is not ready",
		},
		"its node is gone": {
			change: func(t *testing.T, w *world) {
				if err := w.api.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-web-2"}}); err != nil {
					t.Fatal(err)
				}
			},
			want: brakeNodeNotReady, says: "node node-web-2 is gone",
		},
		"its node is maintained": {
			change: func(_ *testing.T, w *world) {
				w.create(&coordinationv1.Lease{
					ObjectMeta: metav1.ObjectMeta{Namespace: "medik8s-leases", Name: "node-node-web-2"},
					Spec:       coordinationv1.LeaseSpec{HolderIdentity: new("node-maintenance"), RenewTime: new(metav1.NewMicroTime(noon)), LeaseDurationSeconds: new(int32(3600))},
				})
			},
			want: brakeCordoned, says: "maintained by node-maintenance",
		},
		"two of the three others are on cordoned nodes": {
			change: func(_ *testing.T, w *world) {
				w.node("web-3", cordon)
				w.node("web-4", cordon)
			},
			want: brakeLastEndpoint, says: "1 of 4 endpoints ready (IPv4), and 2 must stay; those on nodes that are cordoned or not ready do not count: node-web-3, node-web-4",
		},
		"the only one that would stay is on a node that is not ready": {
			change: func(_ *testing.T, w *world) {
				w.check.Spec.TakeOutOfService.MinReadyPercent = 1
				w.update(w.check)
				w.unready["web-1"], w.unready["web-4"] = true, true
				w.node("web-3", notReady)
			},
			want: brakeLastEndpoint, says: "0 of 4 endpoints ready",
		},
		"nodes may not be read": {
			change: func(_ *testing.T, w *world) {
				w.onList = func(list client.ObjectList) error {
					if _, ok := list.(*corev1.NodeList); ok {
						return apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", errors.New("not yours"))
					}
					return nil
				}
			},
			want: brakeUnread, says: "listing node node-web-",
		},
		"the Leases of maintenance may not be read": {
			change: func(_ *testing.T, w *world) {
				w.onList = func(list client.ObjectList) error {
					if _, ok := list.(*coordinationv1.LeaseList); ok {
						return apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "", errors.New("not yours"))
					}
					return nil
				}
			},
			want: brakeUnread, says: "listing Leases of namespace medik8s-leases",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w, r := steady(t)
			tc.change(t, w)
			w.kubelet()
			w.onTake = func(name string) { t.Errorf("pod %s was taken out", name) }
			w.broken["web-2"] = true
			w.pass(35*time.Second, true)
			if len(r.told) != 1 || r.told[0].Action != v1alpha1.ActionWithheld || r.told[0].Reason != tc.want || !strings.Contains(r.told[0].Message, tc.says) {
				t.Errorf("told %+v, want once that it is withheld for %s: %s", r.told, tc.want, tc.says)
			}
			if n := len(r.events.Events); n != 2 {
				t.Errorf("%d Events were written, want one on the pod and one on the check", n)
			}
		})
	}
}

// TestNodesThatMayNotBeReadKeepNobodyOut: who may not read nodes may well patch pods.
func TestNodesThatMayNotBeReadKeepNobodyOut(t *testing.T) {
	w, r := steady(t)
	w.broken["web-2"] = true
	w.pass(35*time.Second, true)
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" {
		t.Fatalf("out (-want +got):\n%s", diff)
	}
	w.onList = func(list client.ObjectList) error {
		if _, ok := list.(*corev1.NodeList); ok {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", errors.New("not yours"))
		}
		return nil
	}
	w.pass(5*time.Minute, true) // the pod of another time
	delete(w.broken, "web-2")
	w.broken["web-3"] = true
	w.pass(35*time.Second, true)
	if outs := w.outs(); len(outs) != 0 {
		t.Errorf("%v are out, and were to be given back", outs)
	}
	if !slices.Contains(r.reasons(v1alpha1.ActionWithheld), brakeUnread) {
		t.Errorf("withheld for %v, want %s", r.reasons(v1alpha1.ActionWithheld), brakeUnread)
	}
}

// TestManyNodesAreReadAtOnce has more nodes behind a Service than are read one by one.
func TestManyNodesAreReadAtOnce(t *testing.T) {
	w := newWorld(t, nodesByName+4)
	r := w.start(true, true)
	w.pass(3*time.Second, false)
	lists := 0
	w.onList = func(list client.ObjectList) error {
		if _, ok := list.(*corev1.NodeList); ok {
			lists++
		}
		return nil
	}
	w.broken["web-2"] = true
	w.pass(35*time.Second, true)
	if diff := cmp.Diff([]string{"web-2"}, w.outs()); diff != "" || lists > 2 {
		t.Fatalf("%d lists of nodes, want one for each examination; out (-want +got):\n%s", lists, diff)
	}
	delete(w.broken, "web-2")
	w.pass(11*time.Second, true)
	r.told = nil
	for i := range nodesByName/2 + 3 {
		w.node(fmt.Sprintf("web-%d", nodesByName+4-i), cordon)
	}
	w.broken["web-3"] = true
	w.pass(3*time.Minute, true)
	if got := r.reasons(v1alpha1.ActionWithheld); !slices.Contains(got, brakeLastEndpoint) || len(w.outs()) != 0 {
		t.Errorf("%v are out, withheld for %v, want %s", w.outs(), got, brakeLastEndpoint)
	}
}
