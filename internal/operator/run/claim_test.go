package run

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodsThatNobodyTakesUp(t *testing.T) {
	t.Parallel()
	scheduled := corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at(5 * time.Second))}
	cases := map[string]struct {
		change func(*corev1.Pod)
		since  time.Duration
		want   bool
	}{
		"a pod that was bound": {
			func(pod *corev1.Pod) {
				bound(pod)
				pod.Status.Conditions = []corev1.PodCondition{scheduled}
			},
			5 * time.Second, true,
		},
		"a pod that was made with its node": {bound, 0, true},
		"a pod without a node":              {pends(), 0, false},
		"a pod that a kubelet knows":        {waits("ContainerCreating"), 0, false},
		"a pod that runs":                   {nil, 0, false},
		"a pod that a kubelet did not want": {func(pod *corev1.Pod) { pod.Status = corev1.PodStatus{Phase: corev1.PodFailed} }, 0, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			since, got := unclaimed(testPod("run", 0, tc.change).Pod)
			if got != tc.want || got && !since.Equal(at(tc.since)) {
				t.Errorf("%t since %s, want %t since %s", got, since, tc.want, at(tc.since))
			}
		})
	}
}

func TestAddressesInOneForm(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "::ffff:10.0.0.1": "10.0.0.1", "fd00::0e23:1": "fd00::e23:1", "FD00::1": "fd00::1", "none": "none",
	} {
		if got := canonical(ip); got != want {
			t.Errorf("%s is %s, want %s", ip, got, want)
		}
	}
}
