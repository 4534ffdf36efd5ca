package probe_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
)

func TestTCPServersAsTheKubeletSeesThem(t *testing.T) {
	t.Parallel()
	prober := probe.New(probe.Options{Now: wallClock})
	for name, tc := range probetest.TCP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := tc.Start(t)
			spec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt(port)}}}
			got := prober.Probe(t.Context(), probe.Resolve(spec, site()), probetest.HTTPCase{}.Timeout())
			got.Kubelet.Message = probetest.Normal(got.Kubelet.Message, port)
			if diff := cmp.Diff(tc.Want, got.Kubelet); diff != "" {
				t.Errorf("the kubelet's verdict (-want +got):\n%s", diff)
			}
			if got.Difference != "" {
				t.Errorf("difference %q, want none", got.Difference)
			}
		})
	}
}
