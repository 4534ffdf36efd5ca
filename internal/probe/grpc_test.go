package probe_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
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

// talkative is a health service that says more than anybody reads.
type talkative struct {
	grpc_health_v1.UnimplementedHealthServer
}

// Check implements grpc_health_v1.HealthServer. The service is what to say at length.
func (talkative) Check(_ context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if r.GetService() == "error" {
		return nil, status.Error(codes.Internal, strings.Repeat("x", 2<<20))
	}
	out := &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
	// A field that nobody knows, 1 MiB long.
	out.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), strings.Repeat("x", 1<<20)))
	return out, nil
}

func TestLongGRPCAnswersAreNotRead(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, talkative{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	for _, service := range []string{"error", "answer"} {
		got := probe.New(probe.Options{Now: wallClock}).Probe(t.Context(), probe.GRPC{Address: listener.Addr().String(), Service: service}, 10*time.Second)
		if got.Strict.Result != probe.Failure || len(got.Strict.Message) > 1<<10 {
			t.Errorf("%s: %s of %d bytes: %.200s", service, got.Strict.Result, len(got.Strict.Message), got.Strict.Message)
		}
	}
}
