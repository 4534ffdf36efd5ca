package agents

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

func node(name, key string, ready corev1.ConditionStatus) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}},
		Addresses:  []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: "10.99.0.21"}},
	}}
	if key != "" {
		n.Annotations = map[string]string{monitor.KeyAnnotation: key}
	}
	return n
}

func pod(on string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "maek-system", Name: "agent-" + on, Labels: map[string]string{nameLabel: "maek", componentLabel: "agent"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "DaemonSet", Name: "maek-agent", Controller: new(true)}},
		},
		Spec:   corev1.PodSpec{NodeName: on, HostNetwork: true},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	if change != nil {
		change(p)
	}
	return p
}

func TestLook(t *testing.T) {
	b := snapshot.NewBuilder(moment, snapshot.Source{})
	b.Add(node("cp1", "sha256:a", corev1.ConditionUnknown))
	b.Add(node("w1", "sha256:b", corev1.ConditionTrue))
	b.Add(node("w2", "", corev1.ConditionTrue))
	b.Add(node("w3", "sha256:d", corev1.ConditionTrue))
	b.Add(node("w4", "sha256:e", corev1.ConditionTrue))
	b.Add(pod("cp1", nil))
	b.Add(pod("w1", nil))
	b.Add(pod("w2", nil))
	b.Add(pod("w3", func(p *corev1.Pod) { p.Spec.HostNetwork = false }))
	got := look(b.Build())
	want := seen{
		agents: []Agent{
			{Node: "w1", Key: "sha256:b", Addresses: []string{"10.99.0.21"}, namespace: "maek-system", pod: "agent-w1", ready: true},
			{Node: "cp1", Key: "sha256:a", Addresses: []string{"10.99.0.21"}, namespace: "maek-system", pod: "agent-cp1"},
		},
		silent: map[string]string{
			"w2": "its agent has not published its key yet (annotation maek.dev/agent-key of the Node)",
			"w3": "no agent runs there", "w4": "no agent runs there",
		},
		nodes: []string{"cp1", "w1", "w2", "w3", "w4"}, pods: true,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(seen{}, Agent{})); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
}
