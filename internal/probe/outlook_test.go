package probe_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/probe"
)

func TestOutlook(t *testing.T) {
	tests := map[string]struct {
		kind    probe.Kind
		run     int
		failing time.Duration
		change  func(*corev1.PodStatus, *corev1.ContainerStatus)
		spec    *corev1.Probe
		// want is how long after the latest failure; zero where nothing is foreseen.
		want time.Duration
	}{
		"two more failures, ten seconds apart":            {kind: probe.Liveness, run: 1, want: 20 * second},
		"the next failure":                                {kind: probe.Liveness, run: 2, want: 10 * second},
		"a hang ends a timeout after its attempt":         {kind: probe.Liveness, run: 2, failing: second, want: 10 * second},
		"attempts that outlast the period":                {kind: probe.Liveness, run: 1, failing: 15 * second, spec: pace(10, 15, 3), want: 30 * second},
		"a readiness probe":                               {kind: probe.Readiness, run: 2, want: 10 * second},
		"a startup probe":                                 {kind: probe.Startup, run: 2, change: unstarted, want: 10 * second},
		"a startup probe that has succeeded asks no more": {kind: probe.Startup, run: 2},
		"liveness is not asked before the startup":        {kind: probe.Liveness, run: 2, change: unstarted},
		"it has acted already":                            {kind: probe.Liveness, run: 3},
		"the container does not run": {kind: probe.Liveness, run: 2, change: func(_ *corev1.PodStatus, c *corev1.ContainerStatus) {
			c.State = ended(1)
		}},
		"there is no container":                        {kind: probe.Liveness, run: 2, change: func(_ *corev1.PodStatus, c *corev1.ContainerStatus) { c.ContainerID = "" }},
		"fields that are left out have their defaults": {kind: probe.Liveness, run: 2, spec: &corev1.Probe{}, want: 10 * second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := asks(tc.kind)
			if tc.spec != nil {
				w.Container.LivenessProbe = tc.spec
			}
			got, ok := w.Outlook(pod(tc.change), tc.run, begin, tc.failing)
			if ok != (tc.want > 0) || ok && got.Sub(begin) != tc.want {
				t.Errorf("acts after %v (%t), want %v", got.Sub(begin), ok, tc.want)
			}
		})
	}
}
