package probetest

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/maek-dev/maek/internal/probe"
)

// GRPCCase is a server that is asked for its health.
type GRPCCase struct {
	// Health answers calls. Nil: Serve does.
	Health func(ctx context.Context, service string) (*grpc_health_v1.HealthCheckResponse, error)
	// NoHealth: a gRPC server without a health service.
	NoHealth bool
	// Serve is what a server that is none of gRPC does; nil beside a nil Health: nothing listens.
	Serve  Serve
	Config func(tb testing.TB) *tls.Config
	// Service is whose health is asked.
	Service string
	// Hangs: the attempt ends by its timeout.
	Hangs bool

	// Want is the kubelet's verdict, in which SERVER is the server's address.
	Want       probe.Verdict
	Difference probe.Difference
}

// Timeout is as that of [HTTPCase.Timeout].
func (c GRPCCase) Timeout() time.Duration {
	return HTTPCase{Hangs: c.Hangs}.Timeout()
}

// Start starts the server, and returns its port.
func (c GRPCCase) Start(tb testing.TB) int {
	tb.Helper()
	if c.Health == nil && !c.NoHealth {
		if c.Serve == nil {
			return closedPort
		}
		var config *tls.Config
		if c.Config != nil {
			config = c.Config(tb)
		}
		return Listen(tb, config, c.Serve)
	}
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := grpc.NewServer()
	if !c.NoHealth {
		grpc_health_v1.RegisterHealthServer(server, health{answer: c.Health})
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	tb.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			tb.Errorf("serving gRPC: %v", err)
		}
	})
	return listener.Addr().(*net.TCPAddr).Port
}

type health struct {
	grpc_health_v1.UnimplementedHealthServer

	answer func(ctx context.Context, service string) (*grpc_health_v1.HealthCheckResponse, error)
}

// Check implements the health service.
func (h health) Check(ctx context.Context, request *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return h.answer(ctx, request.GetService())
}

func states(state grpc_health_v1.HealthCheckResponse_ServingStatus) func(context.Context, string) (*grpc_health_v1.HealthCheckResponse, error) {
	return func(context.Context, string) (*grpc_health_v1.HealthCheckResponse, error) {
		return &grpc_health_v1.HealthCheckResponse{Status: state}, nil
	}
}

func refuses(code codes.Code, message string) func(context.Context, string) (*grpc_health_v1.HealthCheckResponse, error) {
	return func(context.Context, string) (*grpc_health_v1.HealthCheckResponse, error) {
		return nil, status.Error(code, message)
	}
}

const unconnected = `timeout: failed to connect service "SERVER" within 1s: context deadline exceeded`

// GRPC are the cases of gRPC probes. The sentences are their names.
func GRPC() map[string]GRPCCase {
	return map[string]GRPCCase{
		"it serves": {Health: states(grpc_health_v1.HealthCheckResponse_SERVING), Want: passed(probe.Success, "service healthy")},
		"it does not serve": {
			Health: states(grpc_health_v1.HealthCheckResponse_NOT_SERVING), Want: failed(`service unhealthy (responded with "NOT_SERVING")`),
		},
		"it does not know the service, by a status": {
			Health: states(grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN), Want: failed(`service unhealthy (responded with "SERVICE_UNKNOWN")`),
		},
		"it says nothing": {
			Health: states(grpc_health_v1.HealthCheckResponse_UNKNOWN), Want: failed(`service unhealthy (responded with "UNKNOWN")`),
		},
		"a status that there is not": {Health: states(77), Want: failed(`service unhealthy (responded with "77")`)},
		"another service is asked": {
			Service: "shop.Cart",
			Health: func(_ context.Context, service string) (*grpc_health_v1.HealthCheckResponse, error) {
				return nil, status.Errorf(codes.NotFound, "no %s here", service)
			},
			Want: failed("error: health rpc probe failed: rpc error: code = NotFound desc = no shop.Cart here"),
		},
		"it refuses": {
			Health: refuses(codes.PermissionDenied, "go away"),
			Want:   failed("error: health rpc probe failed: rpc error: code = PermissionDenied desc = go away"),
		},
		"it has no health service": {
			NoHealth: true,
			Want:     failed("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service grpc.health.v1.Health"),
		},
		"it answers too late": {
			Hangs: true,
			Health: func(ctx context.Context, _ string) (*grpc_health_v1.HealthCheckResponse, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			Want: failed("timeout: health rpc did not complete within 1s"),
		},
		"nothing listens":     {Hangs: true, Want: failed(unconnected), Difference: probe.ConnectionErrorHidden},
		"it says not a word":  {Hangs: true, Serve: func(c *Conn) { c.Hang() }, Want: failed(unconnected)},
		"it hangs up":         {Hangs: true, Serve: func(*Conn) {}, Want: failed(unconnected)},
		"it speaks HTTP/1.1":  {Hangs: true, Serve: sayAndHang("HTTP/1.1 400 Bad Request\r\n\r\n"), Want: failed(unconnected)},
		"it speaks TLS":       {Hangs: true, Serve: func(c *Conn) { c.Hang() }, Config: served(func(c *tls.Config) { c.NextProtos = []string{"h2"} }), Want: failed(unconnected)},
		"it answers rubbish":  {Hangs: true, Serve: func(c *Conn) { c.Flood("\x00\x01\x02rubbish") }, Want: failed(unconnected)},
		"it sends only pings": {Hangs: true, Serve: pings, Want: failed(`timeout: health rpc did not complete within 1s`)},
	}
}

// pings greets as an HTTP/2 server, and then answers nothing.
func pings(c *Conn) {
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	c.Say(settings)
	c.Hang()
}
