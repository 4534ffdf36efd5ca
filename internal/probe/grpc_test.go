package probe_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
)

func TestGRPCServersAsTheKubeletSeesThem(t *testing.T) {
	t.Parallel()
	prober := probe.New(probe.Options{Now: wallClock})
	for name, tc := range probetest.GRPC() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := tc.Start(t)
			spec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: int32(port), Service: &tc.Service}}}
			got := prober.Probe(t.Context(), probe.Resolve(spec, site()), tc.Timeout())
			got.Kubelet.Message = probetest.Normal(got.Kubelet.Message, port)
			if diff := cmp.Diff(tc.Want, got.Kubelet); diff != "" {
				t.Errorf("the kubelet's verdict (-want +got):\n%s", diff)
			}
			if got.Difference != tc.Difference {
				t.Errorf("difference %q, want %q", got.Difference, tc.Difference)
			}
			if got.Strict.Result != got.Kubelet.Result {
				t.Errorf("strictly %s, to the kubelet %s: only texts may differ", got.Strict.Result, got.Kubelet.Result)
			}
		})
	}
}

func TestRefusedGRPCConnectionIsNamedStrictly(t *testing.T) {
	t.Parallel()
	tc := probetest.GRPC()["nothing listens"]
	spec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: int32(tc.Start(t))}}}
	got := probe.New(probe.Options{Now: wallClock}).Probe(t.Context(), probe.Resolve(spec, site()), tc.Timeout())
	if want := "dial tcp 127.0.0.1:1: connect: connection refused"; got.Strict.Message != want {
		t.Errorf("strictly %q, want %q", got.Strict.Message, want)
	}
	if got.Latency < tc.Timeout() {
		t.Errorf("took %v: the kubelet takes its whole timeout of %v", got.Latency, tc.Timeout())
	}
}
