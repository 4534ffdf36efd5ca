package watched

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

var moment = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

// counted is a store that counts what it tells.
type counted struct {
	*store

	changes, replacements int
}

func newCounted[T snapshot.Object]() *counted {
	c := &counted{}
	c.store = newStore(snapshot.KindOf[T](), func() { c.changes++ }, func() { c.replacements++ })
	return c
}

func (c *counted) names() []string {
	t, _ := c.read()
	out := []string{}
	for _, o := range t.All() {
		out = append(out, o.GetNamespace()+"/"+o.GetName())
	}
	return out
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, Annotations: map[string]string{"example.com/copy": "of a manifest"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "api", UID: "1"}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "hunter2"}}}}},
	}
}

func TestAStoreFollowsAWatch(t *testing.T) {
	s := newCounted[*corev1.Pod]()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var list []any
	for _, name := range []string{"b", "a"} {
		o, err := s.Transformer()(pod(name))
		check(err)
		list = append(list, o)
	}
	check(s.Replace(list, "1"))
	before, _ := s.read()
	check(s.Add(pod("c")))
	check(s.Delete(pod("a")))
	changed := pod("b")
	changed.Status.Phase = corev1.PodFailed
	check(s.Update(changed))
	if diff := cmp.Diff([]string{"shop/b", "shop/c"}, s.names()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if before.Len() != 2 {
		t.Errorf("what was read before has %d objects now", before.Len())
	}
	if s.changes != 3 || s.replacements != 1 {
		t.Errorf("%d changes and %d replacements were told", s.changes, s.replacements)
	}
	table, _ := s.read()
	for _, o := range table.All() {
		p, _ := o.(*corev1.Pod)
		if len(p.Annotations) > 0 || len(p.Spec.Containers[0].Env) > 0 {
			t.Errorf("%s was not trimmed: %+v", p.Name, p)
		}
	}
	check(s.Replace(nil, "2"))
	if got := s.names(); len(got) > 0 {
		t.Errorf("after all is gone there is %v", got)
	}
}

func event(n int, about string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("%s.%06d", about, n)},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: about},
		Type:           corev1.EventTypeWarning, LastTimestamp: metav1.NewTime(moment.Add(time.Duration(n) * time.Second)),
	}
}

func TestOfTheEventsAboutOneObjectTheNewestAreHeld(t *testing.T) {
	s := newCounted[*corev1.Event]()
	for n := range 3 * eventsPerObject {
		if err := s.Add(event(n, "a")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add(event(0, "b")); err != nil {
		t.Fatal(err)
	}
	names := s.names()
	if len(names) != eventsPerObject+1 || names[0] != fmt.Sprintf("shop/a.%06d", 2*eventsPerObject) || names[eventsPerObject] != "shop/b.000000" {
		t.Errorf("%d are held, from %s to %s", len(names), names[0], names[len(names)-1])
	}
	var list []any
	for n := range 3 * eventsPerObject {
		list = append(list, event(n, "c"))
	}
	if err := s.Replace(list, "2"); err != nil {
		t.Fatal(err)
	}
	if names := s.names(); len(names) != eventsPerObject || names[0] != fmt.Sprintf("shop/c.%06d", 2*eventsPerObject) {
		t.Errorf("after a list %d are held, the first %s", len(names), names[0])
	}
}

func TestOfVeryManyEventsTheOldestGoAndItIsSaid(t *testing.T) {
	s := newCounted[*corev1.Event]()
	for n := range eventsInAll + 1 {
		if err := s.Add(event(n, fmt.Sprint("pod-", n))); err != nil {
			t.Fatal(err)
		}
	}
	table, cut := s.read()
	if want := eventsInAll * 4 / 5; table.Len() != want || !cut {
		t.Errorf("%d are held, cut %v; want %d", table.Len(), cut, want)
	}
	for _, o := range table.All() {
		if e, _ := o.(*corev1.Event); snapshot.EventTime(e).Before(moment.Add(eventsInAll / 5 * time.Second)) {
			t.Fatalf("one of %s is held", snapshot.EventTime(e))
		}
	}
}

func TestWhatIsSignificant(t *testing.T) {
	lease := func(holder string, renewed time.Time) *coordinationv1.Lease {
		return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: new(metav1.NewMicroTime(renewed))}}
	}
	node := func(ready corev1.ConditionStatus, version string, heard time.Time) *corev1.Node {
		return &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{ResourceVersion: version},
			Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastHeartbeatTime: metav1.NewTime(heard)}}},
		}
	}
	later := moment.Add(time.Minute)
	tests := map[string]struct {
		old, next snapshot.Object
		want      bool
	}{
		"a Lease is renewed":           {lease("a", moment), lease("a", later), false},
		"a Lease changes hands":        {lease("a", moment), lease("b", later), true},
		"a Lease appears":              {nil, lease("a", moment), true},
		"a node says that it lives":    {node(corev1.ConditionTrue, "1", moment), node(corev1.ConditionTrue, "2", later), false},
		"a node is not ready any more": {node(corev1.ConditionTrue, "1", moment), node(corev1.ConditionFalse, "2", later), true},
		"a warning":                    {nil, event(1, "a"), true},
		"all is normal":                {nil, &corev1.Event{Type: corev1.EventTypeNormal}, false},
		"a pod":                        {pod("a"), pod("a"), true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := significant(tc.old, tc.next); got != tc.want {
				t.Errorf("it is %v, want %v", got, tc.want)
			}
		})
	}
}
