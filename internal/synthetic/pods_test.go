package synthetic

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pod is one of a day ago, in which one container runs since then.
func pod(now time.Time, change func(*corev1.Pod, *corev1.ContainerStatus)) *corev1.Pod {
	created := metav1.NewTime(now.Add(-24 * time.Hour))
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "web", CreationTimestamp: created},
		Spec:       corev1.PodSpec{NodeName: "w1"},
		Status: corev1.PodStatus{
			Phase:             corev1.PodRunning,
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: created}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "app", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: created}}}},
		},
	}
	if change != nil {
		change(p, &p.Status.ContainerStatuses[0])
	}
	return p
}

func TestPodsThatRestart(t *testing.T) {
	now := time.Now() //nolint:forbidigo // a moment to count from
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	crashed := &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", FinishedAt: ago(time.Minute)}
	const most = 10
	tests := map[string]struct {
		pod      *corev1.Pod
		backOffs int
		want     string
	}{
		"it never restarted": {pod: pod(now, nil)},
		"it waits to be started for the eleventh time": {pod: pod(now, func(_ *corev1.Pod, c *corev1.ContainerStatus) {
			c.RestartCount, c.State = 11, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 5m0s"}}
			c.LastTerminationState.Terminated = crashed
		}), want: "Found: 11 restarts for pod: web in namespace: shop: container app was restarted 11 times; it last ended at "},
		"it says why it ended": {pod: pod(now, func(_ *corev1.Pod, c *corev1.ContainerStatus) {
			c.RestartCount, c.State = 11, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
			c.LastTerminationState.Terminated = crashed
		}), want: "with exit code 137 (OOMKilled); it waits: CrashLoopBackOff"},
		"few restarts, and many back-offs": {pod: pod(now, func(_ *corev1.Pod, c *corev1.ContainerStatus) {
			c.RestartCount, c.State = 5, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		}), backOffs: 40, want: "Found: 40 `BackOff` events for pod: web in namespace: shop"},
		"an image that cannot be pulled": {pod: pod(now, func(p *corev1.Pod, c *corev1.ContainerStatus) {
			p.Status.Phase = corev1.PodPending
			c.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: `Back-off pulling image "web:2"`}}
		}), backOffs: 11, want: "it waits: ImagePullBackOff (Back-off pulling image"},
		"as many restarts as are allowed": {pod: pod(now, func(_ *corev1.Pod, c *corev1.ContainerStatus) {
			c.RestartCount, c.State = most, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		})},
		"it restarted often, and has run since yesterday": {pod: pod(now, func(_ *corev1.Pod, c *corev1.ContainerStatus) { c.RestartCount = 500 }), backOffs: 40},
		"it runs again since a minute": {pod: pod(now, func(_ *corev1.Pod, c *corev1.ContainerStatus) {
			c.RestartCount, c.State.Running.StartedAt = 11, ago(time.Minute)
		}), want: "Found: 11 restarts"},
		"an init container restarts": {pod: pod(now, func(p *corev1.Pod, _ *corev1.ContainerStatus) {
			p.Status.Phase = corev1.PodPending
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "migrate", RestartCount: 12, State: corev1.ContainerState{Terminated: crashed}}}
		}), want: "container migrate was restarted 12 times"},
		"it is being deleted": {pod: pod(now, func(p *corev1.Pod, c *corev1.ContainerStatus) {
			p.DeletionTimestamp = new(ago(0))
			c.RestartCount, c.State = 11, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		})},
		"it has ended well": {pod: pod(now, func(p *corev1.Pod, c *corev1.ContainerStatus) {
			p.Status.Phase, c.RestartCount = corev1.PodSucceeded, 11
		}), backOffs: 40},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { sentenceHas(t, restarting(tc.pod, tc.backOffs, most, now), tc.want) })
	}
}

func TestPodsThatAreNotWell(t *testing.T) {
	now := time.Now() //nolint:forbidigo // a moment to count from
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	waits := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "because"}}
	}
	unready := func(p *corev1.Pod, since time.Duration) {
		p.Status.Conditions[0] = corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "ContainersNotReady", Message: "containers with unready status: [app]", LastTransitionTime: ago(since)}
	}
	const skip = 10 * time.Minute
	tests := map[string]struct {
		change func(*corev1.Pod, *corev1.ContainerStatus)
		want   string
	}{
		"it runs":    {},
		"it is done": {change: func(p *corev1.Pod, _ *corev1.ContainerStatus) { p.Status.Phase = corev1.PodSucceeded }},
		"it crashes, and its phase is Running all the same": {
			change: func(_ *corev1.Pod, c *corev1.ContainerStatus) { c.State = waits("CrashLoopBackOff") },
			want:   "pod: web in namespace: shop is in pod status phase Running : container app waits: CrashLoopBackOff (because)",
		},
		"it is held by a scheduling gate": {change: func(p *corev1.Pod, _ *corev1.ContainerStatus) {
			p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "queue.example.com/admission"}}
			p.Spec.NodeName, p.Status.Phase, p.Status.ContainerStatuses = "", corev1.PodPending, nil
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "SchedulingGated"}}
		}},
		"it is on no node": {change: func(p *corev1.Pod, _ *corev1.ContainerStatus) {
			p.Status.Phase, p.Status.ContainerStatuses = corev1.PodPending, nil
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available"}}
		}, want: "is in pod status phase Pending : it is on no node: Unschedulable (0/3 nodes are available)"},
		"it is still young": {change: func(p *corev1.Pod, c *corev1.ContainerStatus) {
			p.CreationTimestamp, p.Status.Phase, c.State = ago(time.Minute), corev1.PodPending, waits("ErrImagePull")
		}},
		"its containers have been created for a day": {change: func(p *corev1.Pod, c *corev1.ContainerStatus) {
			p.Status.Phase, c.State = corev1.PodPending, waits("ContainerCreating")
		}, want: "its containers do not run on node w1"},
		"it has not been ready for an hour":  {change: func(p *corev1.Pod, _ *corev1.ContainerStatus) { unready(p, time.Hour) }, want: "it has not been ready since"},
		"it has not been ready for a minute": {change: func(p *corev1.Pod, _ *corev1.ContainerStatus) { unready(p, time.Minute) }},
		"one of its containers is done, so that it is not ready": {change: func(p *corev1.Pod, c *corev1.ContainerStatus) {
			unready(p, time.Hour)
			c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 0}}
		}},
		"it ends for a minute": {change: func(p *corev1.Pod, _ *corev1.ContainerStatus) { p.DeletionTimestamp = new(ago(time.Minute)) }},
		"it ends for an hour":  {change: func(p *corev1.Pod, _ *corev1.ContainerStatus) { p.DeletionTimestamp = new(ago(time.Hour)) }, want: "it should have ended by"},
		"nobody knows": {change: func(p *corev1.Pod, _ *corev1.ContainerStatus) {
			p.Status.Phase, p.Status.Reason = corev1.PodUnknown, "NodeLost"
		}, want: "is in pod status phase Unknown : nobody knows its state: NodeLost"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { sentenceHas(t, unwell(pod(now, tc.change), skip, now), tc.want) })
	}
}

// sentenceHas compares a sentence with a part of it; empty means that there is none.
func sentenceHas(t *testing.T, got, want string) {
	t.Helper()
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("it says\n%q\nwant in it\n%q", got, want)
	}
}
