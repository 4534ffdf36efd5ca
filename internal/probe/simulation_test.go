package probe_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/probe"
)

const limit = time.Hour

func pace(period, timeout, failures int32) *corev1.Probe {
	return &corev1.Probe{PeriodSeconds: period, TimeoutSeconds: timeout, FailureThreshold: failures}
}

func TestSimulatedCourses(t *testing.T) {
	late := pace(10, 1, 3)
	late.InitialDelaySeconds = 15
	tests := map[string]struct {
		container corev1.Container
		program   probe.Program
		want      probe.Course
	}{
		"without probes it is ready at once": {want: probe.Course{}},
		"a slow start under a tight liveness probe is killed each time, as the arithmetic says": {
			container: corev1.Container{LivenessProbe: pace(5, 1, 3)}, program: probe.Program{Start: 40 * second},
			want: probe.Course{KilledBy: probe.Liveness, Killed: span(10*second, 15*second), Always: true},
		},
		"a start within the spare time is let be": {
			container: corev1.Container{LivenessProbe: pace(5, 1, 3)}, program: probe.Program{Start: 10 * second}, want: probe.Course{},
		},
		"one between is killed at some ticks and not at others": {
			container: corev1.Container{LivenessProbe: pace(5, 1, 3)}, program: probe.Program{Start: 13 * second},
			want: probe.Course{KilledBy: probe.Liveness, Killed: span(10*second, 12*second+500*time.Millisecond)},
		},
		"the delay comes before it": {
			container: corev1.Container{LivenessProbe: late}, program: probe.Program{Start: limit},
			want: probe.Course{KilledBy: probe.Liveness, Killed: span(35*second, 45*second), Always: true},
		},
		"a startup probe spares it, and the readiness probe follows at once": {
			container: corev1.Container{StartupProbe: pace(5, 1, 61), LivenessProbe: pace(5, 1, 3), ReadinessProbe: pace(5, 1, 3)},
			program:   probe.Program{Start: 40 * second, Latency: 100 * time.Millisecond},
			want:      probe.Course{Ready: span(40*second+200*time.Millisecond, 44*second+700*time.Millisecond)},
		},
		"a startup probe kills as well": {
			container: corev1.Container{StartupProbe: pace(5, 1, 4)}, program: probe.Program{Start: time.Minute},
			want: probe.Course{KilledBy: probe.Startup, Killed: span(15*second, 20*second), Always: true, NeverReady: true},
		},
		"answers that come too late are failures": {
			container: corev1.Container{LivenessProbe: pace(10, 1, 3)}, program: probe.Program{Latency: 2 * second},
			want: probe.Course{KilledBy: probe.Liveness, Killed: span(21*second, 31*second), Always: true},
		},
		"readiness that comes too late never comes": {
			container: corev1.Container{ReadinessProbe: pace(10, 1, 3)}, program: probe.Program{Latency: 2 * second},
			want: probe.Course{NeverReady: true},
		},
		"a pause may take it out of its Services": {
			container: corev1.Container{ReadinessProbe: pace(10, 1, 2)}, program: probe.Program{Pause: 15 * second},
			want: probe.Course{Ready: span(0, 10*second), Withdrawn: true},
		},
		"and a shorter one does not": {
			container: corev1.Container{ReadinessProbe: pace(10, 1, 2)}, program: probe.Program{Pause: 11 * second},
			want: probe.Course{Ready: span(0, 10*second)},
		},
		"what the API server would fill in is filled in": {
			container: corev1.Container{LivenessProbe: &corev1.Probe{}}, program: probe.Program{Start: limit},
			want: probe.Course{KilledBy: probe.Liveness, Killed: span(20*second, 30*second), Always: true},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.container.Name = "app"
			got := probe.Simulate(&corev1.PodSpec{Containers: []corev1.Container{tc.container}}, &tc.container, tc.program)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// What is played and what is computed of a spec must agree, for both are told of the same one.
func TestSimulationsAgreeWithTheArithmetic(t *testing.T) {
	for _, delay := range []int32{0, 7, 30} {
		for _, period := range []int32{1, 5, 10} {
			for _, timeout := range []int32{1, 3, 15} {
				for _, failures := range []int32{1, 3, 31} {
					spec := pace(period, timeout, failures)
					spec.InitialDelaySeconds = delay
					c := corev1.Container{Name: "app", LivenessProbe: spec}
					pod := &corev1.PodSpec{Containers: []corev1.Container{c}}
					timing := probe.TimingOf(probe.Liveness, spec)
					if want, got := timing.StartupBudget(0), probe.Simulate(pod, &c, probe.Program{Start: limit}).Killed; want != got {
						t.Errorf("%+v: killed after %v, and by the arithmetic after %v", timing, got, want)
					}
					got, ok := probe.LongestStart(pod, &c, 0, limit)
					if want := timing.StartupBudget(0).Least; !ok || got != want {
						t.Errorf("%+v: bears a start of %v (%t), and by the arithmetic one of %v", timing, got, ok, want)
					}
					got, ok = probe.LongestPause(pod, &c, probe.Program{}, limit)
					if want := timing.Detection(timing.Timeout).Least; !ok || got != want {
						t.Errorf("%+v: bears a pause of %v (%t), and by the arithmetic one of %v", timing, got, ok, want)
					}
				}
			}
		}
	}
}

func TestNoStartIsShortEnoughForAnswersThatComeTooLate(t *testing.T) {
	c := corev1.Container{Name: "app", LivenessProbe: pace(10, 1, 3)}
	pod := &corev1.PodSpec{Containers: []corev1.Container{c}}
	if got, ok := probe.LongestStart(pod, &c, 2*second, limit); ok {
		t.Errorf("bears a start of %v", got)
	}
	if got, ok := probe.LongestPause(pod, &c, probe.Program{Latency: 2 * second}, limit); ok {
		t.Errorf("bears a pause of %v", got)
	}
}
