package snapshot

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func podNamed(namespace, name, node string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.PodSpec{NodeName: node}}
}

func changesOf(objects ...Object) map[types.NamespacedName]Object {
	out := map[types.NamespacedName]Object{}
	for _, o := range objects {
		out[nameOf(o)] = o
	}
	return out
}

func tableNames(t Table) []string {
	out := []string{}
	for _, o := range t.All() {
		pod, _ := o.(*corev1.Pod)
		out = append(out, fmt.Sprintf("%s/%s on %s", pod.Namespace, pod.Name, pod.Spec.NodeName))
	}
	return out
}

func TestATableTakesChanges(t *testing.T) {
	first := Table{}.With(changesOf(podNamed("b", "1", "w1"), podNamed("a", "2", "w1"), podNamed("a", "1", "w2")))
	tests := map[string]struct {
		changes map[types.NamespacedName]Object
		want    []string
	}{
		"nothing changes":           {nil, []string{"a/1 on w2", "a/2 on w1", "b/1 on w1"}},
		"one changes":               {changesOf(podNamed("a", "2", "w9")), []string{"a/1 on w2", "a/2 on w9", "b/1 on w1"}},
		"one goes":                  {map[types.NamespacedName]Object{{Namespace: "a", Name: "1"}: nil}, []string{"a/2 on w1", "b/1 on w1"}},
		"one that never was goes":   {map[types.NamespacedName]Object{{Namespace: "a", Name: "9"}: nil}, []string{"a/1 on w2", "a/2 on w1", "b/1 on w1"}},
		"they come at either end":   {changesOf(podNamed("0", "1", ""), podNamed("z", "1", "")), []string{"0/1 on ", "a/1 on w2", "a/2 on w1", "b/1 on w1", "z/1 on "}},
		"one comes and another has": {changesOf(podNamed("a", "15", ""), podNamed("b", "1", "w3")), []string{"a/1 on w2", "a/15 on ", "a/2 on w1", "b/1 on w3"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			next := first.With(tc.changes)
			if diff := cmp.Diff(tc.want, tableNames(next)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"a/1 on w2", "a/2 on w1", "b/1 on w1"}, tableNames(first)); diff != "" {
				t.Errorf("the table before changed (-want +got):\n%s", diff)
			}
			b := NewBuilder(time.Unix(0, 0), Source{})
			b.SetTable(KindOf[*corev1.Pod](), next, Coverage{State: Complete})
			s := b.Build()
			if got := len(List[*corev1.Pod](s)); got != len(tc.want) {
				t.Errorf("%d pods are listed, want %d", got, len(tc.want))
			}
			for _, o := range next.All() {
				if p, ok := Get[*corev1.Pod](s, o.GetNamespace(), o.GetName()); !ok || p != o {
					t.Errorf("%s/%s is not found", o.GetNamespace(), o.GetName())
				}
			}
		})
	}
}
