package run

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// began is when the recorded run of the tests began; now is told by its distance from that.
var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return began.Add(d) }

// The checks of the tests run every minute and may take 20 s.
func testCheck(kind string) kuberhealthy.Check {
	check := kuberhealthy.Check{
		API: kuberhealthy.V2, Kind: kind, UID: "check", CreatedAt: at(-time.Hour), Interval: time.Minute, Timeout: 20 * time.Second,
		NamespacedName: types.NamespacedName{Namespace: "ns", Name: "check"},
	}
	switch kind {
	case kuberhealthy.KindHealthCheck:
		check.API = kuberhealthy.V3
	case kuberhealthy.KindJob:
		check.Once, check.Interval = true, 0
	}
	return check
}

func started() kuberhealthy.State {
	return kuberhealthy.State{Run: kuberhealthy.Run{ID: "run", Started: began}, Running: true}
}

func finished(after time.Duration) kuberhealthy.State {
	return kuberhealthy.State{Run: kuberhealthy.Run{ID: "run", Started: began}, Ended: true, EndedAt: at(after), OK: true}
}

func testPod(run string, created time.Duration, change func(*corev1.Pod)) podView {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "pod-" + run, UID: types.UID(run), CreationTimestamp: metav1.NewTime(at(created))},
		Spec:       corev1.PodSpec{NodeName: "worker-1", RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "main"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, StartTime: new(metav1.NewTime(at(created)))},
	}
	if change != nil {
		change(pod)
	}
	return podView{Pod: pod, run: run}
}

// exits is a pod whose container ended some time after the start, and may have said something last.
func exits(code int32, reason string, after time.Duration, said ...string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodSucceeded
		if code != 0 {
			pod.Status.Phase = corev1.PodFailed
		}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, FinishedAt: metav1.NewTime(at(after)), Message: strings.Join(said, "\n")},
		}}}
	}
}

func waits(reason string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodPending
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Image: "none", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: reason},
		}}}
	}
}

// bound is a pod that has a node whose kubelet knows nothing of it.
func bound(pod *corev1.Pod) { pod.Status = corev1.PodStatus{Phase: corev1.PodPending} }

func leaving(p podView, until time.Duration) podView {
	p.leaving = at(until)
	return p
}
