package run

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// TestNothingIsRememberedOfChecksThatAreGone makes and deletes checks in a loop, with their pods going
// before and after them.
func TestNothingIsRememberedOfChecksThatAreGone(t *testing.T) {
	t.Parallel()
	m := newMemory()
	for i := range 100 {
		uid := types.UID(string(rune('a' + i)))
		check := &khv1.KuberhealthyCheck{ObjectMeta: metav1.ObjectMeta{UID: uid, Namespace: "ns", Name: "check-" + string(uid), ResourceVersion: "1"}}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			UID: "pod-" + uid, Labels: map[string]string{v1alpha1.LabelRunOf: string(uid), khv1.LabelRunID: "run"},
		}}
		m.note(uid, func(n *note) { n.run = "run" })
		m.wrote(check, began)
		m.made(pod, began)
		m.removed(pod, at(time.Minute))
		if i%2 == 0 {
			m.departed(pod, began)
			if _, ok := m.lost(uid, "run"); !ok {
				t.Fatal("it is forgotten how the pod of a check went that is still there")
			}
			m.vanished(check)
			continue
		}
		m.vanished(check)
		m.departed(pod, began)
	}
	if n := len(m.notes) + len(m.written) + len(m.runs) + len(m.pods) + len(m.leaving) + len(m.gone); n > 0 {
		t.Errorf("%d things are remembered: %+v", n, m)
	}
}
