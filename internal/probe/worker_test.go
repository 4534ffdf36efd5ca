package probe_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/probe"
)

// The tests of the module in test/kubelet hold Step against the kubelet's own workers, to the
// moment. The table here is what people read: one line for each thing that a worker does.

var begin = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

// asks is a probe of all kinds with a period of 10 s, a failure threshold of 3, a delay of 5 s,
// and for readiness two successes.
func asks(kind probe.Kind) probe.Worker {
	spec := &corev1.Probe{
		ProbeHandler:        corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}},
		InitialDelaySeconds: 5, PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3, SuccessThreshold: 1,
	}
	container := corev1.Container{Name: "main"}
	switch kind {
	case probe.Liveness:
		container.LivenessProbe = spec
	case probe.Readiness:
		spec.SuccessThreshold = 2
		container.ReadinessProbe = spec
	case probe.Startup:
		container.StartupProbe = spec
	}
	pod := &corev1.PodSpec{Containers: []corev1.Container{container}}
	return probe.Worker{Kind: kind, Pod: pod, Container: &pod.Containers[0], KubeletStart: begin.Add(-time.Hour)}
}

// pod is a status with the container, as change leaves it: running for a minute, and started.
func pod(change func(*corev1.PodStatus, *corev1.ContainerStatus)) *corev1.PodStatus {
	status := &corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "main", ContainerID: "containerd://1", Started: new(true),
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(begin.Add(-time.Minute))}},
	}}}
	if change != nil {
		change(status, &status.ContainerStatuses[0])
	}
	return status
}

func unstarted(_ *corev1.PodStatus, c *corev1.ContainerStatus) { c.Started = new(false) }

func justCreated(_ *corev1.PodStatus, c *corev1.ContainerStatus) {
	c.State.Running.StartedAt = metav1.NewTime(begin.Add(-4999 * time.Millisecond))
}

func TestWhatAWorkerDoesWhenItLooks(t *testing.T) {
	tests := map[string]struct {
		kind   probe.Kind
		state  probe.State
		input  probe.Input
		change func(*probe.Worker)
		want   probe.Action
		// wantCached is what is believed afterwards.
		wantCached probe.Result
		wantEnded  bool
	}{
		"the pod has no status yet":           {kind: probe.Liveness, want: probe.Action{Why: probe.NoContainer}},
		"the container is not created":        {kind: probe.Liveness, input: probe.Input{Status: &corev1.PodStatus{}}, want: probe.Action{Why: probe.NoContainer}},
		"the container has no ID":             {kind: probe.Liveness, input: probe.Input{Status: pod(func(_ *corev1.PodStatus, c *corev1.ContainerStatus) { c.ContainerID = "" })}, want: probe.Action{Why: probe.NoContainer}},
		"a new container is believed alive":   {kind: probe.Liveness, input: probe.Input{Status: pod(nil)}, want: probe.Action{Probe: true, Changed: true}, wantCached: probe.Success},
		"a new container is not ready":        {kind: probe.Readiness, input: probe.Input{Status: pod(nil)}, want: probe.Action{Probe: true, Changed: true}, wantCached: probe.Failure},
		"a new container may have started":    {kind: probe.Startup, input: probe.Input{Status: pod(unstarted)}, want: probe.Action{Probe: true, Changed: true}, wantCached: probe.Unknown},
		"one older than the kubelet is asked": {kind: probe.Readiness, change: func(w *probe.Worker) { w.KubeletStart = begin.Add(-40 * time.Second) }, state: probe.State{NextTick: begin}, input: probe.Input{Status: pod(nil)}, want: probe.Action{Probe: true}},
		"one a little older is taken for new": {kind: probe.Readiness, change: func(w *probe.Worker) { w.KubeletStart = begin.Add(-51 * time.Second) }, state: probe.State{NextTick: begin}, input: probe.Input{Status: pod(nil)}, want: probe.Action{Probe: true, Changed: true}, wantCached: probe.Failure},
		"the delay is not over":               {kind: probe.Liveness, input: probe.Input{Status: pod(justCreated)}, want: probe.Action{Changed: true, Why: probe.InitialDelay}, wantCached: probe.Success},
		"a start that is a little ahead counts as now": {
			kind: probe.Liveness, change: func(w *probe.Worker) { w.Container.LivenessProbe.InitialDelaySeconds = 0 },
			input: probe.Input{Status: pod(func(_ *corev1.PodStatus, c *corev1.ContainerStatus) {
				c.State.Running.StartedAt = metav1.NewTime(begin.Add(999 * time.Millisecond))
			})},
			want: probe.Action{Probe: true, Changed: true}, wantCached: probe.Success,
		},
		"liveness waits for the startup":  {kind: probe.Liveness, input: probe.Input{Status: pod(unstarted)}, want: probe.Action{Changed: true, Why: probe.NotStarted}, wantCached: probe.Success},
		"readiness waits for the startup": {kind: probe.Readiness, input: probe.Input{Status: pod(unstarted)}, want: probe.Action{Changed: true, Why: probe.NotStarted}, wantCached: probe.Failure},
		"startup has nothing more to ask": {kind: probe.Startup, input: probe.Input{Status: pod(nil)}, want: probe.Action{Changed: true, Why: probe.Started}, wantCached: probe.Unknown},
		"the container is not running": {
			kind: probe.Liveness, want: probe.Action{Changed: true, Why: probe.NotRunning}, wantCached: probe.Failure,
			input: probe.Input{Status: pod(func(_ *corev1.PodStatus, c *corev1.ContainerStatus) {
				c.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
			})},
		},
		"the container ended for good": {
			kind: probe.Liveness, want: probe.Action{Changed: true, Why: probe.NotRunning}, wantCached: probe.Failure, wantEnded: true,
			change: func(w *probe.Worker) { w.Pod.RestartPolicy = corev1.RestartPolicyNever },
			input:  probe.Input{Status: pod(func(_ *corev1.PodStatus, c *corev1.ContainerStatus) { c.State = ended(1) })},
		},
		"the pod is over":                      {kind: probe.Readiness, input: probe.Input{Status: pod(func(s *corev1.PodStatus, _ *corev1.ContainerStatus) { s.Phase = corev1.PodFailed })}, want: probe.Action{Why: probe.Over}, wantEnded: true},
		"liveness of a pod that is deleted":    {kind: probe.Liveness, input: probe.Input{Status: pod(nil), Deleting: true}, want: probe.Action{Changed: true, Why: probe.Over}, wantCached: probe.Success, wantEnded: true},
		"startup of a pod that is deleted":     {kind: probe.Startup, input: probe.Input{Status: pod(unstarted), Deleting: true}, want: probe.Action{Changed: true, Why: probe.Over}, wantCached: probe.Success, wantEnded: true},
		"readiness of a pod that is deleted":   {kind: probe.Readiness, input: probe.Input{Status: pod(nil), Deleting: true}, want: probe.Action{Probe: true, Changed: true}, wantCached: probe.Failure},
		"nothing before its jitter is over":    {kind: probe.Liveness, state: probe.State{NextTick: begin.Add(time.Nanosecond)}, input: probe.Input{Status: pod(nil)}},
		"on hold until there is another":       {kind: probe.Liveness, state: probe.State{ContainerID: "containerd://1", OnHold: true, Cached: probe.Failure}, input: probe.Input{Status: pod(nil)}, want: probe.Action{Why: probe.OnHold}, wantCached: probe.Failure},
		"another container ends the hold":      {kind: probe.Liveness, state: probe.State{ContainerID: "containerd://0", OnHold: true, Cached: probe.Failure}, input: probe.Input{Status: pod(nil)}, want: probe.Action{Probe: true, Changed: true}, wantCached: probe.Success},
		"a worker that has ended stays silent": {kind: probe.Liveness, state: probe.State{Ended: true}, input: probe.Input{Status: pod(nil)}, want: probe.Action{Why: probe.Over}, wantEnded: true},
		"a sidecar that had started stays so": {
			kind: probe.Startup, want: probe.Action{Changed: true, Why: probe.Started}, wantCached: probe.Success,
			change: func(w *probe.Worker) {
				w.KubeletStart = begin
				w.Container.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
				w.Pod.InitContainers, w.Pod.Containers = w.Pod.Containers, nil
			},
			state: probe.State{NextTick: begin},
			input: probe.Input{Status: pod(nil)},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			worker := asks(tc.kind)
			if tc.change != nil {
				tc.change(&worker)
			}
			tc.input.At = begin
			state, got := worker.Step(tc.state, tc.input)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("the action (-want +got):\n%s", diff)
			}
			if state.Cached != tc.wantCached || state.Ended != tc.wantEnded {
				t.Errorf("believed %q, ended %t; want %q, %t", state.Cached, state.Ended, tc.wantCached, tc.wantEnded)
			}
			if state.Asking() != got.Probe {
				t.Errorf("waits for a verdict: %t; asked for one: %t", state.Asking(), got.Probe)
			}
		})
	}
}

func ended(code int32) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}
}
