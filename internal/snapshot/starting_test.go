package snapshot

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodStarting(t *testing.T) {
	now := time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)
	s := NewBuilder(now, Source{}).Build()
	running := func(age time.Duration, restarts int32) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: "app", RestartCount: restarts, State: corev1.ContainerState{
			Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now.Add(-age))},
		}}
	}
	startup := corev1.Container{Name: "app", StartupProbe: &corev1.Probe{PeriodSeconds: 10, FailureThreshold: 6}}
	delayed := corev1.Container{Name: "app", ReadinessProbe: &corev1.Probe{InitialDelaySeconds: 50, PeriodSeconds: 10, SuccessThreshold: 1}}
	always := corev1.ContainerRestartPolicyAlways
	tests := map[string]struct {
		spec          corev1.PodSpec
		status        corev1.ContainerStatus
		wantAllowance time.Duration
		wantStarting  bool
	}{
		"a startup probe bears its threshold of periods": {
			spec: corev1.PodSpec{Containers: []corev1.Container{startup}}, status: running(59*time.Second, 0),
			wantAllowance: time.Minute, wantStarting: true,
		},
		"past what the startup probe bears it no longer starts": {
			spec: corev1.PodSpec{Containers: []corev1.Container{startup}}, status: running(61*time.Second, 0),
			wantAllowance: time.Minute,
		},
		"a delayed readiness probe allows its delay and a period": {
			spec: corev1.PodSpec{Containers: []corev1.Container{delayed}}, status: running(55*time.Second, 0),
			wantAllowance: time.Minute, wantStarting: true,
		},
		"a container that was restarted is not starting": {
			spec: corev1.PodSpec{Containers: []corev1.Container{startup}}, status: running(5*time.Second, 1),
			wantAllowance: time.Minute,
		},
		"a container that is not made yet is not starting": {
			spec:   corev1.PodSpec{Containers: []corev1.Container{startup}},
			status: corev1.ContainerStatus{Name: "app"}, wantAllowance: time.Minute,
		},
		"without probes nothing is allowed": {
			spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}, status: running(time.Second, 0),
		},
		"a sidecar's probe counts, an init container's does not": {
			spec: corev1.PodSpec{
				InitContainers: []corev1.Container{{Name: "once", StartupProbe: &corev1.Probe{InitialDelaySeconds: 3600}}, {
					Name: "mesh", RestartPolicy: &always, StartupProbe: &corev1.Probe{InitialDelaySeconds: 30},
				}},
				Containers: []corev1.Container{{Name: "app"}},
			},
			status: running(time.Second, 0), wantAllowance: time.Minute, wantStarting: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: tc.spec, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{tc.status}}}
			if got := StartAllowance(pod); got != tc.wantAllowance {
				t.Errorf("StartAllowance = %v, want %v", got, tc.wantAllowance)
			}
			if got := s.PodStarting(pod); got != tc.wantStarting {
				t.Errorf("PodStarting = %v, want %v", got, tc.wantStarting)
			}
		})
	}
}

func TestSpecWrittenLeavesOutStatusOnly(t *testing.T) {
	at := func(minute int) *metav1.Time {
		return &metav1.Time{Time: time.Date(2026, 3, 2, 2, minute, 0, 0, time.UTC)}
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
		{Manager: "ci", Time: at(1)},
		{Manager: "kubectl-scale", Subresource: "scale", Time: at(5)},
		{Manager: "kube-controller-manager", Subresource: "status", Time: at(9)},
		{Manager: "unknown"},
	}}}
	if got := SpecWritten(pod); !got.Equal(at(5).Time) {
		t.Errorf("SpecWritten = %v, want the write of the scale subresource at %v", got, at(5))
	}
	if got := SpecWritten(&corev1.Pod{}); !got.IsZero() {
		t.Errorf("SpecWritten without managed fields = %v, want the zero time", got)
	}
}
