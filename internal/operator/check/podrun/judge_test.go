package podrun

import (
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// exit is how a container ended, some seconds after noon.
func exit(name string, code int32, reason string, after int) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, StartedAt: metav1.NewTime(noon), FinishedAt: metav1.NewTime(noon.Add(time.Duration(after) * time.Second)),
	}}}
}

// lost is a container that the kubelet did not find any more, and knows nothing of.
func lost(name string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown"}}}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const success, failure, unknown = v1alpha1.ResultSuccess, v1alpha1.ResultFailure, v1alpha1.ResultUnknown
	tests := map[string]struct {
		phase      corev1.PodPhase
		reason     string
		init, main []corev1.ContainerStatus
		// deleted tells when somebody asked for its deletion, in seconds after noon; zero for nobody.
		deleted int
		gone    bool
		// cond is a condition of disruption.
		cond        string
		want        v1alpha1.CheckResult
		wantReason  checkerpod.Reason
		wantMessage string
	}{
		"all containers end well": {
			phase: corev1.PodSucceeded, main: []corev1.ContainerStatus{exit("a", 0, "Completed", 1), exit("b", 0, "Completed", 2)}, want: success,
		},
		"a pod that ended well, and is gone": {
			phase: corev1.PodSucceeded, main: []corev1.ContainerStatus{exit("a", 0, "Completed", 1)}, gone: true, want: success,
		},
		"the one that fails first counts": {
			phase: corev1.PodFailed, main: []corev1.ContainerStatus{exit("a", 1, "Error", 9), exit("b", 2, "Error", 3)},
			want: failure, wantReason: checkerpod.ReportedFailure, wantMessage: "container b ended with exit code 2",
		},
		"an init container fails": {
			phase: corev1.PodFailed, init: []corev1.ContainerStatus{exit("prepare", 4, "Error", 1)}, want: failure,
			wantReason: checkerpod.ReportedFailure, wantMessage: "container prepare ended with exit code 4",
		},
		"a sidecar that is stopped is no failure of its own": {
			phase: corev1.PodFailed, init: []corev1.ContainerStatus{exit("side", 143, "Error", 1)}, main: []corev1.ContainerStatus{exit("a", 5, "Error", 2)},
			want: failure, wantReason: checkerpod.ReportedFailure, wantMessage: "container a ended with exit code 5",
		},
		"a container that the kubelet lost": {
			phase: corev1.PodFailed, main: []corev1.ContainerStatus{lost("a")}, want: unknown, wantReason: checkerpod.Crashed,
			wantMessage: "container a ended with exit code 137 (signal 9), exit without report",
		},
		"a kubelet that did not take the pod": {
			phase: corev1.PodFailed, reason: "OutOfcpu", want: unknown, wantReason: checkerpod.Crashed, wantMessage: "the checker pod run failed, exit without report: OutOfcpu",
		},
		"its own deadline came first": {
			phase: corev1.PodFailed, reason: "DeadlineExceeded", main: []corev1.ContainerStatus{exit("a", 137, "Error", 60)}, want: failure,
			wantReason: checkerpod.Deadline, wantMessage: "container a was still at work when the timeout of 1m0s came",
		},
		"its own deadline came before it began": {
			phase: corev1.PodFailed, reason: "DeadlineExceeded", main: []corev1.ContainerStatus{lost("a")}, want: unknown,
			wantReason: checkerpod.NotStarted, wantMessage: "the containers of the checker pod run had not started on node worker-1 when its deadline came",
		},
		"deleted while it was at work": {
			phase: corev1.PodFailed, main: []corev1.ContainerStatus{exit("a", 143, "Error", 20)}, deleted: 10, gone: true, want: unknown,
			wantReason: checkerpod.PodDeleted, wantMessage: "the checker pod run was deleted before it had reported, and not by Maek",
		},
		"deleted after it had failed": {
			phase: corev1.PodFailed, main: []corev1.ContainerStatus{exit("a", 1, "Error", 20)}, deleted: 30, gone: true, want: failure,
			wantReason: checkerpod.ReportedFailure, wantMessage: "container a ended with exit code 1",
		},
		"drained while it was at work": {
			phase: corev1.PodFailed, main: []corev1.ContainerStatus{exit("a", 143, "Error", 20)}, deleted: 10, cond: "EvictionByEvictionAPI", want: unknown,
			wantReason: checkerpod.PodEvicted, wantMessage: "the checker pod run was taken away from node worker-1 (EvictionByEvictionAPI)",
		},
		"gone before it ended": {
			phase: corev1.PodRunning, gone: true, want: unknown, wantReason: checkerpod.PodDeleted,
			wantMessage: "the checker pod run was deleted before it had reported, and not by Maek",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			always := corev1.ContainerRestartPolicyAlways
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "run", CreationTimestamp: metav1.NewTime(noon)},
				Spec: corev1.PodSpec{
					NodeName: "worker-1", Containers: []corev1.Container{{Name: "a"}, {Name: "b"}},
					InitContainers: []corev1.Container{{Name: "prepare"}, {Name: "side", RestartPolicy: &always}},
				},
				Status: corev1.PodStatus{Phase: tc.phase, Reason: tc.reason, InitContainerStatuses: tc.init, ContainerStatuses: tc.main},
			}
			if tc.deleted > 0 {
				pod.DeletionTimestamp = new(metav1.NewTime(noon.Add(time.Duration(tc.deleted+30) * time.Second)))
				pod.DeletionGracePeriodSeconds = new(int64(30))
			}
			if tc.cond != "" {
				pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: tc.cond}}
			}
			check := named("open", "a")
			check.Spec.PodTemplate = &corev1.PodTemplateSpec{}
			clock := clocktesting.NewFakeClock(noon.Add(2 * time.Minute))
			s := &slotRun{Runner: &Runner{o: Options{Clock: clock, Log: slog.New(slog.DiscardHandler)}}, check: check, timeout: time.Minute}
			got, err := s.judge(t.Context(), pod, checkerpod.Failure{}, tc.gone)
			if err != nil || got.Result != tc.want || got.Reason != string(tc.wantReason) || got.Message != tc.wantMessage {
				t.Errorf("it is %s for %q: %s (%v)\nwant %s for %q: %s", got.Result, got.Reason, got.Message, err, tc.want, tc.wantReason, tc.wantMessage)
			}
		})
	}
}
