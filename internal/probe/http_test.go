package probe_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
)

// site is a container of a pod at the loopback address.
func site() probe.Site {
	return probe.Site{
		Pod:       &corev1.Pod{Status: corev1.PodStatus{PodIP: "127.0.0.1"}},
		Container: &corev1.Container{Name: "main"},
		Version:   "1.36",
	}
}

func TestHTTPServersAsTheKubeletSeesThem(t *testing.T) {
	t.Parallel()
	prober := probe.New(probe.Options{Now: wallClock})
	for name, tc := range probetest.HTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			get, port := tc.Start(t)
			target := probe.Resolve(&corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}}, site())
			got := prober.Probe(t.Context(), target, tc.Timeout())
			got.Kubelet.Message = probetest.Normal(got.Kubelet.Message, port)
			if diff := cmp.Diff(tc.Want, got.Kubelet); diff != "" {
				t.Errorf("the kubelet's verdict (-want +got):\n%s", diff)
			}
			if got.Difference != tc.Difference {
				t.Errorf("difference %q, want %q", got.Difference, tc.Difference)
			}
			if wantStrict := tc.Want.Passed() && tc.Difference == ""; got.Strict.Passed() != wantStrict {
				t.Errorf("strictly passed: %t, want %t (%s)", got.Strict.Passed(), wantStrict, got.Strict.Message)
			}
			if got.Latency <= 0 || got.Latency > 2*tc.Timeout() {
				t.Errorf("took %v of a timeout of %v", got.Latency, tc.Timeout())
			}
		})
	}
}
