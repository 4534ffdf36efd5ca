package stage

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestWhyNot(t *testing.T) {
	at := func(minute int) metav1.Time { return metav1.NewTime(time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)) }
	event := func(name, kind, reason, message string, minute int) *corev1.Event {
		return &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "here", Name: name}, InvolvedObject: corev1.ObjectReference{UID: "u"},
			Type: kind, Reason: reason, Message: message, FirstTimestamp: at(minute), LastTimestamp: at(minute), Count: 1,
		}
	}
	waiting := func(reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	exited := func(code int32, reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}}
	}
	tests := map[string]struct {
		node   string
		status corev1.PodStatus
		events []client.Object
		want   string
	}{
		"a pod that is ready": {
			node: "n1", status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		},
		"no node fits": {
			status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available: 3 Insufficient cpu."}}},
			want:   "has no node: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu",
		},
		"no scheduler runs": {want: "has no node, and no scheduler has said a word about it"},
		"the kubelet does not run": {
			node: "n1", status: corev1.PodStatus{Phase: corev1.PodPending}, want: "has not been taken up by the kubelet of node n1",
		},
		"the newest warning says what containers wait for": {
			node: "n1", status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "c", State: waiting("ContainerCreating", "")}}},
			events: []client.Object{
				event("a", corev1.EventTypeWarning, "FailedMount", "old", 1),
				event("b", corev1.EventTypeWarning, "FailedCreatePodSandBox", "plugin type=\"cni\"\n failed", 2),
				event("c", corev1.EventTypeNormal, "Pulling", "an image", 3),
			},
			want: `is not ready: FailedCreatePodSandBox: plugin type="cni" failed`,
		},
		"a container that crashes tells of its last end": {
			node: "n1", status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
				{Name: "c", State: waiting("CrashLoopBackOff", "back-off 10s"), LastTerminationState: exited(137, "OOMKilled")},
			}},
			want: "waits with container c: CrashLoopBackOff: back-off 10s; before that, container c ended with code 137 (OOMKilled)",
		},
		"an init container comes first": {
			node: "n1", status: corev1.PodStatus{
				Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{{Name: "i", State: waiting("ErrImagePull", "denied")}},
				ContainerStatuses: []corev1.ContainerStatus{{Name: "c", State: waiting("PodInitializing", "")}},
			},
			want: "waits with container i: ErrImagePull: denied",
		},
		"an evicted pod": {
			node: "n1", status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on resource: memory."},
			want: "has failed: Evicted: The node was low on resource: memory",
		},
		"a pod that ended badly": {
			node: "n1", status: corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{{Name: "c", State: exited(2, "Error")}}},
			want: "has failed: container c ended with code 2",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := corev1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(tc.events...).WithIndex(&corev1.Event{}, EventUID, func(o client.Object) []string {
				e, _ := o.(*corev1.Event)
				return []string{string(e.InvolvedObject.UID)}
			}).Build()
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "here", Name: "p", UID: "u"}, Spec: corev1.PodSpec{NodeName: tc.node}, Status: tc.status}
			if got := WhyNot(t.Context(), c, p); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}
