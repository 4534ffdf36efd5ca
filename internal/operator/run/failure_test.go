package run

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

// why is a pod as the cluster leaves one that brings no report, and what is to be said of it.
type why struct {
	change func(*corev1.Pod)
	// gone tells that the pod is not there any more.
	gone bool
	want checkerpod.Reason
	// message that is to be in what is said.
	message string
	// hopeless, over and container as in failure.
	hopeless, over bool
	container      string
}

func reasons() map[string]why {
	return map[string]why{
		"a checker at work": {
			change: runs(0, nil), want: checkerpod.Deadline, message: "was still at work on node worker-1", container: "main",
		},
		"containers that are being made": {
			change: waits("ContainerCreating"), want: checkerpod.NotStarted, message: "had not started on node worker-1",
		},
		"an exit without an error": {
			change: exits(0, "Completed", time.Second), want: checkerpod.NoReport, message: "ended well, exit without report", over: true, container: "main",
		},
		"a crash": {
			change: exits(2, "Error", time.Second), want: checkerpod.Crashed, message: "ended with exit code 2, exit without report", over: true, container: "main",
		},
		"a signal": {
			change: exits(139, "Error", time.Second), want: checkerpod.Crashed, message: "exit code 139 (signal 11)", over: true, container: "main",
		},
		"too much memory": {
			change: exits(137, "OOMKilled", time.Second), want: checkerpod.OOMKilled, message: "(OOMKilled)", over: true, container: "main",
		},
		"a container that is started again": {
			change: runs(1, &corev1.ContainerStateTerminated{ExitCode: 1}), want: checkerpod.Crashed, message: "started again 1 times", container: "main",
		},
		"a container that is started again and again": {
			change: runs(3, &corev1.ContainerStateTerminated{ExitCode: 1}), want: checkerpod.Crashed, message: "started again 3 times", hopeless: true, container: "main",
		},
		"a container that ends well and is started again and again": {
			change: runs(3, &corev1.ContainerStateTerminated{}), want: checkerpod.NoReport, message: "ended well, started again 3 times", hopeless: true, container: "main",
		},
		"an image that is not there": {
			change: waits(checkerpod.WaitErrImagePull), want: checkerpod.ImagePullFailed, message: "the image none of container main cannot be had on node worker-1 (ErrImagePull)", hopeless: true,
		},
		"an image whose name is none": {
			change: waits("InvalidImageName"), want: checkerpod.ImagePullFailed, message: "(InvalidImageName)", hopeless: true,
		},
		"a Secret that is missing": {
			change: waits("CreateContainerConfigError"), want: checkerpod.ConfigMissing, message: "container main cannot be made on node worker-1",
		},
		"a container that does not start": {
			change: waits("RunContainerError"), want: checkerpod.NotStarted, message: "container main does not start on node worker-1 (RunContainerError)",
		},
		"no node": {
			change:  pends(corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available"}),
			want:    checkerpod.Unschedulable,
			message: "(Unschedulable): 0/3 nodes are available",
		},
		"no scheduler": {change: pends(), want: checkerpod.Unschedulable, message: "no scheduler has looked"},
		"an init container that fails": {
			change: inits(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}}, 0), want: checkerpod.InitFailed,
			message: "the init container prepare ended with exit code 3", container: "prepare",
		},
		"an init container that fails again and again": {
			change: inits(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}}, 3), want: checkerpod.InitFailed,
			message: "started again 3 times", hopeless: true, container: "prepare",
		},
		"an init container that does not end": {
			change: inits(corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(began)}}, 0), want: checkerpod.InitFailed,
			message: "the init container prepare was still at work", container: "prepare",
		},
		"a deadline of its own that came while it worked": {
			change: func(pod *corev1.Pod) {
				exits(137, "Error", time.Second)(pod)
				pod.Status.Reason = "DeadlineExceeded"
			},
			want: checkerpod.Deadline, message: "was still at work when its deadline came", over: true, container: "main",
		},
		"a deadline of its own that came before it began": {
			change: func(pod *corev1.Pod) {
				exits(137, "ContainerStatusUnknown", time.Second)(pod)
				pod.Status.Reason = "DeadlineExceeded"
			},
			want: checkerpod.NotStarted, message: "had not started on node worker-1 when its deadline came", over: true,
		},
		"an eviction": {
			change: func(pod *corev1.Pod) {
				pod.Status.Phase, pod.Status.Reason, pod.Status.Message = corev1.PodFailed, "Evicted", "The node was low on resource: memory."
			},
			want: checkerpod.PodEvicted, message: "was evicted from node worker-1: The node was low on resource: memory", over: true, container: "main",
		},
		"a preemption": {
			change: disrupted(corev1.PodReasonPreemptionByScheduler), want: checkerpod.PodEvicted, message: "for one of higher priority", container: "main",
		},
		"a drain": {
			change: disrupted("EvictionByEvictionAPI"), want: checkerpod.PodEvicted, message: "was taken away from node worker-1 (EvictionByEvictionAPI)", container: "main",
		},
		"a node that is shut down": {
			change: func(pod *corev1.Pod) { pod.Status.Phase, pod.Status.Reason = corev1.PodFailed, "Terminated" },
			want:   checkerpod.PodEvicted, message: "node worker-1 was shut down", over: true, container: "main",
		},
		"a node that is gone":           {change: disrupted("DeletionByPodGC"), want: checkerpod.NodeLost, message: "as its node worker-1 is gone"},
		"a node that bears a taint":     {change: disrupted("DeletionByTaintManager"), gone: true, want: checkerpod.NodeLost, message: "bears a taint", over: true},
		"a node that does not answer":   {change: func(pod *corev1.Pod) { pod.Status.Reason = "NodeLost" }, want: checkerpod.NodeLost, message: "does not answer"},
		"a pod that somebody deleted":   {gone: true, want: checkerpod.PodDeleted, message: "was deleted before it had reported, and not by Maek", over: true},
		"a secret in a message of ours": {change: exits(1, "Error", time.Second, "password=hunter22secret"), want: checkerpod.Crashed, message: "exit code 1", over: true, container: "main"},
	}
}

// runs is a pod at work whose container was started again so often, after it had ended so.
func runs(restarts int32, last *corev1.ContainerStateTerminated) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "main", RestartCount: restarts,
			State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			LastTerminationState: corev1.ContainerState{Terminated: last},
		}}
	}
}

func pends(conditions ...corev1.PodCondition) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Spec.NodeName = ""
		pod.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: conditions}
	}
}

func inits(state corev1.ContainerState, restarts int32) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodPending
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "prepare", State: state, RestartCount: restarts}}
	}
}

func disrupted(reason string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason}}
	}
}

func TestWhyNoReportCame(t *testing.T) {
	t.Parallel()
	for name, tc := range reasons() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tc.failure()
			if got.Reason != tc.want || !strings.Contains(got.Message, tc.message) {
				t.Errorf("it is %s: %s\nwant %s, with %q", got.Reason, got.Message, tc.want, tc.message)
			}
			if got.Hopeless != tc.hopeless || got.Over.IsZero() == tc.over || got.Container != tc.container {
				t.Errorf("hopeless %t, over %s, container %q; want %t, %t, %q", got.Hopeless, got.Over, got.Container, tc.hopeless, tc.over, tc.container)
			}
			if strings.Contains(got.Message, "hunter22secret") {
				t.Errorf("a secret is told: %s", got.Message)
			}
		})
	}
}

func (w why) failure() checkerpod.Failure {
	pod := testPod("run", 0, w.change).Pod
	if w.gone {
		return checkerpod.Deleted(pod, at(time.Minute))
	}
	return checkerpod.Diagnose(pod, at(time.Minute))
}

// TestAReasonIsKnownAgain reads the reasons of failures from their recorded texts, as a replica does that
// takes over from one which recorded them and died.
func TestAReasonIsKnownAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range reasons() {
		for _, kind := range []string{kuberhealthy.KindCheck, kuberhealthy.KindHealthCheck} {
			t.Run(name+" of a "+kind, func(t *testing.T) {
				t.Parallel()
				check := testCheck(kind)
				f := tc.failure()
				how, why := wording(check, f, false)
				state := started().Failed(check, check.Failure(how, started().Run, at(time.Minute), why), kuberhealthy.End{At: at(time.Minute)})
				if !unreported(check, state) {
					t.Fatalf("it is taken for a report: %q", state.Errors)
				}
				if got := recordedReason(state.Errors[0]); got != tc.want {
					t.Errorf("it is %s, want %s: %s", got, tc.want, state.Errors[0])
				}
			})
		}
	}
}

func TestWhatAPodShowedBeforeIsNotForgotten(t *testing.T) {
	t.Parallel()
	image := checkerpod.Diagnose(testPod("run", 0, waits("ImagePullBackOff")).Pod, at(time.Minute))
	stopped := checkerpod.Diagnose(testPod("run", 0, func(pod *corev1.Pod) {
		exits(137, "ContainerStatusUnknown", time.Second)(pod)
		pod.Status.Reason = "DeadlineExceeded"
	}).Pod, at(time.Minute))
	cases := map[string]struct {
		now, before checkerpod.Failure
		wantReason  checkerpod.Reason
		wantMessage string
	}{
		"a kubelet stops a pod whose image cannot be had": {stopped, image, checkerpod.ImagePullFailed, "cannot be had on node worker-1 (ImagePullBackOff), until the kubelet stopped the pod"},
		"it tries once more":                              {checkerpod.Failure{Reason: checkerpod.NotStarted, Message: "not started"}, image, checkerpod.NotStarted, "not started; before that, the image none"},
		"nothing was seen before":                         {stopped, checkerpod.Failure{}, checkerpod.NotStarted, "had not started"},
		"what is seen now says enough":                    {checkerpod.Failure{Reason: checkerpod.ConfigMissing, Message: "no Secret", Cause: true}, image, checkerpod.ConfigMissing, "no Secret"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tc.now.With(tc.before)
			if got.Reason != tc.wantReason || !strings.Contains(got.Message, tc.wantMessage) {
				t.Errorf("it is %s: %s\nwant %s, with %q", got.Reason, got.Message, tc.wantReason, tc.wantMessage)
			}
		})
	}
}
